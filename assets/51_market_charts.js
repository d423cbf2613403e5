/* The market: depth, candles, spread and imbalance, venues beside each other. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format;
  const { token, resolve, below, above, lastOf, edges, broken, over, move, clear, sizes, colourOf, bands, gapped } = V.chart;
  const charts = V.charts;

  // ---------- depth ----------
  // Whether sizes are on a log scale is chosen beside it; how far it reaches and what it joins the server was told.
  const logged = () => Boolean(document.querySelector('#panel-depth [data-key="logy"]')) && V.state.logy === "log";
  const middle = (s) => (F.none(s.bid) || F.none(s.ask) ? (s.b.p[0] + s.a.p[0]) / 2 : (s.bid + s.ask) / 2);
  const held = { h: 0, c: 0, y: 0, key: "" };
  const within = (s, far) => {
    const upto = (rows, inside) => {
      let sum = 0;
      for (let i = 0; i < rows.p.length && inside(rows.p[i]); i++) sum = rows.c[i];
      return sum;
    };
    const mid = middle(s);
    return [upto(s.b, (p) => p >= mid - far), upto(s.a, (p) => p <= mid + far)];
  };
  charts.depth = {
    stream: "depth", hz: 10,
    at: null, // the price the pointer is at
    empty: (s) => !s.market || !s.b || !s.a || !s.b.p.length || !s.a.p.length,
    shape(s) {
      const format = sizes(Math.max(lastOf(s.b.c), lastOf(s.a.c)) / 10 ** s.market.size_decimals), log = logged();
      const yaxis = log ? { type: "log", rangemode: "normal", nticks: 5, dtick: 1, tickformat: "~s" } : { type: "linear", tickformat: format };
      return { key: `${s.market.price_decimals}${format}${log}${s.span || 0}`, layout: { xaxis: { hoverformat: `,.${s.market.price_decimals}f` }, yaxis } };
    },
    data(s) {
      const k = 10 ** s.market.price_decimals, z = 10 ** s.market.size_decimals, span = s.span || 0, log = logged(), { b, a } = s;
      const key = `${s.key}|${span}|${s.step}`;
      if (held.key !== key) Object.assign(held, { h: 0, c: 0, y: 0, key });
      const mid = middle(s) / k, ends = [lastOf(b.p) / k, lastOf(a.p) / k], known = (s.reach || [lastOf(b.p), lastOf(a.p)]).map((p) => p / k);
      const reach = Math.min(mid - ends[0], ends[1] - mid);
      if (span) held.h = mid * span;
      else if (!(held.h <= reach && held.h >= reach * 0.6)) held.h = reach > 0 ? below(reach) : 1 / k;
      if (Math.abs(mid - held.c) > held.h * 0.12) held.c = Math.round(mid / (held.h / 20)) * (held.h / 20);
      const lo = held.c - held.h, hi = held.c + held.h;
      // Where the book is not known, nothing is drawn, and that is said; where it is, and has no more, the sum stays.
      const side = (rows, sign, edge, deepest) => {
        const x = log ? [] : [rows.p[0] / k], y = log ? [] : [0];
        for (let i = 0; i < rows.p.length; i++) {
          const price = rows.p[i] / k;
          if (sign * (price - edge) > 0) break;
          x.push(price);
          y.push(rows.c[i] / z);
        }
        if (y.length && sign * (deepest - edge) >= 0) {
          x.push(edge);
          y.push(lastOf(y));
        }
        return [x, y];
      };
      const [bx, by] = side(b, -1, lo, known[0]), [ax, ay] = side(a, 1, hi, known[1]);
      const top = Math.max(lastOf(by) || 0, lastOf(ay) || 0);
      if (!(top <= held.y && top >= held.y * 0.6)) held.y = top > 0 ? above(top * 1.06) : 1;
      const floor = log ? Math.min(...[by[0], ay[0]].filter((y) => y > 0), held.y / 10) : 0;
      this.range = [lo, hi];
      const dark = span ? [[lo, lastOf(bx)], [lastOf(ax), hi]].map(([from, to]) => (to - from > held.h * 0.004 ? [from, to] : null)) : [null, null];
      this.drawn = { mid: middle(s), decimals: s.market.price_decimals, dark, known: known.map((price) => `${F.signed(Number(((price / mid - 1) * 100).toPrecision(2)), 2)}%`) };
      const of = (price) => `${Math.abs((price / mid - 1) * 100).toPrecision(2)}%`, [down, up] = known.map(of);
      this.note = dark[0] || dark[1] ? `book is known to ${down === up ? `±${up}` : `−${down} and +${up}`}`
        : s.far ? `past ${F.group(s.near)}: groups of ${F.scaled(s.far, s.market.price_decimals)}, once a second` : "";
      if (this.at === null) this.tell(s, held.h * k);
      const meta = F.sizeUnit(s.market), gx = [], gy = [];
      for (const one of dark) if (one) {
        gx.push(one[0], one[0], one[1], one[1], one[0], null);
        gy.push(0, 1, 1, 0, 0, null);
      }
      return [
        [0, { x: bx, y: by, meta }],
        [1, { x: ax, y: ay, meta }],
        [2, { x: [mid, mid], y: [floor, held.y] }],
        [3, { x: [lo, hi], y: [floor, held.y] }],
        [4, { x: gx, y: gy }],
      ];
    },
    // Sizes of both sides as far from the mid as the pointer is, or as is drawn.
    tell(s, far) {
      const mid = middle(s), [bids, asks] = within(s, far), z = 10 ** s.market.size_decimals;
      const least = (deepest) => (s.reach && far > Math.abs(deepest - mid) * 1.0001 ? "≥ " : ""), [low, high] = s.reach || [0, 0];
      V.dom.put("depth.within", `±${((far / mid) * 100).toFixed(3)}%  ${least(low)}${F.three(bids / z)} / ${least(high)}${F.three(asks / z)} ${F.sizeUnit(s.market)}`);
    },
    after(gd) {
      if (!this.drawn) return;
      const { xaxis, yaxis } = gd._fullLayout;
      const { mid, decimals: k, dark, known } = this.drawn;
      dark.forEach((one, i) => {
        const label = over("depth", `dark${i}`, "vs-label is-unknown");
        V.dom.text(label, `not known past ${known[i]}`);
        const [from, to] = one ? one.map((x) => Math.max(0, Math.min(xaxis._length, xaxis.d2p(x)))) : [0, 0];
        move(label, xaxis._offset + (from + to) / 2, yaxis._offset + yaxis._length / 2, to - from > 66);
      });
      if (this.watched !== gd) {
        this.watched = gd;
        const tell = () => {
          const s = V.store.streams.depth;
          if (s && !this.empty(s)) this.tell(s, this.at === null ? held.h * 10 ** s.market.price_decimals : Math.abs(this.at * 10 ** s.market.price_decimals - middle(s)));
        };
        gd.on("plotly_hover", (event) => {
          this.at = event.xvals && event.xvals.length ? event.xvals[0] : event.points[0].x;
          tell();
        });
        gd.on("plotly_unhover", () => {
          this.at = null;
          tell();
        });
      }
      const el = over("depth", "mid", "vs-label is-mid");
      V.dom.text(el, `mid ${F.group(mid / 10 ** k, k + (mid % 1 ? 1 : 0))}`);
      const px = xaxis.d2p(mid / 10 ** k);
      move(el, xaxis._offset + px, yaxis._offset + 2, px >= 0 && px <= xaxis._length);
    },
  };
  V.onState((changed) => {
    if (!changed.includes("logy")) return;
    held.y = 0;
    V.link.redraw();
  });

  // Styles, scales and studies are the Market page's; elsewhere candles are just candles.
  const own = () => (document.querySelector('[data-page="market"]') ? V.state : { style: "candles", scale: "linear" });
  // Prices as the scale shows them: in percent of the window's first open, or as they are.
  V.chart.scaled = (s) => {
    const k = 10 ** s.market.price_decimals, base = s.rows.o[0];
    return own().scale === "percent" ? (p) => (p === null ? null : (p / base - 1) * 100) : (p) => (p === null ? null : p / k);
  };
  const SIGNED = { linear: "", log: "", percent: "+" };
  V.chart.priced = (s, p) => (own().scale === "percent" ? `${F.signed(V.chart.scaled(s)(p), 2)}%` : F.scaled(Math.round(p), s.market.price_decimals));

  const HOW = { candles: "hollow rises, filled falls", bars: "opens on the left, closes on the right", line: "through the closes" };
  V.chart.styled = () => HOW[own().style];

  const CANDLE = ["t", "o", "h", "l", "c", "v"];
  charts.candles = {
    stream: "candles", hz: 2,
    // While a past is filled in there are candles and no book yet, so nobody knows their units.
    empty: (s) => !s.market || !s.rows || !s.rows.t.length,
    shape(s, spec) {
      const format = sizes(Math.max(...s.rows.v) / 10 ** s.market.size_decimals), { style, scale } = own();
      const studies = V.studies.shape(s, spec), percent = scale === "percent";
      const yaxis = { hoverformat: percent ? "+.3f" : `,.${s.market.price_decimals}f`, type: scale === "log" ? "log" : "linear" };
      if (percent) Object.assign(yaxis, { tickformat: `${SIGNED[scale]}.2~f`, ticksuffix: "%" });
      return {
        key: `${s.market.price_decimals}${format}/${style}/${scale}/${studies.key}`,
        scale,
        traces: studies.traces,
        layout: { yaxis, yaxis2: { tickformat: format }, ...studies.layout },
      };
    },
    data(s) {
      const r = s.rows, z = 10 ** s.market.size_decimals, step = s.interval * 1000, { style } = own();
      const scaled = V.chart.scaled(s), down = (c) => c.map(scaled);
      const x = r.t.map((t) => t + step / 2);
      const rise = r.t.map((_, i) => r.c[i] >= r.o[i]);
      const last = scaled(lastOf(r.c)), [x0, x1] = edges(s, step);
      const colour = token(rise.length && lastOf(rise) ? "--vs-up" : "--vs-down");
      // What is written beside the chart is of the candle that was drawn; newer rows wait for the next draw.
      this.drawn = { market: s.market, gap: (s.gaps || []).at(-1), first: r.o[0], step, rows: Object.fromEntries(CANDLE.map((key) => [key, r[key].slice()])) };
      const meta = F.sizeUnit(s.market), bars = { x, open: down(r.o), high: down(r.h), low: down(r.l), close: down(r.c) };
      const none = { x: [], open: [], high: [], low: [], close: [] };
      const [lx, [ly]] = style === "line" ? V.studies.parted(s, r.t, step, [bars.close]) : [[], [[]]];
      return [
        [0, style === "candles" ? bars : none],
        [1, { x, y: r.v.map((v, i) => (rise[i] ? v / z : null)), meta }],
        [2, { x, y: r.v.map((v, i) => (rise[i] ? null : v / z)), meta }],
        [3, { x: [x0, x1], y: [last, last], "line.color": colour }],
        [4, bands(s.gaps || [], x0)],
        [5, { x: [x0, x1], y: [0, 0] }],
        [6, style === "bars" ? bars : none],
        [7, { x: lx, y: ly }],
        ...V.studies.data(s),
      ];
    },
    // Of the candle at a time, or (null) of the newest again; with the price at a height in px of the chart, if one is given.
    point(gd, t, y = null) {
      this.at = gd && t !== null ? { gd, t, y } : null;
      const own = V.graph("candles"), s = V.store.streams.candles;
      if (own && own._fullLayout && s && !this.empty(s)) this.tell(own, s);
    },
    tell(gd, s) {
      const d = this.drawn;
      if (!d) return;
      if (this.at && this.at.gd !== gd) this.at = null; // of a page that was left
      const { yaxis, xaxis } = gd._fullLayout, { rows: r, step, market } = d, { price_decimals: k, size_decimals: z } = market;
      // Where nothing was traded there is no candle, and a dash.
      const opened = this.at ? r.t[0] + Math.floor((this.at.t - r.t[0]) / step) * step : lastOf(r.t), i = r.t.lastIndexOf(opened);
      const of = (key) => (i < 0 ? null : r[key][i]), o = of("o"), c = of("c"), day = V.otherDay(opened);
      const change = o === null ? F.NONE : `${F.signed((c / o - 1) * 100, 2)}%`, tone = c > o ? "up" : c < o ? "down" : "";
      V.dom.put("candles.t", `${day ? `${day} ` : ""}${step < 60_000 ? F.time(opened) : F.time(opened).slice(0, 5)}`);
      for (const key of ["o", "h", "l"]) V.dom.put(`candles.${key}`, F.scaled(of(key), k));
      V.dom.put("candles.c", F.scaled(c, k), tone);
      V.dom.put("candles.change", change, { "+": "up", "−": "down" }[change[0]] || "");
      V.dom.put("candles.v", i < 0 ? F.NONE : `${F.scaled(of("v"), z)} ${F.sizeUnit(market)}`);
      V.studies.tell(s, this.at ? opened : null);
      const tag = over("candles", "pointer", "vs-pointer"), py = yaxis.d2p(V.chart.scaled(s)(lastOf(r.c)));
      const y = this.at && this.at.y !== null ? this.at.y - yaxis._offset : -1, shown = y >= 0 && y <= yaxis._length;
      if (shown) V.dom.text(tag, own().scale === "percent" ? `${F.signed(yaxis.p2d(y), 2)}%` : F.group(yaxis.p2d(y), k));
      move(tag, xaxis._offset + xaxis._length + 1, yaxis._offset + y, shown);
      clear(gd, yaxis, py, ...(shown ? [y] : []));
    },
    after(gd, s) {
      const d = this.drawn;
      if (!d) return;
      const { yaxis, xaxis } = gd._fullLayout, r = d.rows, { price_decimals: k, size_decimals: z } = d.market;
      const last = lastOf(r.c), rise = last >= lastOf(r.o);
      const most = (list) => list.reduce((x, y) => Math.max(x, y), 0);
      for (const key of ["o", "h", "l", "c"]) V.dom.room(`candles.${key}`, F.scaled(most(r.h), k));
      V.dom.room("candles.change", `−${F.group(most(r.c.map((c, i) => Math.abs(c / r.o[i] - 1))) * 100, 2)}%`);
      V.dom.room("candles.v", `${F.scaled(most(r.v), z)} ${F.sizeUnit(d.market)}`);
      this.tell(gd, s);
      V.dom.put("unit.candles", own().scale === "percent" ? "% since the first open" : `${d.market.quote}${own().scale === "log" ? ", log" : ""}`);
      const el = over("candles", "last", "vs-price");
      V.dom.text(el, V.chart.priced(s, last));
      if (el) el.dataset.tone = rise ? "up" : "down";
      const py = yaxis.d2p(V.chart.scaled(s)(last));
      move(el, xaxis._offset + xaxis._length + 1, yaxis._offset + py, py >= 0 && py <= yaxis._length);
      const second = over("candles", "second", "vs-unit is-second");
      V.dom.text(second, F.sizeUnit(d.market));
      move(second, 0, gd._fullLayout.yaxis2._offset - 15);
      gapped("candles", gd, d.gap);
      V.studies.after(gd, s, py);
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
      const dark = bands(holes, x0);
      this.hole = holes.at(-1);
      return [
        [0, { x, y }],
        [1, { x: fx, y: fy.map((v) => (v === null ? null : Math.max(0, v))) }],
        [2, { x: fx, y: fy.map((v) => (v === null ? null : Math.min(0, v))) }],
        [3, { x: [x0, x1], y: [0, 0] }],
        [4, dark],
        [5, dark],
      ];
    },
    after(gd) {
      gapped("metrics", gd, this.hole);
    },
  };

  // Labels at the right ends of lines: the value over the axis, in the line's colour, and the name behind it.
  // `placed` keeps them apart; what of them does not fit is left out. All of `list` has {value (on the axis), hue, text, name}.
  V.chart.ends = (chart, gd, list, placed = null) => {
    const { xaxis, yaxis } = gd._fullLayout, inside = list.map((one) => ({ ...one, y: yaxis.d2p(one.value) })).filter(({ y }) => y >= 0 && y <= yaxis._length);
    const shown = placed ? placed(inside, yaxis._length) : V.chart.apart(inside, 14, 7, yaxis._length - 7);
    const host = document.querySelector(`[data-over="${chart}"]`);
    if (!host) return;
    for (let i = 0; i < Math.max(shown.length, host.querySelectorAll(".vs-end").length); i++) {
      const one = shown[i], el = over(chart, `end${i}`, "vs-end");
      if (!el.children.length) el.append(V.dom.make("b", ""), V.dom.make("span", ""));
      if (one) {
        el.style.setProperty("--c", `var(${one.hue})`);
        V.dom.text(el.children[0], one.text);
        V.dom.text(el.children[1], one.name);
      }
      move(el, xaxis._offset + xaxis._length + 1, yaxis._offset + (one ? one.y : 0), Boolean(one));
    }
  };

  charts.mids = {
    stream: "mids", hz: 2,
    empty: (s) => !s.rows || !s.rows.t.length || !s.series.some((one) => (s.rows[one.id] || []).some((x) => x !== null)),
    shape(s, spec) {
      const traces = s.series.map((one) => {
        const trace = resolve(structuredClone(spec.slots.real));
        trace.name = one.label;
        trace.line.color = token(colourOf(one));
        if (V.ailing(one)) trace.opacity = 0.4;
        return trace;
      });
      return { key: s.series.map((one) => `${one.id}.${one.colour}${V.ailing(one) ? ".old" : ""}`).join("|"), traces };
    },
    data(s) {
      const step = (s.step || 1) * 1000, [x0, x1] = edges(s, step);
      const [x, ys] = broken(s.rows.t, step, s.series.map((one) => s.rows[one.id] || []));
      this.ends = s.series.map((one, i) => ({ one, value: [...ys[i]].reverse().find((value) => value !== null) })).filter(({ value }) => value !== undefined);
      return [[0, { x: [x0, x1], y: [0, 0] }], [1, { x: [x0, x1], y: [0, 0] }], ...ys.map((y, i) => [i + 2, { x, y }])];
    },
    after(gd) {
      V.chart.ends("mids", gd, (this.ends || []).map(({ one, value }) => ({ value, hue: colourOf(one), text: F.signed(value, 2), name: one.label })));
    },
    legend: (s) => s.series,
  };

  charts.indexed = {
    stream: "indexed", hz: 2,
    empty: (s) => !s.rows || !s.series.some((one) => (s.rows[one.id] || []).some((x) => x !== null)),
    shape(s, spec) {
      const traces = s.series.map((one) => {
        const trace = resolve(structuredClone(one.run === "sim" ? spec.slots.sim : spec.slots.real));
        trace.name = one.symbol ? `${one.label} ${one.symbol}` : one.label;
        trace.line.color = token(colourOf(one));
        if (V.ailing(one)) trace.opacity = 0.4;
        return trace;
      });
      return { key: s.series.map((one) => `${one.id}.${one.colour}${V.ailing(one) ? ".old" : ""}`).join("|"), traces };
    },
    data(s) {
      const step = (s.step || 1) * 1000, [x0, x1] = edges(s, step);
      this.ends = [];
      // A line goes on through a candle without a trade: where the price stood it has no point. It breaks at its own outages.
      const lines = s.series.map((one, i) => {
        const t = [], closes = [];
        let base = null;
        (s.rows[one.id] || []).forEach((close, at) => {
          if (close === null) return;
          if (base === null) base = close;
          t.push(s.rows.t[at]);
          closes.push((close / base) * 100);
        });
        const [x, [y]] = V.studies.parted(one, t, step, [closes]);
        if (y.length) this.ends.push({ one, value: lastOf(y) });
        return [i + 3, { x, y }];
      });
      const gaps = s.series.flatMap((one) => (one.gaps || []).map((gap) => ({ gap, one }))).filter(({ gap }) => gap[1] > x0).sort((a, b) => a.gap[1] - b.gap[1]);
      this.gap = gaps.at(-1);
      return [[0, { x: [x0, x1], y: [100, 100] }], [1, { x: [x0, x1], y: [100, 100] }], [2, bands(gaps.map(({ gap }) => gap), x0)], ...lines];
    },
    after(gd) {
      gapped("indexed", gd, this.gap && this.gap.gap, this.gap && `${this.gap.one.label} gap`);
      V.chart.ends("indexed", gd, (this.ends || []).map(({ one, value }) => ({ value, hue: colourOf(one), text: value.toFixed(3), name: one.label })));
    },
  };
})();
