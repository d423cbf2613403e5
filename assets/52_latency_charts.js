/* Latency: percentiles over time, samples, the distribution. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format;
  const { lastOf, edges, broken, over, move, apart, bands, unheard, gapped } = V.chart;
  const charts = V.charts;

  const P = [["p50", "p50"], ["p90", "p90"], ["p95", "p95"], ["p99", "p99"], ["p999", "p99.9"]];
  // Ticks of a log axis over these latencies, as dense as their span has room for: all there may ever be, so that they
  // change only with the density.
  const DENSE = [[0.6, [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]], [3, [1, 2, 5]], [Infinity, [1]]];
  const ticked = (values) => {
    const known = values.filter((x) => x > 0), decades = Math.log10(Math.max(...known) / Math.min(...known));
    const [most, digits] = DENSE.find(([span]) => !(decades > span));
    const tickvals = [];
    for (let k = -3; k <= 7; k++) tickvals.push(...digits.map((digit) => Number((digit * 10 ** k).toPrecision(3))));
    const ticktext = tickvals.map((x) => F.group(x, (String(x).split(".")[1] || "").length));
    return { key: `${most}`, layout: { yaxis: { tickmode: "array", tickvals, ticktext } } };
  };
  const percentiles = (name, { largest = false, beside = null } = {}) => {
    const unitOf = (s) => {
      const r = s.rows, known = (list) => list.filter((x) => x !== null);
      return largest ? F.unit(name, Math.max(0, ...P.flatMap(([key]) => known(r[key]))), true) : F.unit(name, lastOf(known(r.p50)));
    };
    // The time on screen: where it stands beside another chart of the same window, that chart's.
    const shared = (s, step) => {
      const own = edges(s, step), other = beside && V.store.streams[beside];
      if (!other || !other.rows || !other.rows.t.length) return own;
      const [x0, x1] = edges(other, (other.step || 1) * 1000);
      return [Math.min(own[0], x0), Math.max(own[1], x1)];
    };
    return {
      stream: name, hz: 4,
      empty: (s) => !s.rows || !s.rows.t.length || s.rows.p50.every((x) => x === null),
      shape: (s) => ticked(P.flatMap(([key]) => s.rows[key])),
      data(s) {
        const r = s.rows, unit = unitOf(s);
        const step = (s.step || 1) * 1000, [x0, x1] = shared(s, step);
        const [x, ys] = broken(r.t, step, P.map(([key]) => r[key].map((v) => F.inUnit(v, unit))));
        const some = ys[0].find((v) => v !== null);
        // A stage without samples is no outage: one is where the book was not synced and nothing came.
        const gaps = unheard(s.gaps || [], r.t.filter((_, i) => r.p50[i] !== null), step);
        this.gap = gaps.at(-1);
        const drawn = [[5, { x: [x0, x1], y: [some, some] }], [7, bands(gaps, x0)]];
        if (name === "latency") {
          const known = P.flatMap(([key]) => r[key]).filter((v) => v > 0);
          drawn.push([6, V.slo.line([x0, x1], Math.min(...known), Math.max(...known), unit)]);
        }
        return [...ys.map((y, i) => [i, { x, y, meta: unit }]), ...drawn];
      },
      after(gd, s) {
        const { xaxis, yaxis } = gd._fullLayout, unit = F.unit(name, null), labels = [];
        if (name === "latency") V.slo.name(name, gd, unit);
        gapped(name, gd, this.gap);
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
  // In words, which percentiles have too few samples in some bucket to be told there.
  V.latencyFew = (s) => {
    const few = [["p90", "p90", "10"], ["p95", "p95", "20"], ["p99", "p99", "100"], ["p999", "p99.9", "1,000"]].filter(([key]) =>
      s.rows && s.rows[key].some((v, i) => v === null && s.rows.p50[i] !== null));
    return few.length ? `; ${few.map(([, label]) => label).join(", ")} need${few.length > 1 ? "" : "s"} ${few.map(([, , n]) => n).join(", ")} samples` : ", log scale";
  };
  charts.latency = percentiles("latency");
  charts.exchange_latency = percentiles("exchange_latency", { largest: true, beside: "exchange" });

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
    shape: (s) => ticked([...s.us, ...(s.other ? s.other.us : [])]),
    data(s) {
      const unit = F.unit("distribution", s.us[Math.floor(s.us.length * 0.1)] || s.us[0]);
      const points = (of) => {
        const x = [], y = [];
        of.us.forEach((us, i) => {
          if (us > 0) {
            x.push(of.nines[i]);
            y.push(F.inUnit(us, unit));
          }
        });
        return { x, y, meta: unit };
      };
      const own = points(s), { y } = own, most = Math.max(4, lastOf(own.x) || 4);
      const other = s.other ? points(s.other) : { x: [], y: [], meta: unit };
      const known = s.us.filter((us) => us > 0);
      return [
        [0, own], [1, { x: [0, most], y: [y[0], y[0]] }], [2, other],
        [3, V.slo.line([0, most], Math.min(...known), Math.max(...known), unit)],
      ];
    },
    after(gd, s) {
      V.slo.name("distribution", gd, F.unit("distribution", null));
      const { xaxis, yaxis } = gd._fullLayout, el = over("distribution", "other", "vs-label is-other");
      if (s.other && el) V.dom.text(el, `dotted: ${s.other.word}, ${F.group(s.other.n)} samples`);
      if (el) move(el, xaxis._offset + xaxis._length - 4, yaxis._offset + yaxis._length - 18, Boolean(s.other));
    },
  };
})();
