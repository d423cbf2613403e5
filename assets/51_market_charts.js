/* The market: depth, candles, spread and imbalance, venues beside each other. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format;
  const { token, resolve, below, above, lastOf, edges, broken, over, move, sizes, colourOf } = V.chart;
  const charts = V.charts;

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
})();
