/* What is neither a chart nor a grid: tiles, read-outs, chips, tables, meters. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const put = D.put;
  const lastOf = (a) => (a && a.length ? a[a.length - 1] : null);
  const stream = (name) => V.store.streams[name];
  // The direction of a signed figure as it is written: what is rounded to zero has none.
  const tone = (text) => ({ "+": "up", "−": "down" })[text[0]] || "";
  const arrow = (text) => ({ "+": "▲ ", "−": "▼ " })[text[0]] || "";
  const live = (V.live = { written: new Set() }); // `written`: streams whose rows were put into ladder or tape
  // What was written is written until its rows change, or the page was built anew.
  const mark = (s) => `${s.rev}/${D.turn}`;

  // ---------- bar ----------
  const quote = () => {
    const m = V.store.answer && V.store.answer.market;
    const symbol = m ? m.symbol : V.state.symbol || "–";
    put("quote.symbol", symbol);
    put("quote.last", m ? F.scaled(m.last, m.price_decimals) : "–");
    const known = m && !F.none(m.change);
    const percent = known ? `${F.signed(m.change_pct, 2)}%` : "";
    put("quote.percent", known ? arrow(percent) + percent : "", known ? tone(percent) : "");
    const span = F.length(!known ? V.state.window : m.change_s < 0.97 * m.window ? m.change_s : m.window); // it may have begun later, or hardly have traded
    put("quote.window", span);
    // Both forms where there is room for them; the percentage always.
    const both = known && window.innerWidth >= 1680, change = both ? F.signed(m.change / 10 ** m.price_decimals, m.price_decimals) : percent;
    put("quote.change", known ? `${arrow(change)}${both ? `${change} (${percent})` : percent}` : "", known ? tone(change) : "");
    put("quote.since", known ? span : "");
    put("unit.quote", m ? m.quote : "");
    put("unit.size", F.sizeUnit(m));
  };

  const options = (key, list, value) => {
    if (!list.length) list = [["", "–"]];
    const wanted = JSON.stringify(list);
    for (const select of document.querySelectorAll(`[data-select="${key}"]`)) {
      if (select.dataset.was !== wanted) {
        select.dataset.was = wanted;
        select.replaceChildren(...list.map(([v, text]) => {
          const option = D.make("option", "", text);
          option.value = v;
          return option;
        }));
      }
      if (document.activeElement !== select && select.value !== value) select.value = value;
    }
  };
  // The stage that is drawn: a source may not have the one asked for.
  const stageShown = () => (stream("latency") && stream("latency").stage) || V.state.stage;
  const selects = () => {
    const a = V.store.answer;
    if (!a) return;
    const shown = a.sources.filter((one) => one.shown);
    const symbols = [...new Set(shown.flatMap((one) => one.symbols || []))];
    const m = a.market;
    if (m && !symbols.includes(m.symbol)) symbols.unshift(m.symbol);
    options("symbol", symbols.map((x) => [x, x]), m ? m.symbol : "");
    options("source", shown.map((one) => [one.id, one.label]), m ? m.source : "");
    if (document.querySelector('[data-select="rows"]')) options("rows", V.charts.book_map.offers(stream("book_map")), V.state.rows);
    const stages = stream("stages");
    if (stages && stages.rows && document.querySelector('[data-select="stage"]'))
      options("stage", stages.rows.map((row) => [row.stage, row.label]), stageShown());
  };

  const chip = () => {
    const el = D.make("button", "vs-chip", D.make("span", "swatch"), D.make("span", "name"), D.make("i", "vs-dot"), D.make("span", "val"));
    el.type = "button";
    return el;
  };
  // A replay that could not be opened has no source to say so: it is said once. A new try may fail alike.
  // Not at once: the engine's word of a replay that broke off may come just before its source's.
  const start = { failed: "", since: 0, told: false };
  V.replayAsked = () => Object.assign(start, { failed: "", told: false });
  const missed = (why) => {
    if (why !== start.failed) Object.assign(start, { failed: why, since: Date.now(), told: false });
    if (!why || start.told || Date.now() - start.since < 700) return;
    start.told = true;
    D.toast("The replay did not start", why);
  };
  const chips = () => {
    const a = V.store.answer;
    if (!a) return;
    const real = a.sources.filter((one) => one.run !== "sim"), sim = a.sources.filter((one) => one.run === "sim");
    const list = [...real, ...sim];
    const asked = a.engine && a.engine.replay, failed = Boolean(asked && asked.state === "failed");
    const replay = (!asked || failed) && !a.sources.some((one) => one.run === "replay");
    const broke = a.sources.some((one) => one.run === "replay" && one.state === "error");
    missed(failed && !broke ? asked.detail || "See the log." : "");
    const markets = new Set((a.venues || []).map((one) => one.source));
    for (const where of ["bar", "off"]) {
      const host = D.host(`chips:${where}`);
      if (!host) continue;
      // A live market has a chip of its own in the bar, which connects it; here it is shown or not, as any source.
      const mine = where === "bar" ? list.filter((one) => !markets.has(one.id)) : list;
      const n = mine.length + (replay ? 1 : 0), els = D.pool(host, n, chip);
      mine.forEach((one, i) => {
        const el = els[i], [swatch, name, dot, val] = el.children;
        const bad = one.shown && (["stale", "reconnecting"].includes(one.state) ? " is-stale" : one.state === "error" ? " is-error" : "");
        const cls = `vs-chip${one.shown ? bad || "" : " is-off"}`;
        if (el.className !== cls) el.className = cls;
        if (el.dataset.id !== one.id) {
          el.dataset.id = one.id;
          el.dataset.act = "source";
          el.style.setProperty("--c", `var(--vs-venue-${one.colour})`);
        }
        const sw = one.run === "sim" ? "swatch is-sim" : "swatch";
        if (swatch.className !== sw) swatch.className = sw;
        D.text(name, one.label);
        const state = one.shown ? one.state : "off";
        const dotted = V.dot(state === "ended" ? "off" : one.shown && one.paused ? "past" : state);
        if (dot.className !== dotted) dot.className = dotted;
        D.attr(el, "aria-pressed", String(one.shown));
        const age = one.age_ms === null ? null : one.age_ms;
        const words = { ended: "ended", error: one.run === "replay" ? "failed" : "error", loading: "loading", reconnecting: "away" };
        D.text(val, one.shown ? words[one.state] || (one.paused ? "paused" : F.age(age)) : "");
        val.hidden = !one.shown;
        const day = one.run === "replay" ? V.otherDay(one.now) : "";
        D.attr(el, "title", `${one.label}: ${one.shown ? words[one.state] || one.state : "hidden in this browser"}${one.detail ? "; " + one.detail : ""}${day ? `; data of ${day} UTC` : ""}`);
      });
      if (replay) {
        const el = els[n - 1], [swatch, name, dot, val] = el.children;
        el.className = `vs-chip is-off${failed ? " is-error" : ""}`;
        el.dataset.act = "start-replay";
        el.dataset.id = "";
        el.removeAttribute("aria-pressed");
        el.style.setProperty("--c", "var(--vs-venue-7)");
        swatch.className = "swatch";
        D.text(name, "Replay");
        dot.className = V.dot(failed ? "error" : "off");
        val.hidden = !failed;
        D.text(val, failed ? "failed" : "");
        D.attr(el, "title", failed ? `The replay did not start: ${asked.detail || "see the log"}; press to play the sample capture` : "No replay is running; press to play the sample capture");
      }
    }
  };

  // ---------- simulation rate ----------
  const TOP = 1_000_000, STEPS = 1000;
  const toRate = (p) => {
    if (p <= 0) return 0;
    const rate = 10 ** (1 + (5 * (p - 1)) / (STEPS - 1)), k = 10 ** (Math.floor(Math.log10(rate)) - 1);
    return Math.min(TOP, Math.round(rate / k) * k);
  };
  const toSlider = (rate) => (rate < 1 ? 0 : Math.round(1 + ((Math.log10(Math.max(10, rate)) - 1) * (STEPS - 1)) / 5));
  const readRate = (text) => {
    const m = /^\s*([\d,.]+)\s*([km]?)\s*$/i.exec(text);
    if (!m) return null;
    const x = Number(m[1].replace(/,/g, "")) * { "": 1, k: 1e3, m: 1e6 }[m[2].toLowerCase()];
    return Number.isFinite(x) && x >= 0 && x <= TOP ? Math.round(x) : null;
  };
  const asked = { rate: null, until: 0 };
  V.askRate = (rate) => {
    Object.assign(asked, { rate, until: Date.now() + 2500 });
    V.command("set_rate", { orders_per_s: rate });
    showRate(rate, true);
  };
  const makeRate = (host) => {
    const slider = document.createElement("input"), field = document.createElement("input");
    slider.type = "range";
    slider.min = "0";
    slider.max = String(STEPS);
    slider.className = "vs-range";
    slider.setAttribute("aria-label", "Simulation rate");
    field.type = "text";
    field.inputMode = "numeric";
    field.autocomplete = "off";
    field.setAttribute("aria-label", "Simulation rate, orders per second");
    const marks = D.make("span", "marks", ...[["0", 0], ["10", 0.1], ["1k", 40], ["100k", 80], ["1M", 100]].filter(([t]) => t !== "0").map(([t, x]) => {
      const b = D.make("b", "", t);
      b.style.left = `${x}%`;
      return b;
    }));
    marks.setAttribute("aria-hidden", "true");
    const unit = D.make("span", "u", "orders/s");
    host.append(D.make("span", "vs-slide", slider, marks), D.make("span", "vs-inp", field, unit));
    slider.addEventListener("input", () => {
      const rate = toRate(Number(slider.value));
      field.value = F.group(rate);
      slider.style.setProperty("--p", `${(Number(slider.value) / STEPS) * 100}%`);
      slider.setAttribute("aria-valuetext", `${F.group(rate)} orders/s`);
    });
    slider.addEventListener("change", () => V.askRate(toRate(Number(slider.value))));
    const commit = () => {
      const rate = readRate(field.value);
      field.dataset.bad = rate === null ? "1" : "";
      if (rate === null) {
        D.toast("That is not a rate", "Give 0 to 1,000,000 orders per second, as 12000 or 12k.");
        delete field.dataset.dirty;
        return;
      }
      if (field.dataset.dirty) V.askRate(rate);
      delete field.dataset.dirty;
    };
    field.addEventListener("input", () => (field.dataset.dirty = "1"));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        field.dataset.dirty = "1";
        commit();
        field.blur();
      } else if (event.key === "Escape") {
        delete field.dataset.dirty;
        field.blur();
      }
    });
    field.addEventListener("blur", () => field.dataset.dirty && commit());
  };
  const showRate = (rate, force = false) => {
    for (const where of ["bar", "off"]) {
      const host = D.host(`rate:${where}`);
      if (!host) continue;
      if (!host.firstElementChild) makeRate(host);
      const slider = host.querySelector("input[type=range]"), field = host.querySelector("input[type=text]");
      const p = String(toSlider(rate));
      if ((force || document.activeElement !== slider) && slider.value !== p) {
        slider.value = p;
      }
      const fill = `${(Number(slider.value) / STEPS) * 100}%`;
      if (slider.style.getPropertyValue("--p") !== fill) slider.style.setProperty("--p", fill);
      D.attr(slider, "aria-valuetext", `${F.group(rate)} orders/s`);
      const text = F.group(rate);
      if ((document.activeElement !== field || force) && field.value !== text) field.value = text;
    }
  };
  const rate = () => {
    const engine = V.store.answer && V.store.answer.engine;
    if (!engine || F.none(engine.rate)) return;
    if (asked.rate !== null && (engine.rate === asked.rate || Date.now() > asked.until)) asked.rate = null;
    showRate(asked.rate === null ? engine.rate : asked.rate);
  };

  // ---------- tiles ----------
  const BAD = new Set(["throttled", "gaps"]); // figures that say nothing while they are zero
  const tiles = () => {
    const s = stream("tiles");
    if (!s || !s.figures || !document.querySelector(".vs-tiles")) return;
    const f = s.figures, m = s.market || {}, a = V.store.answer;
    const word = F.window(V.state.window);
    const unit = F.unit("tiles", F.none(f.p50) || F.none(f.p99) ? f.p50 : Math.sqrt(f.p50 * f.p99)); // one for both, from between them
    put("tile.real", F.si(f.real));
    const real = a.sources.filter((one) => one.shown && one.run !== "sim").length;
    put("tile.real.side", real || a.past ? "" : "none");
    put("tile.sim", F.si(f.sim));
    put("tile.sim.side", !a.past && a.engine && !F.none(a.engine.rate) ? `of ${F.si(a.engine.rate)}` : ""); // the rate is of now
    const stage = f.stage_label || "–";
    for (const key of ["p50", "p99"]) {
      put(`tile.${key}`, F.three(F.inUnit(f[key], unit)));
      put(`tile.${key}.unit`, F.none(f[key]) ? "" : `${unit}, ${word}`);
      put(`tile.${key}.side`, stage);
    }
    D.attr(document.querySelector(".vs-tiles"), "data-real", real ? "1" : "0");
    put("tile.spread", F.scaled(f.spread, m.price_decimals || 0));
    put("tile.spread.unit", m.quote || "");
    put("tile.spread.side", F.none(f.spread_bp) ? "" : `${F.group(f.spread_bp, 3)} bp`);
    put("tile.throttled", F.group(f.throttled), f.throttled > 0 ? "warn" : "");
    put("tile.throttled.unit", F.none(f.throttled) ? "" : "calls/s");
    put("tile.throttled.side", F.none(f.throttled) ? (a.past ? "not recorded" : "no venue") : "");
    put("tile.gaps", F.group(f.gaps), f.gaps > 0 ? "warn" : "");
    if (s.drawn !== mark(s)) {
      s.drawn = mark(s);
      for (const host of document.querySelectorAll("[data-spark]")) {
        const name = host.dataset.spark;
        if (BAD.has(name)) D.attr(host, "data-calm", (s.rows[name] || []).some((x) => x > 0) ? null : "1");
        D.spark(host, name === "throttled" && F.none(f.throttled) ? [] : s.rows[name], { colour: host.dataset.colour, hatch: host.dataset.hatch === "1", zero: ["real", "sim", "spread", "throttled", "gaps"].includes(name) });
      }
    }
  };
  const books = () => {
    const host = D.host("books"), a = V.store.answer;
    if (!host || !a) return;
    const shown = a.sources.filter((one) => (a.past ? one.id === a.past.source : one.shown)), ailing = (one) => one.state !== "live" || !one.books || one.books[0] < one.books[1];
    // Six have room: those that ail come first, so that none of them is left out for one that does not.
    const list = shown.length > 6 ? [...shown.filter(ailing), ...shown.filter((one) => !ailing(one))].slice(0, 6) : shown;
    // Names as the chips have them, with the venue's first letters, so that no two are cut to the same.
    const market = (one) => (a.venues || []).find((x) => x.source === one.id && x.venue);
    const named = (one) => ((x) => (x && window.innerWidth >= 768 ? `${x.venue.slice(0, 3)} ${x.short}` : one.label))(market(one));
    const total = shown.reduce((n, one) => [n[0] + (one.books ? one.books[0] : 0), n[1] + (one.books ? one.books[1] : 0)], [0, 0]);
    const none = (a.venues || []).filter((x) => x.state !== "off" && !a.sources.some((one) => one.id === x.source)).length;
    put("books.side", [total[1] ? `${total[0]} of ${total[1]} synced` : "", none ? `${none} without` : ""].filter(Boolean).join(", "));
    host.dataset.few = list.length <= 2 ? "1" : "";
    const cells = D.pool(host, list.length, () => D.make("div", "", D.make("i", "vs-dot"), D.make("b", ""), D.make("span", "")));
    list.forEach((one, i) => {
      const [dot, name, word] = cells[i].children;
      const full = one.books && one.books[0] === one.books[1];
      const state = one.state === "live" && !full ? "resyncing" : one.state;
      dot.className = V.dot(state === "ended" ? "off" : state);
      D.text(name, named(one));
      D.text(word, state === "live" ? (list.length > 2 ? "" : "synced") : state === "reconnecting" ? "retrying" : state);
      D.attr(cells[i], "title", `${one.label}: ${one.books ? `${one.books[0]} of ${one.books[1]} books synced, ` : ""}${one.state}`);
      word.dataset.tone = state === "live" || state === "ended" ? "" : "warn";
    });
  };

  // ---------- read-outs ----------
  const reads = () => {
    const d = stream("depth");
    if (d && d.market) {
      const k = d.market.price_decimals, known = !F.none(d.bid) && !F.none(d.ask) && ["SYNCED", "STALE"].includes(d.state);
      const spread = known ? d.ask - d.bid : null;
      const bp = known ? (spread / ((d.ask + d.bid) / 2)) * 1e4 : null;
      put("depth.bid", known ? F.scaled(d.bid, k) : "–", "up");
      put("depth.ask", known ? F.scaled(d.ask, k) : "–", "down");
      put("depth.spread", known ? `${F.scaled(spread, k)} · ${F.group(bp, 3)} bp` : "–");
      put("depth.imbalance", known ? `${F.signed(d.imbalance * 100)}%` : "–", known ? tone(F.signed(d.imbalance * 100)) : "");
    }
    const c = stream("candles");
    if (c && c.market && c.rows && c.rows.t.length) {
      // O, H, L, C and V are those of the drawn candle: the chart writes them.
      put("candles.vwap", F.none(c.vwap) ? "–" : F.scaled(Math.round(c.vwap), c.market.price_decimals));
      put("candles.trades", F.group(c.n));
      const follows = document.querySelector('[data-f="candles.follow"]'), word = V.store.answer.past ? "follow replay" : "follow live";
      if (follows && follows.parentElement.firstChild.data !== word) follows.parentElement.firstChild.data = word;
      put("candles.follow", V.state.paused ? "paused" : V.time.following() ? "on" : "off", V.state.paused ? "mut" : V.time.following() ? "ok" : "warn");
    } else for (const key of ["t", "o", "h", "l", "c", "change", "v", "vwap", "trades"]) put(`candles.${key}`, "–");
    const x = stream("metrics");
    if (x && x.rows && x.rows.t.length && x.market) {
      const bid = lastOf(x.rows.bid), ask = lastOf(x.rows.ask), im = lastOf(x.rows.imbalance);
      put("metrics.spread", F.none(bid) || F.none(ask) ? "–" : `${F.scaled(ask - bid, x.market.price_decimals)} ${x.market.quote}`);
      put("metrics.imbalance", F.none(im) ? "–" : `${F.signed(im * 100)}%`, tone(F.signed(im * 100)));
    }
    const latency = stream("latency");
    put("unit.latency", latency ? F.unit("latency", null) : "");
    if (latency && latency.what) put("sub.latency", latency.what[0].toUpperCase() + latency.what.slice(1));
    const shape = stream("distribution");
    put("unit.distribution", shape ? F.unit("distribution", null) : "");
    for (const name of ["candles", "latency", "latency_map", "book_map", "metrics", "throughput", "limits", "mids", "indexed", "exchange", "exchange_latency"]) {
      const rows = (stream(name) || {}).rows, day = rows && rows.t ? V.otherDay(lastOf(rows.t)) : "";
      put(`utc.${name}`, day ? `${window.innerWidth < 768 ? day.slice(5) : day} UTC` : "UTC");
    }
    const through = stream("throughput");
    put("unit.throughput", through && through.series ? V.charts.throughput.unit(through) : "");
  };

  // ---------- tables ----------
  const bar = (share, cls = "") => ({
    cls: "bar",
    draw(td) {
      let meter = td.firstElementChild;
      if (!meter) {
        meter = D.make("div", "vs-meter", D.make("i", ""));
        td.append(meter);
      }
      meter.className = `vs-meter ${cls}`.trim();
      meter.firstElementChild.style.width = `${Math.min(100, share * 100).toFixed(1)}%`;
    },
  });
  const n = (text, t = "") => ({ text, cls: "n", tone: t });
  const stages = () => {
    const host = D.host("stages"), s = stream("stages");
    if (!host || !s || !s.rows || s.tabled === mark(s)) return;
    s.tabled = mark(s);
    const known = s.rows.filter((row) => row.n > 0 && !F.none(row.p50));
    const unit = F.unit("stages", known.length ? Math.max(...known.map((row) => row.p50)) : null);
    const low = Math.log10(Math.max(0.01, Math.min(...known.map((row) => row.p50)) * 0.7)), high = Math.log10(Math.max(1, ...known.map((row) => row.p999)) * 1.4);
    const at = (us) => Math.max(0, Math.min(100, ((Math.log10(Math.max(0.001, us)) - low) / (high - low)) * 100));
    const value = (us) => (F.none(us) ? "–" : F.three(F.inUnit(us, unit)));
    D.table(host, s.rows.map((row) => [
      { text: row.label, cls: "name" },
      { text: row.what, cls: "vs-sec vs-hide-s" },
      n(F.group(row.n)), n(value(row.p50)), n(value(row.p90)), n(value(row.p99)), n(value(row.p999)), n(value(row.max)),
      {
        cls: "bar",
        draw(td) {
          if (!td.firstElementChild) td.append(D.make("div", "vs-reach", D.make("i", "")));
          const i = td.firstElementChild.firstElementChild, there = row.n > 0 && !F.none(row.p50);
          i.style.left = there ? `${at(row.p50).toFixed(1)}%` : "0";
          i.style.width = there ? `${Math.max(1.5, at(row.p999) - at(row.p50)).toFixed(1)}%` : "0";
        },
      },
      {
        cls: "mini",
        draw(td) {
          if (!td.firstElementChild) td.append(D.make("div", "vs-mini"));
          D.spark(td.firstElementChild, row.spark || [], { colour: "--vs-p99", fill: false, w: 96, h: 18 });
        },
      },
    ]));
  };
  const facts = () => {
    const s = stream("stages");
    if (!s || !s.rows || !document.querySelector('[data-f="fact.p50"]')) return;
    const row = s.rows.find((one) => one.stage === stageShown()) || s.rows[0];
    if (!row) return;
    const unit = F.unit("facts", row.p50);
    for (const key of ["p50", "p90", "p99", "p999", "max"]) {
      put(`fact.${key}`, F.three(F.inUnit(row[key], unit)));
      put(`fact.${key}.unit`, F.none(row[key]) ? "" : unit);
    }
    put("fact.max.side", row.label);
    put("fact.n", F.group(row.n));
    put("fact.n.side", F.window(V.state.window));
    const latency = stream("latency");
    if (latency) put("sub.samples", `${row.label}, events per ${latency.step || 1} s`);
  };
  const swatch = (one) => ({
    cls: "name",
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("span", "vs-named", D.make("i", "swatch"), D.make("span", "")));
      const [mark, name] = td.firstElementChild.children;
      mark.className = one.run === "sim" ? "swatch is-sim" : "swatch";
      mark.hidden = !one.colour; // a sum over all has none
      mark.style.setProperty("--c", `var(--vs-venue-${one.colour})`);
      D.text(name, one.label);
    },
  });
  const totals = () => {
    const host = D.host("totals"), s = stream("throughput");
    if (!host || !s || !s.rows || s.totalled === mark(s)) return;
    s.totalled = mark(s);
    // Rows are per second, one a step; seconds before a source began are null and count for nothing.
    const t = s.rows.t, step = t.length > 1 ? (t[1] - t[0]) / 1000 : 1;
    const line = (of) => {
      const cells = [];
      let all = 0;
      for (const key of ["messages", "orders", "trades"]) {
        const list = of(key).filter((x) => x !== null), total = list.reduce((x, y) => x + y, 0);
        if (!list.length && of(key).length) { // not counted of this one
          cells.push(n(F.NONE, "mut"), n(F.NONE, "mut"));
          continue;
        }
        if (key !== "trades") all += total * step;
        cells.push(n(F.si(Math.round(total / Math.max(1, list.length)))), n(F.si(Math.max(0, ...list)), "mut"));
      }
      return [...cells, n(F.group(Math.round(all)))];
    };
    put("sub.totals", `Mean per second over the window, and the highest ${step > 1 ? `${step} s mean` : "second"}`);
    const rows = s.series.map((one) => [swatch(one), ...line((key) => s.rows[`${one.id}/${key}`] || [])]);
    if (s.series.length > 1) {
      const together = (key) => s.rows.t.map((_, i) => {
        const known = s.series.map((one) => (s.rows[`${one.id}/${key}`] || [])[i]).filter((x) => x !== null && x !== undefined);
        return known.length ? known.reduce((x, y) => x + y, 0) : null;
      });
      rows.push([swatch({ label: "All" }), ...line(together)]);
    }
    D.table(host, rows);
    s.series.forEach((one, i) => host.children[i].classList.toggle("is-old", Boolean(V.ailing(one))));
  };
  const legends = () => {
    for (const name of ["throughput", "messages", "orders", "trades"]) {
      const host = D.host(`keys:${name}`), s = stream("throughput");
      if (!host || !s || !s.series) continue;
      const list = V.charts[name].legend(s);
      const key = list.map((one) => one.id + (V.ailing(one) ? " old" : "")).join();
      if (host.dataset.was === key) continue;
      host.dataset.was = key;
      let group = "";
      host.title = list.map((one) => one.label).join(", ");
      host.replaceChildren();
      for (const one of list) {
        const mark = D.make("i", one.run === "sim" ? "hatch" : "");
        mark.style.setProperty("--c", `var(--vs-venue-${one.colour})`);
        // Live markets by their names beside the venue's, as the chips have them.
        const market = (V.store.answer.venues || []).find((x) => x.source === one.id && x.venue);
        if (market && market.venue !== group) host.append(D.make("span", "of", market.venue));
        group = market ? market.venue : "";
        host.append(D.make("span", V.ailing(one) ? "is-old" : "", mark, market ? market.short : one.label));
      }
    }
  };

  // ---------- health ----------
  const labelOf = (id) => {
    const a = V.store.answer, limits = stream("limits");
    const one = a.sources.find((x) => x.id === id) || (a.venues || []).find((x) => x.id === id || x.source === id) || ((limits && limits.venues) || []).find((x) => x.id === id);
    const venue = one ? null : (a.venues || []).find((x) => x.id.startsWith(`${id}_`)); // a budget of several markets
    return one ? one.label : venue ? venue.venue : id;
  };
  live.labelOf = labelOf;
  // A ring's own name in words: what it holds, then whose; the engine's name is in its tooltip and in the CSV.
  const RINGS = [
    [/^candles /, "1 s candles, "], [/^minutes /, "1 m candles, "], [/^metrics /, "tops of book, "], [/^trades /, "trades, "],
    [/^book frames,? (\d+ s,)? ?/, (_, step) => `books${step ? ` each ${step}` : ","} `], [/^latency (\d+ s) /, "latency of $1, "],
    [/^latency buckets,? ?(\d+ s,)? ?/, (_, step) => `latency counts${step ? ` of ${step}` : ","} `], [/^latency eighths /, "latency map, "], [/^counters /, "rates, "], [/^limits /, "limits, "],
  ];
  const ringName = (name) => ({
    cls: "name wide",
    draw(td) {
      const [from, to] = RINGS.find(([known]) => known.test(name)) || [/^$/, ""];
      const [what, ...whose] = name.replace(from, to).split(", ");
      D.text(td, [what, ...whose.map((text) => text.split(" ").map((word) => labelOf(word === labelOf(word) ? word.split(":")[0] : word)).join(" "))].join(", "));
      D.attr(td, "title", name);
    },
  });
  const health = () => {
    const s = stream("health");
    if (!s || !s.tasks || s.tabled === mark(s) || !document.querySelector('[data-f="health.lag"]')) return;
    s.tabled = mark(s);
    const bad = (x) => (x > 0 ? "warn" : "mut");
    const agreed = (x) => Boolean(x.frames && x.agreement && x.agreement[1]); // without frames there was nothing to compare
    D.table(D.host("tasks"), s.tasks.map((t) => [
      { text: t.name, cls: "name" },
      {
        draw(td) {
          if (!td.firstElementChild) td.append(D.make("span", "vs-tag"));
          td.firstElementChild.className = `vs-tag ${/ended|done/.test(t.state) ? "" : /run|idle|wait/.test(t.state) ? "is-ok" : /fail|error|dead/.test(t.state) ? "is-bad" : "is-warn"}`;
          D.text(td.firstElementChild, t.state);
        },
      },
      n(F.group(t.restarts), bad(t.restarts)), n(t.since ? F.time(t.since) : "–"), { text: t.error || "–", cls: t.error ? "wide" : "vs-mut" },
    ]));
    D.table(D.host("sources"), (s.sources || []).map((x) => [
      { text: x.label, cls: "name" }, n(F.none(x.frames) ? "–, not recorded" : F.group(x.frames)), n(F.group(x.malformed), bad(x.malformed)), n(F.group(x.gaps), bad(x.gaps)),
      n(F.group(x.resyncs), bad(x.resyncs)), n(F.group(x.dropped), bad(x.dropped)),
      ...["late", "levels_dropped", "unchecked"].map((key) => ({ text: F.group(x[key]), cls: "n vs-hide-l", tone: key === "unchecked" ? "mut" : bad(x[key]) })),
      n(agreed(x) ? `${F.group((x.agreement[0] / x.agreement[1]) * 100, 3)}%` : "–", !agreed(x) ? "mut" : x.agreement[0] < x.agreement[1] ? "warn" : ""),
    ]));
    D.table(D.host("rings"), (s.rings || []).map((r) => [
      ringName(r.name), n(F.group(r.rows)), { text: F.group(r.capacity), cls: "n vs-hide-xl" }, bar(r.capacity ? r.rows / r.capacity : 0), { text: F.group(r.written), cls: "n vs-hide-xl" }, n(F.bytes(r.bytes)),
    ]));
    D.table(D.host("queues"), (s.queues || []).map((q) => [
      { text: q.name, cls: "name" }, n(F.group(q.depth)), n(F.group(q.peak)), { text: F.group(q.capacity), cls: "n vs-hide-xl" }, n(F.group(q.dropped), bad(q.dropped)),
    ]));
    D.table(D.host("frames"), [...(s.bad_frames || [])].reverse().map((x) => [
      { text: F.time(x.t), cls: "vs-sec" }, { text: labelOf(x.source), cls: "name" }, x.field, { text: x.frame, cls: "wide" },
    ]));
    const l = s.loop || {}, p = s.process || {}, k = s.kernels || {};
    put("health.lag", F.three(l.lag_p99_ms));
    put("health.lag.unit", F.none(l.lag_p99_ms) ? "" : "ms");
    put("health.lag.side", F.none(l.lag_max_ms) ? "" : `max ${F.three(l.lag_max_ms)}`);
    put("health.cpu", F.three(p.cpu_pct));
    put("health.cpu.unit", F.none(p.cpu_pct) ? "" : "% of a core");
    const [size, unit] = F.bytes(p.rss_bytes).split(" ");
    put("health.rss", size);
    put("health.rss.unit", unit || "");
    put("health.threads", F.group(p.threads));
    put("health.lost", F.group(p.lost_rows), p.lost_rows > 0 ? "warn" : "");
    put("health.uptime", F.none(p.uptime_s) ? "–" : F.span(p.uptime_s));
    put("health.kernels", k.total ? `${k.done} of ${k.total}` : k.state || "–");
    const ready = k.state === "running" ? "ready" : k.state || "";
    put("health.kernels.side", k.seconds ? `${ready} in ${F.three(k.seconds)} s` : ready);
    const kept = s.log, failed = kept && kept.state === "failed";
    put("health.log", !kept ? "off" : failed ? "failed" : kept.mode, failed ? "bad" : "");
    put("health.log.unit", kept ? F.bytes(kept.written_bytes) : "");
    put("health.log.side", !kept ? "" : kept.state === "closed" ? "closed" : `${F.si(kept.sequence - kept.durable)} behind`);
  };

  // A page's parts, in the order they are read.
  live.update = () => {
    quote();
    selects();
    chips();
    rate();
    tiles();
    books();
    reads();
    V.grids.update();
    stages();
    facts();
    totals();
    legends();
    health();
    const parts = { n, bar, mark, swatch, options };
    live.matching(parts);
    live.limits(parts);
    live.prices(parts);
    V.exchange.update(parts);
    V.history.update(parts);
    V.alerts.update(parts);
    V.impact.update(parts);
    V.slo.update();
    V.venues.update(parts);
  };
})();
