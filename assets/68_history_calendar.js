/* The coverage calendar: a canvas of cells beside the names of their rows, a cursor for the keyboard, a selection by
   dragging. What a cell shows is worked out by the server; here it is only drawn and told. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, H = V.history;
  const AXIS = 24, BAR = 14;
  const C = (H.calendar = { cursor: null, sel: null });
  const DAY = 86_400_000;
  let ui = null;
  let hover = null; // [line, cell] under the mouse
  let drag = null;

  const narrow = () => window.innerWidth < 768;
  const rowHeight = () => (narrow() ? 28 : 22);
  const frame = () => (H.stream() || {}).calendar || null;
  const cellFrom = (k) => frame().from + k * frame().step;
  const cellTo = (k) => Math.min(cellFrom(k + 1), Math.max(cellFrom(k) + 1000, (V.store.answer || { now: 0 }).now));

  // Lines as they are drawn: each venue, then its symbols. A venue's own row holds what has no symbol.
  const linesOf = (s) => {
    const out = [];
    let venue = null;
    s.calendar.order.forEach(([of, symbol], place) => {
      if (of !== venue) out.push({ venue: (venue = of), symbol: "", place: symbol === "" ? place : -1 });
      if (symbol !== "") out.push({ venue: of, symbol, place });
    });
    return out;
  };
  // A row's runs as cells: [recorded, fetched later, hole] each.
  const cells = (row) => {
    if (!row.cells) row.cells = row.runs.flatMap(([n, ...shares]) => Array.from({ length: n }, () => shares));
    return row.cells;
  };

  // ---------- words ----------
  // What the shares of a row are of.
  const measureOf = (line, row) => `of ${row.of.join(" and ")}${row.of.length > 1 ? " together" : ""}${!line.symbol && row.of.some((x) => ["book", "trades"].includes(x)) ? ", the mean of its symbols" : ""}`;
  const titleOf = (line) => `${H.label(line.venue)} ${line.symbol || "as a whole"}`;
  const spanOf = (from, to) => (frame().step >= DAY ? F.day(from) + (to - from > DAY ? ` to ${F.day(to - 1)}` : "") : `${F.day(from)} ${H.clock(from)} to ${H.clock(to)} UTC`);
  const holesIn = (line, from, to) => (H.stream().holes || []).filter((x) => x.venue === line.venue && (x.symbol === "" || x.symbol === line.symbol) && x.from < to && x.to > from);
  const ofHole = (x) => `${x.what === "all" ? "everything" : x.what} ${F.day(x.from) === F.day(x.to) || frame().step < DAY ? "" : `${H.day(x.from)} `}${F.time(x.from)} to ${F.time(x.to)} (${H.length(x.to - x.from)}), ${x.reason}, ${!x.id ? "goes on" : x.state === "open" ? "not filled" : x.state}`;
  // [title, lines] of a cell.
  C.words = (line, k) => {
    const s = H.stream(), row = line.place >= 0 ? s.rows[line.place] : null, from = cellFrom(k), to = cellFrom(k + 1);
    const out = [];
    if (from > V.store.answer.now) out.push("Not yet");
    else if (!row || !row.kinds.length) out.push("Not recorded");
    else {
      const [recorded, filled, hole, some] = cells(row)[k] || [0, 0, 0, 0];
      const rest = 1000 - recorded - filled - hole - some;
      out.push(recorded + filled + hole + some === 0 ? "Not recorded" : [`${H.percent(recorded)} recorded`, filled ? `${H.percent(filled)} fetched later` : "", hole ? `${H.percent(hole)} missed` : "", some ? `${H.percent(some)} in part` : "", rest > 1 ? `${H.percent(rest)} not recorded` : ""].filter(Boolean).join(", "));
      if (recorded + filled + hole + some) out.push(measureOf(line, row));
      const list = holesIn(line, from, to);
      out.push(...list.slice(0, 3).map(ofHole));
      if (list.length > 3) out.push(`and ${list.length - 3} more`);
    }
    return [`${titleOf(line)} · ${spanOf(from, to)}`, out];
  };

  // ---------- colours ----------
  let paints = { key: "", of: {} };
  const paint = (name) => {
    const key = `${document.documentElement.dataset.bsTheme}`;
    if (paints.key !== key) paints = { key, of: {} };
    if (!paints.of[name]) paints.of[name] = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    return paints.of[name];
  };
  const hatch = (ctx, colour, gap, width, back) => {
    const name = `${colour}/${gap}/${width}/${back || ""}`;
    if (paints.of[name]) return paints.of[name];
    const tile = document.createElement("canvas"), k = window.devicePixelRatio || 1;
    tile.width = tile.height = Math.round(gap * k);
    const c = tile.getContext("2d");
    c.scale(tile.width / gap, tile.height / gap);
    if (back) {
      c.fillStyle = back;
      c.fillRect(0, 0, gap, gap);
    }
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.lineCap = "square";
    for (const d of [-gap, 0, gap]) {
      c.beginPath();
      c.moveTo(d, gap);
      c.lineTo(d + gap, 0);
      c.stroke();
    }
    const pattern = ctx.createPattern(tile, "repeat");
    if (pattern.setTransform) pattern.setTransform(new DOMMatrix().scale(gap / tile.width));
    paints.of[name] = pattern;
    return pattern;
  };

  // ---------- drawing ----------
  const sized = (canvas, width, height) => {
    const k = window.devicePixelRatio || 1, w = Math.round(width * k), h = Math.round(height * k);
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(k, 0, 0, k, 0, 0);
    ctx.clearRect(0, 0, width, height);
    return ctx;
  };
  const ticks = (f, width) => {
    const out = [];
    if (f.step >= DAY) {
      const room = Math.max(1, Math.ceil(48 / (width / f.cells)));
      const every = [1, 2, 5, 7, 14, 30].find((n) => n >= room) || 30;
      for (let k = f.cells - 1; k >= 0; k -= every) out.unshift([k, H.day(f.from + k * f.step)]);
      return out;
    }
    const major = f.zoom === "day" ? [1, 2, 3, 6, 12].map((h) => h * 4).find((n) => (n * width) / f.cells >= 44) || 48 : [5, 10, 15, 30].find((n) => (n * width) / f.cells >= 44) || 30;
    const every = major * f.step;
    for (let t = Math.ceil(f.from / every) * every; t < f.from + f.cells * f.step; t += every) out.push([(t - f.from) / f.step, H.clock(t)]);
    return out;
  };
  const draw = (s) => {
    const f = s.calendar, lines = linesOf(s), h = rowHeight(), width = Math.max(60, ui.plot.clientWidth), cw = width / f.cells;
    const now = V.store.answer.now, shown = ticks(f, width), gap = cw >= 5 ? 1 : 0, top = Math.round((h - BAR) / 2);
    Object.assign(ui, { lines, width, cw, h });
    const axis = sized(ui.axis, width, AXIS);
    axis.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    axis.textBaseline = "middle";
    axis.fillStyle = paint("--vs-text-3");
    for (const [k, text] of shown) {
      const at = f.step >= DAY ? (k + 0.5) * cw : k * cw, w = axis.measureText(text).width;
      const x = f.step >= DAY ? at - w / 2 : at + 3;
      if (x >= 0 && x + w <= width) axis.fillText(text, x, AXIS / 2);
    }
    const ctx = sized(ui.canvas, width, lines.length * h);
    ctx.fillStyle = paint("--vs-grid");
    for (const [k] of shown) if (k) ctx.fillRect(Math.round(k * cw), 0, 1, lines.length * h);
    lines.forEach((line, n) => {
      const y = n * h + top, row = line.place >= 0 ? s.rows[line.place] : null;
      if (n && line.symbol === "") {
        ctx.fillStyle = paint("--vs-line-1");
        ctx.fillRect(0, n * h, width, 1);
      }
      if (!row) return;
      const colour = paint(`--vs-venue-${H.colour(line.venue)}`);
      cells(row).forEach(([recorded, filled, hole, some], k) => {
        if (cellFrom(k) > now) return;
        const over = Math.min(1, (now - cellFrom(k)) / f.step); // of the running one, what is over
        const x = Math.round(k * cw), w = Math.max(1, Math.round((k + over) * cw) - x - gap);
        ctx.fillStyle = paint("--vs-surface-2");
        ctx.fillRect(x, y, w, BAR);
        // A share is a height; what is neither nothing nor all is never drawn as either.
        const tall = (share) => (share >= 1000 ? BAR : share <= 0 ? 0 : Math.min(BAR - 3, Math.max(2, Math.round((share / 1000) * BAR))));
        let full = tall(recorded), later = tall(filled), lost = hole ? Math.max(4, tall(hole)) : 0;
        if (full + later + lost > BAR) full = Math.max(recorded ? 2 : 0, BAR - later - lost);
        if (full + later + lost > BAR) later = Math.max(0, BAR - full - lost);
        if (recorded + filled + hole >= 999 && full + later + lost < BAR && !(recorded && recorded < 1000 && !filled && !hole)) full = BAR - later - lost;
        ctx.fillStyle = colour;
        if (some > 0) {
          ctx.globalAlpha = 0.45;
          ctx.fillRect(x, y + BAR - full - 2, w, 2);
          ctx.globalAlpha = 1;
        }
        if (full > 0) ctx.fillRect(x, y + BAR - full, w, full);
        if (later > 0) {
          const at = y + BAR - full - later;
          ctx.globalAlpha = 0.32;
          ctx.fillStyle = colour;
          ctx.fillRect(x, at, w, later);
          ctx.globalAlpha = 1;
          ctx.fillRect(x, at, w, 1);
          if (full === 0) ctx.fillRect(x, at + later - 1, w, 1);
        }
        if (lost > 0) {
          ctx.fillStyle = hatch(ctx, paint("--vs-stale-solid"), 4, 1.5, paint("--vs-surface-1"));
          ctx.fillRect(x, y, w, lost);
          ctx.fillStyle = paint("--vs-stale-solid");
          ctx.fillRect(x, y, w, lost >= BAR ? 1 : 2);
        }
      });
    });
    if (now > f.from && now < f.from + f.cells * f.step) {
      ctx.fillStyle = paint("--vs-text-2");
      ctx.fillRect(Math.round(((now - f.from) / f.step) * cw), 0, 1, lines.length * h);
    }
    marks(ctx);
  };
  const marks = (ctx) => {
    const f = frame(), sel = C.sel, { lines, cw, h, width } = ui;
    if (sel) {
      const n = lines.findIndex((line) => line.venue === sel.venue && line.symbol === sel.symbol);
      const x = Math.max(0, ((sel.from - f.from) / f.step) * cw), end = Math.min(width, ((sel.to - f.from) / f.step) * cw);
      if (n >= 0 && end > 0 && x < width) {
        ctx.fillStyle = paint("--vs-accent-weak");
        ctx.fillRect(x, n * h + 1, Math.max(2, end - x), h - 2);
        ctx.strokeStyle = paint("--vs-accent-text");
        ctx.lineWidth = 1.5;
        ctx.strokeRect(x + 0.75, n * h + 1.75, Math.max(2, end - x - 1.5), h - 3.5);
      }
    }
    const at = C.cursor;
    if (at && document.activeElement === ui.host && lines[at[0]]) {
      ctx.strokeStyle = paint("--vs-focus");
      ctx.lineWidth = 2;
      ctx.strokeRect(at[1] * cw, at[0] * h + 1, Math.max(3, cw), h - 2);
    }
    if (hover && !drag && lines[hover[0]]) {
      ctx.fillStyle = paint("--vs-hover");
      ctx.fillRect(0, hover[0] * h, width, h);
      ctx.fillRect(hover[1] * cw, hover[0] * h, Math.max(1, cw), h);
    }
  };
  const redraw = () => {
    const s = H.stream();
    if (ui && ui.host.isConnected && s && s.calendar && s.rows) draw(s);
  };

  // ---------- what is chosen ----------
  const pick = (line, first, last) => {
    const [a, b] = first <= last ? [first, last] : [last, first];
    C.sel = { venue: line.venue, symbol: line.symbol, from: cellFrom(a), to: cellTo(b) };
    if (H.chosen) H.chosen(C.sel);
  };
  const HINT = "Press a cell for what was missed in it, drag over cells to choose a stretch, press twice to zoom in.";
  const say = () => {
    const none = H.stream().rows.every((row) => row && !row.shares.some(Boolean));
    if (ui && !C.cursor) D.text(ui.cell, none ? "Nothing was recorded in this time. Newest shows the newest data." : HINT);
    if (!ui || !C.cursor || !ui.lines[C.cursor[0]]) return;
    const line = ui.lines[C.cursor[0]], [title, words] = C.words(line, C.cursor[1]);
    D.text(ui.cell, `${title}: ${words.join("; ")}`);
    D.attr(ui.cell, "title", ui.cell.textContent);
    if (document.activeElement === ui.host) V.say(ui.cell.textContent);
    const hole = holesIn(line, cellFrom(C.cursor[1]), cellFrom(C.cursor[1] + 1)).find(H.fetchable);
    if (!ui.fetch) {
      ui.fetch = H.fetchButton("vs-btn is-sm");
      ui.fetch.textContent = "Fetch what the venue still has";
      ui.zoom = D.button("Zoom in", "hist-in", "vs-btn is-sm");
      ui.acts.append(ui.fetch, ui.zoom);
    }
    ui.fetch.hidden = !hole;
    if (hole) H.fetchOf(ui.fetch, hole);
    ui.zoom.hidden = frame().zoom === "hour";
  };
  const IN = { "90d": "day", "30d": "day", day: "hour" }, OUT = { hour: "day", day: "30d", "30d": "90d" };
  C.zoomIn = (k = C.cursor ? C.cursor[1] : null) => {
    const to = IN[frame().zoom];
    if (to && k !== null) V.set({ hzoom: to, hat: cellFrom(k) + 1 });
  };
  C.zoomOut = () => {
    const f = frame(), to = OUT[f.zoom];
    if (to) V.set({ hzoom: to, hat: Math.min(V.store.answer.now, f.from + f.step * Math.floor(f.cells / 2)) });
  };
  H.acts["hist-in"] = () => {
    C.zoomIn();
    ui.host.focus();
  };
  H.acts["hist-move"] = (el) => {
    const f = frame(), by = Number(el.dataset.by);
    if (!f) return;
    const whole = f.step * f.cells, last = f.from + whole - 1;
    V.set({ hzoom: f.zoom, hat: Math.min(Math.floor(V.store.answer.now), last + by * whole) });
  };
  H.acts["hist-newest"] = () => V.set({ hat: 0, hzoom: (frame() || { zoom: "" }).zoom });
  // Shows a stretch: the zoom it fits in, at its time.
  C.show = (sel) => {
    C.sel = sel;
    const f = frame();
    if (f && (sel.from < f.from || sel.to > f.from + f.step * f.cells))
      V.set({ hzoom: sel.to - sel.from <= 3_600_000 && f.zoom === "hour" ? "hour" : sel.to - sel.from <= DAY ? "day" : "30d", hat: Math.floor(sel.to) - 1 });
    redraw();
  };

  // ---------- mouse and keys ----------
  const place = (event) => {
    const box = ui.canvas.getBoundingClientRect(), f = frame();
    const n = Math.floor((event.clientY - box.top) / ui.h), k = Math.floor((event.clientX - box.left) / ui.cw);
    return [Math.max(0, Math.min(ui.lines.length - 1, n)), Math.max(0, Math.min(f.cells - 1, k))];
  };
  const tip = (event) => {
    if (!hover || !ui.lines[hover[0]]) {
      ui.tip.hidden = true;
      return;
    }
    const [title, words] = C.words(ui.lines[hover[0]], hover[1]), lines = [title, ...words];
    const els = D.pool(ui.tip, lines.length, () => D.make("div", ""));
    lines.forEach((text, i) => D.text(els[i], text));
    ui.tip.hidden = false;
    const box = ui.part.getBoundingClientRect(), w = ui.tip.offsetWidth, h = ui.tip.offsetHeight;
    const x = event.clientX - box.left, y = event.clientY - box.top;
    ui.tip.style.left = `${Math.max(4, Math.min(box.width - w - 4, x + 14))}px`;
    ui.tip.style.top = `${y + 18 + h > box.height ? Math.max(2, y - h - 10) : y + 18}px`;
  };
  const listen = () => {
    const { canvas, host } = ui;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const [n, k] = place(event);
      drag = { n, from: k, to: k };
      C.cursor = [n, k];
      canvas.setPointerCapture(event.pointerId);
      host.focus({ preventScroll: true });
      pick(ui.lines[n], k, k);
      say();
      redraw();
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      const [n, k] = place(event);
      if (drag) {
        if (drag.to === k) return;
        drag.to = k;
        C.cursor = [drag.n, k];
        pick(ui.lines[drag.n], drag.from, k);
        redraw();
        return;
      }
      if (event.pointerType === "touch") return;
      if (!hover || hover[0] !== n || hover[1] !== k) {
        hover = [n, k];
        redraw();
      }
      tip(event);
    });
    const drop = () => {
      drag = null;
      redraw();
    };
    canvas.addEventListener("pointerup", drop);
    canvas.addEventListener("pointercancel", drop);
    canvas.addEventListener("pointerleave", () => {
      hover = null;
      ui.tip.hidden = true;
      redraw();
    });
    canvas.addEventListener("dblclick", (event) => C.zoomIn(place(event)[1]));
    host.addEventListener("focus", () => {
      if (!C.cursor && ui.lines) C.cursor = [Math.max(0, ui.lines.findIndex((line) => line.symbol)), lastCell()];
      say();
      redraw();
    });
    host.addEventListener("blur", redraw);
    host.addEventListener("keydown", (event) => {
      const f = frame();
      if (!f || !ui.lines.length || event.ctrlKey || event.metaKey || event.altKey) return;
      let [n, k] = C.cursor || [0, 0];
      const was = k;
      if (event.key === "ArrowLeft") k -= 1;
      else if (event.key === "ArrowRight") k += 1;
      else if (event.key === "ArrowUp") n -= 1;
      else if (event.key === "ArrowDown") n += 1;
      else if (event.key === "Home") k = 0;
      else if (event.key === "End") k = lastCell();
      else if (event.key === "Enter") return void (event.preventDefault(), event.stopPropagation(), C.zoomIn());
      else if (event.key === "Backspace") return void (event.preventDefault(), C.zoomOut());
      else if (event.key === "PageUp" || event.key === "PageDown") return void (event.preventDefault(), H.acts["hist-move"]({ dataset: { by: event.key === "PageUp" ? "-1" : "1" } }));
      else return;
      event.preventDefault();
      event.stopPropagation();
      n = Math.max(0, Math.min(ui.lines.length - 1, n));
      k = Math.max(0, Math.min(f.cells - 1, k));
      if (event.shiftKey && n === (C.cursor || [n])[0]) {
        if (C.anchor === undefined || C.anchor === null) C.anchor = was;
        pick(ui.lines[n], C.anchor, k);
      } else {
        C.anchor = null;
        pick(ui.lines[n], k, k);
      }
      C.cursor = [n, k];
      const y = n * ui.h;
      if (y < host.scrollTop) host.scrollTop = y;
      else if (y + ui.h + AXIS > host.scrollTop + host.clientHeight) host.scrollTop = y + ui.h + AXIS - host.clientHeight;
      say();
      redraw();
    });
    new ResizeObserver(redraw).observe(host);
  };
  const lastCell = () => {
    const f = frame();
    return Math.max(0, Math.min(f.cells - 1, Math.floor((V.store.answer.now - f.from) / f.step)));
  };

  // ---------- the names, the frame ----------
  const build = (host) => {
    const axis = document.createElement("canvas"), canvas = document.createElement("canvas");
    for (const one of [axis, canvas]) one.setAttribute("aria-hidden", "true");
    const corner = D.make("div", "corner"), names = D.make("div", "names"), plot = D.make("div", "plot", canvas);
    host.replaceChildren(D.make("div", "head", corner, D.make("div", "axis", axis)), D.make("div", "rows", names, plot));
    const part = host.parentElement, hint = D.make("div", "vs-cal-tip");
    hint.hidden = true;
    part.append(hint);
    ui = { host, axis, canvas, corner, names, plot, part, tip: hint, cell: D.host("calendar:cell"), acts: D.host("calendar:acts"), table: D.host("calendar:table"), lines: [], fetch: null };
    listen();
    return ui;
  };
  const name = () => D.make("div", "", D.make("i", "swatch"), D.make("span", ""), D.make("small", ""));
  const names = (s) => {
    const els = D.pool(ui.names, ui.lines.length, name);
    ui.lines.forEach((line, n) => {
      let [mark, text, more] = els[n].children;
      const row = line.place >= 0 ? s.rows[line.place] : null;
      const cls = line.symbol ? "is-symbol" : "is-venue";
      if (els[n].className !== cls) els[n].className = cls;
      H.swatch(mark, line.venue);
      D.text(text, line.symbol || H.label(line.venue));
      const empty = row && !row.runs.some((run) => run[1] || run[2] || run[3] || run[4]), last = empty ? (s.newest[line.place] || [])[1] : null;
      if (empty && last && more.tagName === "SMALL") more.replaceWith((more = D.button("", "hist-last", "is-quote is-last")));
      else if (!(empty && last) && more.tagName !== "SMALL") more.replaceWith((more = D.make("small", "")));
      if (empty && last) {
        D.text(more, window.innerWidth < 1380 ? F.day(last) : `last ${F.day(last)}`);
        Object.assign(more.dataset, { venue: line.venue, symbol: line.symbol });
        D.attr(more, "title", `Show the newest of ${titleOf(line)}`);
      } else D.text(more, row ? H.percent(row.shares[0]) : "");
      D.attr(els[n], "title", row ? `${titleOf(line)}: ${H.percent(row.shares[0])} of the time shown is recorded, ${measureOf(line, row)}${row.holes ? `, ${H.many(row.holes, "hole")} not filled` : ""}` : titleOf(line));
    });
  };
  H.acts["hist-last"] = (el) => H.jump(el.dataset.venue, el.dataset.symbol);
  // The same in words, for who cannot see it.
  const table = (s) => {
    const list = ui.lines.filter((line) => line.place >= 0);
    if (!ui.table.firstElementChild) ui.table.append(D.make("table", "", D.make("caption", "", "Coverage"), D.make("tbody", "")));
    D.table(ui.table.firstElementChild.lastElementChild, list.map((line) => {
      const row = s.rows[line.place];
      return [titleOf(line), row ? `${H.percent(row.shares[0])} recorded ${measureOf(line, row)}, ${H.percent(row.shares[1])} fetched later, ${H.percent(row.shares[2])} missed, ${H.many(row.holes, "hole")} not filled` : ""];
    }));
  };
  const heading = (f) => {
    const to = f.from + f.step * f.cells;
    if (f.step >= DAY) return `${H.day(f.from)} – ${H.year(to - 1)}`;
    if (f.zoom === "hour") return `${H.year(f.from)}, ${H.clock(f.from)} – ${H.clock(to)}`;
    return f.from % DAY ? `${H.day(f.from)} – ${H.year(to)}` : H.year(f.from);
  };
  let drawn = "";
  H.parts.push((s, parts) => {
    const host = D.host("calendar");
    if (!host || !s.calendar || !s.rows || s.rows.some((row) => row === null) || V.state.hpart !== "calendar") return;
    const fresh = !ui || ui.host !== host || !host.firstElementChild;
    if (fresh) build(host);
    const f = s.calendar, key = `${parts.mark(s)}/${V.theme()}/${host.clientWidth}/${window.innerWidth < 768}`;
    for (const el of document.querySelectorAll('[data-key="hzoom"]')) D.attr(el, "aria-pressed", String(el.dataset.value === f.zoom));
    parts.options("hwhat", [["", "Everything"], ...f.kinds.map((x) => [x, V.exchange.capital(x)])], f.what);
    // Cut words say nothing: where there is little room only what is not shown is told.
    const unit = window.innerWidth >= 1680 ? [`${{ "90d": "Days", "30d": "Days", day: "Quarter hours", hour: "Minutes" }[f.zoom]}, UTC`] : [];
    D.put("sub.coverage", !f.order.length ? "" : [...unit, ...(f.left_out ? [`${F.group(f.left_out)} more rows are not shown`] : [])].join("; "));
    if (drawn === key && !fresh) return;
    drawn = key;
    draw(s);
    D.text(ui.corner, heading(f));
    names(s);
    table(s);
    say();
    const later = document.querySelector('[data-act="hist-move"][data-by="1"]');
    if (later) later.disabled = f.from + f.step * f.cells > V.store.answer.now;
  });
})();
