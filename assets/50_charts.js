/* What goes into the charts' traces. Each entry: the stream it draws, the most often it may be drawn, what its
   layout hangs on (`shape`; a new key means a full draw), its arrays, and what is placed over it after a draw. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format;
  const root = document.documentElement;

  // ---------- tokens ----------
  let cache = new Map(), dressed = "";
  const token = (name) => {
    const dress = root.dataset.bsTheme + (root.dataset.vsUpdown || "");
    if (dress !== dressed) {
      cache = new Map();
      dressed = dress;
    }
    if (!cache.has(name)) cache.set(name, getComputedStyle(root).getPropertyValue(name).trim());
    return cache.get(name);
  };
  const resolve = (x) =>
    typeof x === "string" ? x.replace(/var\((--[\w-]+)\)/g, (_, name) => token(name))
    : Array.isArray(x) ? x.map(resolve)
    : x && typeof x === "object" ? Object.fromEntries(Object.entries(x).map(([key, value]) => [key, resolve(value)]))
    : x;
  const alpha = (hex, a) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${a})`;
  V.token = token;
  V.resolve = resolve;
  V.dressed = () => root.dataset.bsTheme + "/" + (root.dataset.vsUpdown || "safe");

  // ---------- arithmetic ----------
  const NICE = [1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
  const below = (x) => {
    const k = 10 ** Math.floor(Math.log10(x));
    let best = k;
    for (const n of NICE) if (n * k <= x * 1.0000001) best = n * k;
    return best;
  };
  const above = (x) => {
    const k = 10 ** Math.floor(Math.log10(x));
    for (const n of NICE) if (n * k >= x * 0.9999999) return n * k;
    return 10 * k;
  };
  const lastOf = (a) => (a.length ? a[a.length - 1] : null);
  // The window a chart of rows keeps open: from the oldest row kept to the end of the newest.
  const edges = (s, step) => {
    const t = s.rows.t;
    return [s.keep && s.keep <= t[0] ? s.keep : t[0], lastOf(t) + step];
  };
  // A null between rows that are further apart than their step, so that a line never bridges a gap.
  const broken = (t, step, columns) => {
    const x = [], out = columns.map(() => []);
    for (let i = 0; i < t.length; i++) {
      if (i && t[i] - t[i - 1] > step * 1.75) {
        x.push(t[i - 1] + step);
        for (const y of out) y.push(null);
      }
      x.push(t[i]);
      columns.forEach((c, k) => out[k].push(c[i] === undefined ? null : c[i]));
    }
    return [x, out];
  };

  // ---------- overlays ----------
  const over = (name, key, cls) => {
    const host = document.querySelector(`[data-over="${name}"]`);
    if (!host) return null;
    let el = host.querySelector(`[data-key="${key}"]`);
    if (!el) {
      el = V.dom.make("span", cls);
      el.dataset.key = key;
      host.append(el);
    }
    return el;
  };
  const move = (el, left, top, shown = true) => {
    if (!el) return;
    const wanted = shown ? `translate(${Math.round(left)}px, ${Math.round(top)}px)` : "";
    if (el.hidden === shown) el.hidden = !shown;
    if (shown && el.style.transform !== wanted) el.style.transform = wanted;
  };
  const apart = (labels, gap, low, high) => {
    labels.sort((a, b) => a.y - b.y);
    for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + gap);
    for (let i = labels.length - 1; i >= 0; i--) labels[i].y = Math.min(labels[i].y, high - (labels.length - 1 - i) * gap);
    for (let i = 0; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, low + i * gap);
    return labels;
  };

  // Small sizes in full, large ones as 12k: 0.4 would be 400m there.
  const sizes = (most) => (most < 10000 ? ",~r" : "~s");

  // ---------- the charts ----------
  const charts = (V.charts = {});

  const held = { h: 0, c: 0, y: 0, key: "" };
  charts.depth = {
    stream: "depth", hz: 10,
    empty: (s) => !s.market || !s.b || !s.a || !s.b.p.length || !s.a.p.length,
    shape(s) {
      const format = sizes(Math.max(lastOf(s.b.c), lastOf(s.a.c)) / 10 ** s.market.size_decimals);
      return { key: `${s.market.price_decimals}${format}`, layout: { xaxis: { hoverformat: `,.${s.market.price_decimals}f` }, yaxis: { tickformat: format } } };
    },
    data(s) {
      const k = 10 ** s.market.price_decimals, z = 10 ** s.market.size_decimals;
      const bid = s.b.p[0] / k, ask = s.a.p[0] / k, mid = (bid + ask) / 2;
      const reach = Math.min(mid - lastOf(s.b.p) / k, lastOf(s.a.p) / k - mid);
      if (held.key !== s.key) Object.assign(held, { h: 0, c: 0, y: 0, key: s.key });
      if (!(held.h <= reach && held.h >= reach * 0.6)) held.h = reach > 0 ? below(reach) : 1 / k;
      if (Math.abs(mid - held.c) > held.h * 0.12) held.c = Math.round(mid / (held.h / 20)) * (held.h / 20);
      const lo = held.c - held.h, hi = held.c + held.h;
      const side = (rows, inside) => {
        const x = [rows.p[0] / k], y = [0];
        for (let i = 0; i < rows.p.length; i++) {
          const price = rows.p[i] / k;
          if (!inside(price)) break;
          x.push(price);
          y.push(rows.c[i] / z);
        }
        const edge = inside === below_hi ? hi : lo;
        const reached = inside === below_hi ? lastOf(rows.p) / k >= hi : lastOf(rows.p) / k <= lo;
        if (reached) {
          x.push(edge);
          y.push(lastOf(y));
        }
        return [x, y];
      };
      const below_hi = (p) => p <= hi, above_lo = (p) => p >= lo;
      const [bx, by] = side(s.b, above_lo), [ax, ay] = side(s.a, below_hi);
      const top = Math.max(lastOf(by), lastOf(ay));
      if (!(top <= held.y && top >= held.y * 0.6)) held.y = top > 0 ? above(top * 1.06) : 1;
      this.range = [lo, hi];
      this.drawn = { mid: (s.b.p[0] + s.a.p[0]) / 2, decimals: s.market.price_decimals };
      const meta = F.sizeUnit(s.market);
      return [
        [0, { x: bx, y: by, meta }],
        [1, { x: ax, y: ay, meta }],
        [2, { x: [mid, mid], y: [0, held.y] }],
        [3, { x: [lo, hi], y: [0, held.y] }],
      ];
    },
    after(gd) {
      if (!this.drawn) return;
      const { xaxis, yaxis } = gd._fullLayout;
      const { mid, decimals: k } = this.drawn;
      const el = over("depth", "mid", "vs-label is-mid");
      V.dom.text(el, `mid ${F.group(mid / 10 ** k, k + (mid % 1 ? 1 : 0))}`);
      const px = xaxis.d2p(mid / 10 ** k);
      move(el, xaxis._offset + px, yaxis._offset + 2, px >= 0 && px <= xaxis._length);
    },
  };

  charts.candles = {
    stream: "candles", hz: 2,
    // While a past is filled in there are candles and no book yet, so nobody knows their units.
    empty: (s) => !s.market || !s.rows || !s.rows.t.length,
    shape(s) {
      const format = sizes(Math.max(...s.rows.v) / 10 ** s.market.size_decimals);
      return {
        key: `${s.market.price_decimals}${format}`,
        layout: { yaxis: { hoverformat: `,.${s.market.price_decimals}f` }, yaxis2: { tickformat: format } },
      };
    },
    data(s) {
      const r = s.rows, k = 10 ** s.market.price_decimals, z = 10 ** s.market.size_decimals, step = s.interval * 1000;
      const down = (c) => c.map((v) => (v === null ? null : v / k));
      const x = r.t.map((t) => t + step / 2);
      const rise = r.t.map((_, i) => r.c[i] >= r.o[i]);
      const last = lastOf(r.c) / k, [x0, x1] = edges(s, step);
      const bands = (s.gaps || []).filter(([, to]) => to > x0);
      const gx = [], gy = [];
      for (const [from, to] of bands) {
        const a = Math.max(from, x0);
        gx.push(a, a, to, to, a, null);
        gy.push(0, 1, 1, 0, 0, null);
      }
      const colour = token(rise.length && lastOf(rise) ? "--vs-up" : "--vs-down");
      // What is written beside the chart is of the candle that was drawn; newer rows wait for the next draw.
      this.drawn = { market: s.market, gap: (s.gaps || []).at(-1) };
      for (const key of ["o", "h", "l", "c", "v"]) this.drawn[key] = lastOf(r[key]);
      const meta = F.sizeUnit(s.market);
      return [
        [0, { x, open: down(r.o), high: down(r.h), low: down(r.l), close: down(r.c) }],
        [1, { x, y: r.v.map((v, i) => (rise[i] ? v / z : null)), meta }],
        [2, { x, y: r.v.map((v, i) => (rise[i] ? null : v / z)), meta }],
        [3, { x: [x0, x1], y: [last, last], "line.color": colour }],
        [4, { x: gx, y: gy }],
        [5, { x: [x0, x1], y: [0, 0] }],
      ];
    },
    after(gd) {
      const d = this.drawn;
      if (!d) return;
      const { yaxis, xaxis } = gd._fullLayout, k = d.market.price_decimals;
      const last = d.c, rise = last >= d.o;
      for (const key of ["o", "h", "l"]) V.dom.put(`candles.${key}`, F.scaled(d[key], k));
      V.dom.put("candles.c", F.scaled(last, k), last > d.o ? "up" : last < d.o ? "down" : "");
      V.dom.put("candles.v", `${F.scaled(d.v, d.market.size_decimals)} ${F.sizeUnit(d.market)}`);
      const el = over("candles", "last", "vs-price");
      V.dom.text(el, F.scaled(last, k));
      if (el) el.dataset.tone = rise ? "up" : "down";
      const py = yaxis.d2p(last / 10 ** k);
      move(el, xaxis._offset + xaxis._length + 1, yaxis._offset + py, py >= 0 && py <= yaxis._length);
      const second = over("candles", "second", "vs-unit is-second");
      V.dom.text(second, F.sizeUnit(d.market));
      move(second, 0, gd._fullLayout.yaxis2._offset - 15);
      const gap = d.gap, mark = over("candles", "gap", "vs-label is-gap");
      V.dom.text(mark, "book gap");
      const gx = gap ? xaxis.d2p((gap[0] + gap[1]) / 2) : -1;
      move(mark, xaxis._offset + gx, yaxis._offset + 2, gx > 0 && gx < xaxis._length);
    },
  };

  const P = [["p50", "p50"], ["p90", "p90"], ["p95", "p95"], ["p99", "p99"], ["p999", "p99.9"]];
  // Ticks of a log axis at 1, 2 and 5, or where those are too many at 1, or at every second decade.
  const logTicks = (low, high, most = 4) => {
    const at = (digits, every = 1) => {
      const found = [];
      for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k++)
        if (k % every === 0) found.push(...digits.map((d) => d * 10 ** k).filter((v) => v >= low && v <= high));
      return found;
    };
    return [at([1, 2, 5]), at([1]), at([1], 2)].find((list) => list.length <= most) || [];
  };
  const percentiles = (name, { largest = false, beside = null } = {}) => {
    const unitOf = (s) => {
      const r = s.rows, known = (list) => list.filter((x) => x !== null);
      return largest ? F.unit(name, Math.max(...known(r.p999)), true) : F.unit(name, lastOf(known(r.p50)));
    };
    // The time on screen: where it stands beside another chart of the same seconds, that chart's.
    const shared = (s, step) => {
      const own = edges(s, step), other = beside && V.store.streams[beside];
      if (!other || !other.rows || !other.rows.t.length || other.step !== s.step) return own;
      const [x0, x1] = edges(other, step);
      return [Math.min(own[0], x0), Math.max(own[1], x1)];
    };
    const ticked = (s) => {
      if (!largest) return { key: "" };
      const unit = unitOf(s), known = [...s.rows.p50, ...s.rows.p999].filter((x) => x > 0).map((x) => F.inUnit(x, unit));
      const tickvals = logTicks(Math.min(...known), Math.max(...known));
      return { key: tickvals.join(), layout: { yaxis: { tickmode: "array", tickvals, ticktext: tickvals.map(F.three) } } };
    };
    return {
      stream: name, hz: 4,
      empty: (s) => !s.rows || !s.rows.t.length || s.rows.p50.every((x) => x === null),
      shape: (s) => ticked(s),
      data(s) {
        const r = s.rows, unit = unitOf(s);
        const step = (s.step || 1) * 1000, [x0, x1] = shared(s, step);
        const [x, ys] = broken(r.t, step, P.map(([key]) => r[key].map((v) => F.inUnit(v, unit))));
        const some = ys[0].find((v) => v !== null);
        return [...ys.map((y, i) => [i, { x, y, meta: unit }]), [5, { x: [x0, x1], y: [some, some] }]];
      },
      after(gd, s) {
        const { xaxis, yaxis } = gd._fullLayout, unit = F.unit(name, null), labels = [];
        for (const [key, label] of [...P].reverse()) {
          const value = lastOf(s.rows[key]);
          const el = over(name, key, `vs-label is-end is-${key}`);
          if (!el) continue;
          if (value === null || value <= 0) {
            el.hidden = true;
            continue;
          }
          const shown = F.inUnit(value, unit);
          V.dom.text(el, `${label}  ${F.three(shown)}`);
          labels.push({ el, y: yaxis._offset + yaxis.d2p(shown) });
        }
        for (const { el, y } of apart(labels, 14, yaxis._offset, yaxis._offset + yaxis._length - 7))
          move(el, xaxis._offset + xaxis._length + 6, y);
      },
    };
  };
  charts.latency = percentiles("latency");
  charts.exchange_latency = percentiles("exchange_latency", { largest: true, beside: "exchange" });

  charts.exchange_rates = {
    stream: "exchange", hz: 2,
    empty: (s) => !s.rows || !s.rows.t.length || s.rows.orders.every((x) => x === null),
    shape: () => ({ key: "" }),
    data(s) {
      const r = s.rows, step = (s.step || 1) * 1000, [x0, x1] = edges(s, step), names = ["fills", "orders", "acks", "rejects"];
      const [x, ys] = broken(r.t, step, names.map((name) => r[name]));
      const most = Math.max(5, ...names.flatMap((name) => r[name]));
      return [...ys.map((y, i) => [i, { x, y }]), [4, { x: [x0, x1, x1], y: [0, 0, most * 1.05] }]];
    },
  };

  charts.samples = {
    stream: "latency", hz: 2,
    empty: charts.latency.empty,
    shape: () => ({ key: "" }),
    data(s) {
      const step = (s.step || 1) * 1000, [x0, x1] = edges(s, step);
      return [[0, { x: s.rows.t.map((t) => t + step / 2), y: s.rows.count }], [1, { x: [x0, x1], y: [0, 0] }]];
    },
  };

  charts.distribution = {
    stream: "distribution", hz: 1,
    empty: (s) => !s.us || !s.us.length,
    shape: () => ({ key: "" }),
    data(s) {
      const unit = F.unit("distribution", s.us[Math.floor(s.us.length * 0.1)] || s.us[0]);
      const x = [], y = [];
      s.us.forEach((us, i) => {
        if (us > 0) {
          x.push(s.nines[i]);
          y.push(F.inUnit(us, unit));
        }
      });
      return [[0, { x, y, meta: unit }], [1, { x: [0, Math.max(4, lastOf(x) || 4)], y: [y[0], y[0]] }]];
    },
  };

  // ---------- rates by source ----------
  const SIMULATED = (one) => one.run === "sim";
  const MATCHED = (one) => one.run === "sim" || one.run === "clients"; // by the built-in exchange
  const colourOf = (one) => `--vs-venue-${one.colour}`;
  const rates = (name, pick, layoutOf) => ({
    stream: "throughput", hz: 2,
    empty: (s) => !s.rows || !s.rows.t.length || !s.series.length,
    shape(s, spec) {
      const list = pick(s.series);
      const traces = list.map(({ one, axis }) => {
        const sim = SIMULATED(one), colour = token(colourOf(one));
        const trace = resolve(structuredClone(spec.slots[sim ? "sim" : "real"]));
        Object.assign(trace, { name: one.label, stackgroup: axis || "y", fillcolor: alpha(colour, sim ? 0.08 : 0.34), hoverinfo: "skip" });
        trace.line = { ...trace.line, color: colour, width: 0 };
        delete trace.hovertemplate;
        if (sim) trace.fillpattern.fgcolor = colour;
        if (axis) trace.yaxis = axis;
        return trace;
      });
      // A stack counts what is unknown as nothing, so its edges are lines of their own, with holes there.
      for (const { one, axis } of list) {
        const { line, hovertemplate, type, mode, x, y } = resolve(structuredClone(spec.slots[SIMULATED(one) ? "sim" : "real"]));
        line.color = token(colourOf(one));
        traces.push({ type, mode, x, y, line, hovertemplate, name: one.label, customdata: [], connectgaps: false, ...(axis ? { yaxis: axis } : {}) });
      }
      return {
        key: list.map(({ one, axis }) => `${one.id}.${one.colour}.${axis || ""}`).join("|"),
        traces, layout: layoutOf ? layoutOf(list) : {},
      };
    },
    data(s) {
      const [x0, x1] = edges(s, 1000);
      const list = pick(s.series), t = s.rows.t, step = t.length > 1 ? t[1] - t[0] : 1000;
      // Nothing is drawn where a source is unknown: unknown is not zero. Its area is of no height there, its line
      // has a hole. One point past the end draws the last step as wide as the others.
      const x = t.concat(lastOf(t) + step), under = { "": x.map(() => 0), y2: x.map(() => 0) };
      const areas = [], lines = [];
      list.forEach(({ one, field, axis }, i) => {
        const rows = s.rows[`${one.id}/${field}`] || [], base = under[axis || ""];
        const y = t.map((_, k) => (rows[k] === undefined ? null : rows[k]));
        const from = y.findIndex((v) => v !== null);
        y.push(lastOf(y));
        if (from < 0) {
          areas.push([i + 1, { x: [], y: [] }]);
          lines.push([list.length + i + 1, { x: [], y: [], customdata: [] }]);
          return;
        }
        areas.push([i + 1, { x: x.slice(from), y: y.slice(from).map((v) => v || 0) }]);
        lines.push([list.length + i + 1, { x, y: y.map((v, k) => (v === null ? null : (base[k] += v))), customdata: y }]);
      });
      return [[0, { x: [x0, x1], y: [0, 0] }], ...areas, ...lines];
    },
    after(gd, s) {
      const list = pick(s.series);
      const two = list.some((one) => one.axis), both = two && list.some((one) => !one.axis);
      const el = over(name, "second", "vs-unit is-second");
      if (el) V.dom.text(el, "orders/s");
      const axis = gd._fullLayout.yaxis2;
      if (el) move(el, 0, both && axis ? axis._offset - 16 : 0, Boolean(both && axis));
    },
    legend(s) {
      return pick(s.series).map(({ one }) => one);
    },
  });
  const both = (series) => {
    const real = series.filter((one) => !MATCHED(one)).map((one) => ({ one, field: "messages" }));
    const sim = series.filter(MATCHED).map((one) => ({ one, field: "orders", axis: real.length ? "y2" : "" }));
    return [...real, ...sim];
  };
  charts.throughput = rates("throughput", both, (list) => {
    const two = list.some((one) => one.axis);
    return two
      ? { yaxis: { domain: [0.42, 1] }, yaxis2: { domain: [0, 0.27] }, xaxis: { anchor: "y2" } }
      : { yaxis: { domain: [0, 1] }, yaxis2: null, xaxis: { anchor: "y" } };
  });
  charts.throughput.unit = (s) => (s.series.some((one) => !MATCHED(one)) ? "msg/s" : "orders/s");
  for (const field of ["messages", "orders", "trades"]) {
    // Sources that have none of it are left out, unless none has.
    const order = (series) => {
      const rows = (V.store.streams.throughput || {}).rows || {};
      const some = series.filter((one) => (rows[`${one.id}/${field}`] || []).some((x) => x > 0));
      const list = some.length ? some : series;
      return [...list.filter((one) => !SIMULATED(one)), ...list.filter(SIMULATED)].map((one) => ({ one, field }));
    };
    charts[field] = rates(field, order);
    charts[field].empty = (s) =>
      !s.rows || !s.rows.t.length || !s.series.some((one) => (s.rows[`${one.id}/${field}`] || []).some((x) => x > 0));
  }

  charts.metrics = {
    stream: "metrics", hz: 2,
    empty: (s) => !s.rows || !s.rows.t.length,
    shape: (s) => ({ key: `${s.market.price_decimals}`, layout: { yaxis: { hoverformat: `,.${s.market.price_decimals}f` } } }),
    data(s) {
      const step = V.state.window > 900 ? 10000 : 1000; // a row a second, or one of ten
      const r = s.rows, k = 10 ** s.market.price_decimals, [x0, x1] = edges(s, step);
      const known = r.t.map((_, i) => r.bid[i] !== null && r.ask[i] !== null);
      const spread = r.t.map((_, i) => (known[i] ? (r.ask[i] - r.bid[i]) / k : null));
      const [x, [y, im]] = broken(r.t, step, [spread, r.imbalance.map((v, i) => (known[i] ? v : null))]);
      // A fill runs on through a hole in its line: so it comes down to zero before each, and rises from zero behind.
      const fx = [], fy = [], holes = [];
      let from = null;
      x.forEach((t, i) => {
        if (im[i] === null) {
          if (from === null && i) {
            fx.push(t, t);
            fy.push(0, null);
          }
          if (from === null) from = t;
          return;
        }
        if (from !== null) {
          fx.push(t);
          fy.push(0);
          holes.push([from, t]);
          from = null;
        }
        fx.push(t);
        fy.push(im[i]);
      });
      if (from !== null) holes.push([from, x1]);
      const gx = [], gy = [];
      for (const [a, b] of holes) {
        gx.push(a, a, b, b, a, null);
        gy.push(0, 1, 1, 0, 0, null);
      }
      this.hole = holes.at(-1);
      return [
        [0, { x, y }],
        [1, { x: fx, y: fy.map((v) => (v === null ? null : Math.max(0, v))) }],
        [2, { x: fx, y: fy.map((v) => (v === null ? null : Math.min(0, v))) }],
        [3, { x: [x0, x1], y: [0, 0] }],
        [4, { x: gx, y: gy }],
        [5, { x: gx, y: gy }],
      ];
    },
    after(gd) {
      const { xaxis, yaxis } = gd._fullLayout, hole = this.hole, mark = over("metrics", "gap", "vs-label is-gap");
      V.dom.text(mark, "book gap");
      const at = hole ? xaxis.d2p((hole[0] + hole[1]) / 2) : -1;
      move(mark, xaxis._offset + at, yaxis._offset + 2, at > 0 && at < xaxis._length);
    },
  };

  charts.limits = {
    stream: "limits", hz: 2,
    empty: (s) => !s.venues || !s.venues.length || !s.rows || !s.rows.t.length,
    shape: () => ({ key: "" }),
    data(s) {
      const r = s.rows, t = r.t, step = (s.step || 1) * 1000, [x0, x1] = edges(s, step);
      const bad = t.map((_, i) => i).filter((i) => r.refused[i] > 0);
      return [
        [0, { x: t.map((x) => x + step / 2), y: r.throttled }],
        [1, { x: t.concat(lastOf(t) + step), y: r.waiting.concat(lastOf(r.waiting)) }],
        [2, { x: bad.map((i) => t[i] + step / 2), y: bad.map((i) => Math.max(r.throttled[i], r.waiting[i], 1)), customdata: bad.map((i) => r.refused[i]) }],
        [3, { x: [x0, x1, x1], y: [0, 0, Math.max(4, ...r.throttled, ...r.waiting) * 1.08] }],
      ];
    },
  };

  charts.mids = {
    stream: "mids", hz: 2,
    empty: (s) => !s.rows || !s.rows.t.length || !s.series.some((one) => (s.rows[one.id] || []).some((x) => x !== null)),
    shape(s, spec) {
      const traces = s.series.map((one) => {
        const trace = resolve(structuredClone(spec.slots.real));
        trace.name = one.label;
        trace.line.color = token(colourOf(one));
        return trace;
      });
      return { key: s.series.map((one) => `${one.id}.${one.colour}`).join("|"), traces };
    },
    data(s) {
      const step = (s.step || 1) * 1000, [x0, x1] = edges(s, step);
      const [x, ys] = broken(s.rows.t, step, s.series.map((one) => s.rows[one.id] || []));
      return [[0, { x: [x0, x1], y: [0, 0] }], [1, { x: [x0, x1], y: [0, 0] }], ...ys.map((y, i) => [i + 2, { x, y }])];
    },
    legend: (s) => s.series,
  };

  // ---------- drawing ----------
  const deep = (into, from) => {
    for (const [key, value] of Object.entries(from)) {
      if (value === null) delete into[key];
      else if (value && typeof value === "object" && !Array.isArray(value)) into[key] = deep(into[key] && typeof into[key] === "object" ? into[key] : {}, value);
      else into[key] = value;
    }
    return into;
  };
  const put = (trace, values) => {
    for (const [key, value] of Object.entries(values)) {
      if (key === "line.color") trace.line.color = value;
      else trace[key] = value;
    }
  };
  V.dated = (s) => Boolean(s.rows && s.rows.t && V.otherDay(lastOf(s.rows.t)));
  let template = null, templateOf = "";
  const slots = (width) => Math.max(2, Math.min(7, Math.floor((width - 90) / 92)));
  // The whole figure: at the first draw, after a change of theme or shape. Keeps what the user has zoomed to.
  V.figure = (name, s, specs, old, shape, arrays, width) => {
    const dress = V.dressed();
    if (templateOf !== dress) {
      template = resolve(specs.template);
      templateOf = dress;
    }
    const spec = specs.charts[name];
    const data = resolve(structuredClone(spec.data)).concat(shape.traces || []);
    const layout = deep(resolve(structuredClone(spec.layout)), shape.layout || {});
    layout.template = template;
    if (layout.xaxis && !layout.xaxis.tickvals) layout.xaxis.nticks = slots(width);
    if (window.innerWidth < 768 && layout.margin) layout.margin.r = Math.max(layout.margin.r || 0, 56);
    // Room for the day beside UTC, and for half of a tick's label at the end of the axis.
    if (V.dated(s)) layout.margin.r = Math.max(layout.margin.r || 0, window.innerWidth < 768 ? 98 : 136);
    layout.meta = { drawn: `${dress}/${shape.key}/${V.dated(s)}` };
    if (old && old.layout && old.layout.meta)
      for (const axis of Object.keys(layout))
        if (/^[xy]axis/.test(axis) && old.layout[axis] && old.layout[axis].autorange === false && old.layout[axis].range && !layout[axis].fixedrange)
          Object.assign(layout[axis], { autorange: false, range: old.layout[axis].range });
    for (const [i, values] of arrays) put(data[i], values);
    return { data, layout };
  };
  V.patch = (arrays) => {
    const patch = new window.dash_clientside.Patch();
    for (const [i, values] of arrays)
      for (const [key, value] of Object.entries(values)) patch.assign(["data", i, ...key.split(".")], value);
    return patch.build();
  };
  V.graph = (name) => document.querySelector(`[data-chart="${name}"] .js-plotly-plot`);
  V.zoomed = (gd) => Boolean(gd && gd._fullLayout && gd._fullLayout.xaxis && gd._fullLayout.xaxis.autorange === false);
  const ms = (value) => (typeof value === "number" ? value : Date.parse(String(value).replace(" ", "T") + (/[Z+]/.test(String(value)) ? "" : "Z")));
  // The x range on screen: the user's, or a chart's own; null is the whole window.
  V.range = (name) => {
    const gd = V.graph(name), chart = charts[name];
    if (V.zoomed(gd)) {
      const axis = gd._fullLayout.xaxis;
      return axis.range.map((x) => (axis.type === "date" ? ms(x) : Number(x)));
    }
    return (chart && chart.range) || null;
  };
})();
