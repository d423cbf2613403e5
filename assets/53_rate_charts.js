/* Rates by source, and what was throttled; the traffic of the built-in exchange. */
(() => {
  "use strict";
  const V = window.venuescope;
  const { token, resolve, alpha, lastOf, edges, broken, over, move, colourOf } = V.chart;
  const charts = V.charts;

  // ---------- rates by source ----------
  const SIMULATED = (one) => one.run === "sim";
  const MATCHED = (one) => one.run === "sim" || one.run === "clients"; // by the built-in exchange
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
        if (V.ailing(one)) trace.fillcolor = alpha(colour, sim ? 0.03 : 0.12);
        return trace;
      });
      // A stack counts what is unknown as nothing, so its edges are lines of their own, with holes there.
      for (const { one, axis } of list) {
        const { line, hovertemplate, type, mode, x, y } = resolve(structuredClone(spec.slots[SIMULATED(one) ? "sim" : "real"]));
        line.color = token(colourOf(one));
        traces.push({ type, mode, x, y, line, hovertemplate, name: one.label, opacity: V.ailing(one) ? 0.4 : 1, customdata: [], connectgaps: false, ...(axis ? { yaxis: axis } : {}) });
      }
      return {
        key: list.map(({ one, axis }) => `${one.id}.${one.colour}.${axis || ""}${V.ailing(one) ? ".old" : ""}`).join("|"),
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
    // Sources that have none of it are left out.
    const order = (series) => {
      const rows = (V.store.streams.throughput || {}).rows || {};
      const some = series.filter((one) => (rows[`${one.id}/${field}`] || []).some((x) => x > 0));
      const list = some.length ? some : [];
      return [...list.filter((one) => !SIMULATED(one)), ...list.filter(SIMULATED)].map((one) => ({ one, field }));
    };
    charts[field] = rates(field, order);
    charts[field].empty = (s) =>
      !s.rows || !s.rows.t.length || !s.series.some((one) => (s.rows[`${one.id}/${field}`] || []).some((x) => x > 0));
  }

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
})();
