/* Tables in AG Grid, and the ladder. A grid is put in its place when its code is loaded; its rows follow the tab's
   streams as transactions by row id. What is hidden or off the screen waits until it is seen again. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const BUNDLE = "/_dash-component-suites/dash_ag_grid/dash_ag_grid.min.js";
  const KEPT = "venuescope.columns"; // widths and order of sorting, by grid
  const TAPE = 400;
  const arrow = (side) => (side > 0 ? "▲ " : side < 0 ? "▼ " : "");
  const tone = (x) => (x > 0 ? "up" : x < 0 ? "down" : "");
  const mark = (s) => `${s.rev}/${D.turn}`;
  const market = () => (V.store.streams.trades && V.store.streams.trades.market) || { price_decimals: 2, size_decimals: 4 };

  // ---------- what cells say ----------
  let top = 1; // size of a whole bar
  window.dashAgGridFunctions = Object.assign(window.dashAgGridFunctions || {}, {
    vsPrice: ({ value, data }) => arrow(data.side) + F.scaled(value, market().price_decimals),
    vsSize: ({ value }) => F.scaled(value, market().size_decimals),
    vsBar: ({ value }) => ({ backgroundSize: `${Math.min(100, (value / top) * 100).toFixed(1)}% 17px` }),
    vsMillis: ({ value }) => F.millis(value),
    vsTime: ({ value }) => F.time(value),
    vsCount: ({ value }) => F.group(value),
    vsMs: ({ value }) => (F.none(value) ? F.NONE : F.group(value, value < 10 ? 1 : 0)),
  });
  const React = () => window.React;
  window.dashAgGridComponentFunctions = Object.assign(window.dashAgGridComponentFunctions || {}, {
    VsTag: ({ value, data }) => React().createElement("span", { className: `vs-tag ${{ warn: "is-warn", error: "is-bad" }[data.level] || ""}`.trim() }, value),
    VsStatus: ({ value }) => React().createElement("span", { className: `vs-tag ${F.none(value) ? "" : value < 400 ? "is-ok" : "is-bad"}`.trim() }, F.none(value) ? F.NONE : String(value)),
    VsNamed: ({ value, data }) =>
      React().createElement("span", { className: "vs-named" }, React().createElement("i", { className: "swatch", style: { "--c": `var(--vs-venue-${data.colour})` } }), React().createElement("span", null, value)),
  });

  // ---------- rows of each ----------
  const ABOUT = { "limit-events": "limits", "venue-events": "venue" };
  const said = (name, s) => (ABOUT[name] ? (s.list || []).filter((e) => e.about === ABOUT[name]) : s.list || []);
  // What an event says without the name that stands beside it.
  const spared = (text, label) => (label && text.startsWith(`${label} `) ? text.slice(label.length + 1) : text);
  V.live.events = said;
  const eventRows = (name) => (s) => {
    // A list has no numbers: events alike in all they say are told apart by which of them they are.
    const times = new Map();
    return said(name, s).map((e) => {
      const of = `${e.t}|${e.source}|${e.what}|${e.text}`, nth = (times.get(of) || 0) + 1, source = V.live.labelOf(e.source);
      times.set(of, nth);
      return { id: `${of}|${nth}`, t: e.t, source, what: e.what, level: e.level, text: spared(e.text, source) };
    }).reverse();
  };
  const numbered = (s, from) => {
    const r = s.rows, n = r.t.length, out = [];
    for (let i = n - 1; i >= Math.max(0, from); i--) out.push({ id: String(s.taken - (n - 1 - i)), t: r.t[i], p: r.p[i], q: r.q[i], side: r.side[i] });
    return out;
  };
  const round = (x) => {
    const k = 10 ** Math.floor(Math.log10(Math.max(1, x)));
    return [1, 2, 5, 10].map((m) => m * k).find((y) => y >= x) || 10 * k;
  };
  const GRIDS = {
    tape: {
      stream: "trades",
      ready: (s) => s.rows && s.market,
      rows: (s) => numbered(s, 0),
      // Newest first, each row once: what came is put on top, what is too old is taken away.
      change(grid, s) {
        const n = s.rows.t.length, fresh = s.taken - grid.taken;
        if (fresh >= n) return null;
        const add = numbered(s, n - fresh), remove = [];
        for (let id = grid.oldest; id <= s.taken - n; id++) remove.push({ id: String(id) });
        return { add, addIndex: 0, remove };
      },
      after(grid, s) {
        grid.taken = s.taken;
        grid.oldest = s.taken - s.rows.t.length + 1;
        const list = s.rows.q.slice(-60);
        const want = round(Math.max(1, ...list));
        if (want !== top) {
          top = want;
          grid.api.refreshCells({ columns: ["q"], force: true });
        }
        const day = V.otherDay(s.rows.t[s.rows.t.length - 1]);
        heads(grid, { p: `Price, ${s.market.quote}`, q: `Size, ${F.sizeUnit(s.market)}`, t: day ? `${day} UTC` : "Time, UTC" });
      },
      drawn: "trades",
    },
    endpoints: {
      stream: "limits",
      ranked: true, // the source's order says something: it is followed
      ready: (s) => s.endpoints,
      rows: (s) => s.endpoints.map((e) => ({ ...e, id: `${e.id} ${e.endpoint}`, endpoint: e.endpoint.replace(/^GET /, "") })),
    },
  };
  for (const name of ["events", "limit-events", "venue-events"]) GRIDS[name] = { stream: "events", ready: () => true, rows: eventRows(name) };

  const heads = (grid, wanted) => {
    const key = JSON.stringify(wanted);
    if (grid.heads === key) return;
    grid.heads = key;
    for (const [id, text] of Object.entries(wanted)) {
      const col = grid.api.getColumn(id);
      if (col) col.getColDef().headerName = text;
    }
    grid.api.refreshHeader();
  };

  // ---------- the grids of the page ----------
  const grids = (V.grids = { of: new Map() });
  let bundle = null;
  const load = () =>
    (bundle ||= new Promise((resolve, reject) => {
      if (window.dash_ag_grid && window.dash_ag_grid.AgGrid) return resolve();
      const script = D.make("script", "");
      script.src = BUNDLE;
      script.onload = resolve;
      script.onerror = () => {
        bundle = null;
        script.remove();
        reject(new Error("the tables' code was not loaded"));
      };
      document.head.append(script);
    }));
  const kept = () => {
    try {
      return JSON.parse(localStorage.getItem(KEPT) || "{}") || {};
    } catch {
      return {};
    }
  };
  const keep = (name, api) => {
    try {
      const state = api.getColumnState().map(({ colId, width, flex, sort, sortIndex }) => ({ colId, width, flex, sort, sortIndex }));
      localStorage.setItem(KEPT, JSON.stringify({ ...kept(), [name]: { state, filter: api.getFilterModel() } }));
    } catch {
      /* storage may be forbidden: widths then last as long as the page */
    }
  };
  const eye = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const grid = grids.of.get(target.dataset.grid);
      if (!grid || grid.el !== target) continue;
      const was = grid.seen;
      grid.seen = isIntersecting;
      if (isIntersecting && !was) V.grids.update();
    }
  }, { rootMargin: "80px" });

  const passes = (row) => {
    const { tside, tmin } = V.state, least = Number(tmin) || 0;
    if (tside && (tside === "buy") !== row.side > 0) return false;
    if (tside && !row.side) return false;
    return !least || row.q / 10 ** market().size_decimals >= least;
  };
  const narrowed = () => Boolean(V.state.tside || Number(V.state.tmin));
  const begin = async (grid) => {
    const { el, name } = grid;
    await load();
    if (!el.isConnected) return;
    window.dash_clientside.set_props(el.id, { children: JSON.parse(el.dataset.spec) });
    const api = await window.dash_ag_grid.getApiAsync(`grid-${name}-table`);
    if (!el.isConnected || grids.of.get(name) !== grid || api.isDestroyed()) return;
    const mine = kept()[name];
    if (mine && Array.isArray(mine.state)) api.applyColumnState({ state: mine.state });
    if (mine && mine.filter && Object.keys(mine.filter).length) api.setFilterModel(mine.filter);
    const root = el.querySelector(".ag-root");
    D.attr(root, "aria-label", el.dataset.label);
    if (name === "tape") {
      api.setGridOption("isExternalFilterPresent", narrowed);
      api.setGridOption("doesExternalFilterPass", (node) => passes(node.data));
    }
    const save = () => keep(name, api);
    api.addEventListener("columnResized", (event) => event.finished && event.source === "uiColumnResized" && save());
    api.addEventListener("sortChanged", save);
    api.addEventListener("filterChanged", save);
    grid.view = el.querySelector(".ag-body-viewport");
    grid.api = api;
    el.dataset.ready = "1";
    grids.update();
  };
  // Rows that are not as they were, by id.
  const differences = (grid, rows) => {
    const add = [], update = [], now = new Map();
    for (const row of rows) {
      const text = JSON.stringify(row), was = grid.texts.get(row.id);
      now.set(row.id, text);
      if (was === undefined) add.push(row);
      else if (was !== text) update.push(row);
    }
    const remove = [...grid.texts.keys()].filter((id) => !now.has(id)).map((id) => ({ id }));
    grid.texts = now;
    return { add, update, remove };
  };
  const fill = (grid, s) => {
    const { api, name } = grid, spec = GRIDS[name];
    if (grid.s !== s) {
      const rows = spec.rows(s);
      Object.assign(grid, { s, texts: new Map(rows.map((row) => [row.id, JSON.stringify(row)])), order: spec.ranked ? rows.map((row) => row.id).join() : "" });
      api.setGridOption("rowData", rows);
    } else {
      const rows = spec.change ? null : spec.rows(s), change = rows ? differences(grid, rows) : spec.change(grid, s);
      const order = spec.ranked ? rows.map((row) => row.id).join() : "", ranks = order !== grid.order;
      grid.order = order;
      if (change === null || ranks) api.setGridOption("rowData", spec.rows(s));
      else if (change.add.length || change.remove.length || (change.update && change.update.length)) {
        // The reader stays at the rows that are read; at the top the newest come in.
        const at = api.getVerticalPixelRange().top, height = api.getGridOption("rowHeight");
        const held = at > 4 ? api.getDisplayedRowAtIndex(Math.floor(at / height)) : null, was = held ? held.rowIndex : 0;
        api.applyTransaction(spec.change ? change : { ...change, addIndex: 0 });
        if (held && held.rowIndex !== null && held.rowIndex !== was) grid.view.scrollTop = at + (held.rowIndex - was) * height;
      }
    }
    if (spec.after) spec.after(grid, s);
  };
  grids.update = () => {
    for (const [name, spec] of Object.entries(GRIDS)) {
      const el = document.getElementById(`grid-${name}`);
      let grid = grids.of.get(name);
      if (!el) {
        if (grid) grids.of.delete(name);
        continue;
      }
      if (!grid || grid.el !== el) {
        grid = { name, el, api: null, s: null, seen: false, written: "", texts: new Map() };
        grids.of.set(name, grid);
        eye.observe(el);
        begin(grid).catch((error) => V.note(`${name}: ${error.message}`));
      }
      const s = V.store.streams[spec.stream];
      if (!grid.api || grid.api.isDestroyed() || !grid.seen || document.hidden || !s || !spec.ready(s)) continue;
      if (grid.s === s && grid.written === mark(s)) continue;
      fill(grid, s);
      grid.written = mark(s);
      if (spec.drawn) V.live.written.add(spec.drawn);
    }
    least();
    ladder();
  };
  const least = () => {
    const host = D.host("tape:least");
    if (!host || host.firstElementChild) return;
    const field = document.createElement("input");
    Object.assign(field, { type: "text", inputMode: "decimal", autocomplete: "off", placeholder: "0", value: V.state.tmin });
    field.setAttribute("aria-label", "Least size of the trades shown");
    field.addEventListener("input", () => {
      const text = field.value.trim();
      field.dataset.bad = /^(\d{0,9}(\.\d{0,8})?)$/.test(text) ? "" : "1";
      if (!field.dataset.bad) V.setText("tmin", text === "." ? "" : text);
    });
    host.append(field);
  };
  V.onState((changed) => {
    const tape = grids.of.get("tape");
    if (tape && tape.api && (changed.includes("tside") || changed.includes("tmin"))) tape.api.onFilterChanged();
  });

  // ---------- ladder ----------
  // Rows of the page's own, not a grid's: see `dashboards/grids.py`.
  const rung = () => D.make("div", "l", D.make("i", ""), D.make("span", "p"), D.make("span", "q"), D.make("span", "vs-sec"));
  let beat = 0;
  const ladder = () => {
    const s = V.store.streams.depth, asks = D.host("ladder:a"), bids = D.host("ladder:b");
    if (!asks || !bids || !s || !s.b || !s.market || V.charts.depth.empty(s)) return;
    const room = asks.clientHeight || 320;
    if (s.climbed === mark(s) && s.room === room && asks.children.length) return;
    const again = s.climbed !== mark(s);
    if (again) V.live.written.add("depth");
    Object.assign(s, { climbed: mark(s), room });
    const { price_decimals, size_decimals: z, quote: q } = s.market, unit = F.sizeUnit(s.market), step = s.step || 1;
    // Joined levels are told to the decimals their step has: 10.0 needs none.
    let k = price_decimals;
    while (k && step % 10 ** (price_decimals - k + 1) === 0) k -= 1;
    const priced = (p) => F.group(p / 10 ** price_decimals, k);
    D.put("ladder.price", `Price, ${q}`);
    D.put("ladder.size", `Size, ${unit}`);
    D.put("ladder.sum", `Sum, ${unit}`);
    const n = Math.max(6, Math.min(40, Math.floor(room / 21)));
    const largest = Math.max(...s.a.q.slice(0, n), ...s.b.q.slice(0, n));
    const before = (s.joined === step && s.sizes) || { a: new Map(), b: new Map() }, flash = again && V.state.flash === "on";
    Object.assign(s, { sizes: { a: new Map(), b: new Map() }, joined: step });
    beat ^= 1;
    const fill = (host, side, name, reverse) => {
      const shown = Math.min(n, side.p.length), rows = D.pool(host, shown, rung);
      for (let i = 0; i < shown; i++) {
        const row = rows[reverse ? shown - 1 - i : i], [bar, price, size, sum] = row.children, p = side.p[i], was = before[name].get(p);
        s.sizes[name].set(p, side.q[i]);
        const width = `${((side.q[i] / largest) * 46).toFixed(1)}%`;
        if (bar.style.width !== width) bar.style.width = width;
        D.text(price, priced(p));
        D.text(size, F.scaled(side.q[i], z));
        D.text(sum, F.scaled(side.c[i], z));
        // A flash belongs to a price: it ends where another price took the row. Two names, so that it starts again.
        const change = flash && was !== undefined && was !== side.q[i] ? `${side.q[i] > was ? "more" : "less"}${beat}` : "";
        if (change) size.dataset.flash = change;
        else if (size.dataset.flash && (row.price !== p || V.state.flash !== "on")) delete size.dataset.flash;
        row.price = p;
        row.place = [side, i, name];
      }
    };
    fill(asks, s.a, "a", true);
    fill(bids, s.b, "b", false);
    const m = V.store.answer.market, mid = (s.ask + s.bid) / 2, spread = s.ask - s.bid, rise = m ? tone(m.change) : "";
    D.put("ladder.last", m ? `${rise === "up" ? "▲ " : rise === "down" ? "▼ " : ""}${F.scaled(m.last, price_decimals)}` : "–", rise);
    D.put("ladder.spread", `spread ${F.scaled(spread, price_decimals)} · ${F.group((spread / mid) * 1e4, 3)} bp`);
  };
  // What a row holds, in words, told when the pointer comes to it.
  const rungWords = (row) => {
    const s = V.store.streams.depth, [side, i, name] = row.place, { price_decimals: k, size_decimals: z, quote } = s.market, step = s.step || 1;
    const p = side.p[i], bid = name === "b", end = bid ? p + step : p - step, unit = F.sizeUnit(s.market);
    const where = step > 1 ? (bid ? `Bids from ${F.scaled(p, k)} up to, not with, ${F.scaled(end, k)}` : `Asks above ${F.scaled(end, k)} up to ${F.scaled(p, k)}`) : `${bid ? "Bids" : "Asks"} at ${F.scaled(p, k)}`;
    const away = Math.abs(p / ((s.bid + s.ask) / 2) - 1) * 1e4;
    return `${where} ${quote}: ${F.scaled(side.q[i], z)} ${unit}; ${F.scaled(side.c[i], z)} ${unit} from the best price to here, ${F.group(away, away < 10 ? 2 : 1)} bp from the mid`;
  };
  document.addEventListener("mouseover", (event) => {
    const row = event.target.closest && event.target.closest("#panel-ladder .side > .l");
    if (row && row.place) row.title = rungWords(row);
  });
})();
