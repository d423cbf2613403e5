/* Latency over time as a heat of samples, the threshold on all charts of latency, and what lies above it. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const { lastOf, broken, over, move, apart, logTicks } = V.chart;

  // ---------- the threshold ----------
  const slo = (V.slo = {});
  const FAR = 6; // a threshold farther off than this many times what is drawn would press that flat
  const unitNow = () => {
    const s = V.store.streams.latency, last = s && s.rows ? lastOf(s.rows.p50.filter((x) => x !== null)) : null;
    return F.unit("latency", last);
  };
  slo.us = () => (V.state.slo === "" ? null : Number(V.state.slo));
  const wordOf = (us) => (us >= 1000 ? `${plain(us / 1000)} ms` : `${plain(us)} µs`);
  const plain = (x) => F.group(x, 3).replace(/\.?0+$/, "");
  // Where the threshold is drawn over latencies from `low` to `high` (µs): null where it is too far off, or none.
  slo.drawn = (low, high) => {
    const us = slo.us();
    return us === null || !(high > 0) || us > high * FAR || us < low / FAR ? null : us;
  };
  // The two ends of its line, in the chart's unit.
  slo.line = (x, low, high, unit) => {
    const us = slo.drawn(low, high);
    return us === null ? { x: [], y: [] } : { x, y: [F.inUnit(us, unit), F.inUnit(us, unit)] };
  };
  // Its name, above the line's left end; at the edge, with an arrow, where the line is not in the picture.
  slo.name = (name, gd, unit) => {
    const el = over(name, "slo", "vs-label is-slo"), us = slo.us();
    if (!el) return;
    if (us === null) return move(el, 0, 0, false);
    const { xaxis, yaxis } = gd._fullLayout, top = yaxis._offset, foot = top + yaxis._length;
    const y = top + yaxis.d2p(F.inUnit(us, unit));
    const out = y < top - 1 ? " ↑" : y > foot + 1 ? " ↓" : "";
    D.text(el, `threshold ${wordOf(us)}${out}`);
    move(el, xaxis._offset + 6, Math.min(Math.max(y - 16, top + 1), foot - 16));
  };
  // "100", "100us", "1.5 ms" in µs as text; "" for none, null for what is not a latency.
  slo.read = (text, unit) => {
    if (!text.trim()) return "";
    const m = /^\s*(\d{1,9}(?:\.\d{1,6})?)\s*(ms|us|µs|s)?\s*$/i.exec(text.replace(/,/g, ""));
    if (!m) return null;
    const us = Number(m[1]) * { us: 1, "µs": 1, ms: 1e3, s: 1e6 }[(m[2] || unit).toLowerCase()];
    return us >= 0.001 && us <= 1e9 ? String(Number(us.toFixed(3))) : null;
  };
  let form = null;
  const commit = () => {
    const found = slo.read(form.input.value, form.unit.value);
    D.attr(form.input, "aria-invalid", found === null ? "true" : null);
    if (found !== null) V.set({ slo: found });
  };
  const build = (host) => {
    const f = { host, input: D.make("input"), unit: D.make("select") };
    Object.assign(f.input, { type: "text", inputMode: "decimal", placeholder: "none", maxLength: 14, autocomplete: "off" });
    f.input.setAttribute("aria-label", "Latency threshold");
    f.unit.setAttribute("aria-label", "Unit of the threshold");
    for (const [value, text] of [["ms", "ms"], ["us", "µs"]]) {
      const option = D.make("option", "", text);
      option.value = value;
      f.unit.append(option);
    }
    f.input.addEventListener("keydown", (event) => event.key === "Enter" && commit());
    f.input.addEventListener("change", commit);
    f.unit.addEventListener("change", () => f.input.value.trim() && commit());
    f.unit.value = slo.us() !== null && slo.us() < 1000 ? "us" : slo.us() === null && unitNow() === "µs" ? "us" : "ms";
    host.replaceChildren(D.make("span", "vs-slo-word", "Threshold"), D.make("div", "vs-inp is-slo", f.input, f.unit));
    f.shown = undefined;
    return f;
  };
  const percent = (share) => (share === 0 ? "0" : share < 1e-6 ? "< 0.0001" : F.three(share * 100));
  slo.update = () => {
    const host = D.host("slo:form");
    if (!host) return;
    if (!form || form.host !== host || !form.input.isConnected) form = build(host);
    const us = slo.us(), own = us === null ? "" : plain(form.unit.value === "us" ? us : us / 1000);
    if (form.shown !== V.state.slo && document.activeElement !== form.input) {
      form.shown = V.state.slo;
      form.input.value = own;
      D.attr(form.input, "aria-invalid", null);
    }
    const s = V.store.streams.latency_map, told = s && s.slo && us !== null && Math.abs(s.slo.us - us) < 0.001 ? s.slo : null;
    const line = host.closest("section").querySelector(".vs-read");
    if (line) line.hidden = us === null;
    const share = told && told.of ? told.n / told.of : null;
    D.put("fact.slo", share === null ? "–" : percent(share), share ? "warn" : "");
    D.put("fact.slo.unit", share === null ? "" : "%");
    D.put("fact.slo.side", us === null ? "no threshold" : wordOf(us));
    if (us === null) return;
    D.put("slo.share", share === null ? "–" : `${F.group(told.n)} of ${F.group(told.of)} (${percent(share)} %)`, share ? "warn" : "");
    const worst = told && told.worst;
    D.put("slo.worst", worst ? `${percent(worst.n / worst.of)} % ${(worst.s || 1) > 1 ? `in the ${worst.s} s from` : "at"} ${F.time(worst.t)} UTC (${F.group(worst.n)} of ${F.group(worst.of)})` : "–");
    D.put("slo.unsure", told ? F.group(told.unsure) : "–");
  };
  V.onState((changed) => {
    if (changed.includes("slo") && V.link) V.link.redraw();
  });

  // ---------- the map ----------
  const ZERO = -4.35, LEAST = -4; // logarithm of a share: of none, and of the least that has a shade of its own
  const edge = (k, parts) => (k <= 0 ? 0.004 : 0.008 * 2 ** Math.floor((k - 1) / parts) * (1 + ((k - 1) % parts) / parts)); // µs
  const rowsOf = (s) => {
    let low = Infinity, high = 0;
    for (const [first, ...counts] of s.rows.c) {
      const skip = first ? 0 : counts.findIndex((count, row) => row && count); // row 0 is told of, not drawn
      if (skip < 0) continue;
      low = Math.min(low, first + skip);
      high = Math.max(high, first + counts.length);
    }
    return high ? [low, high] : [0, 1];
  };
  V.latencyUnder = (s) => s.rows.c.reduce((sum, [first, count]) => sum + (first ? 0 : count), 0);
  const spanOf = (s, parts = s.parts) => {
    const [low, high] = rowsOf(s);
    return [edge(low, parts), edge(high, parts)];
  };
  const right = (s) => Math.max(lastOf(s.rows.t) + s.step * 1000, s.keep + V.state.window * 1000 - s.step * 1000);
  const lines = (unit) => {
    const s = V.store.streams.latency;
    if (!s || !s.rows || !s.rows.t.length) return [[], [[], []]];
    const step = (s.step || 1) * 1000;
    return broken(s.rows.t.map((t) => t + step / 2), step, [s.rows.p50, s.rows.p99].map((list) => list.map((v) => F.inUnit(v, unit))));
  };
  V.charts.latency_map = {
    stream: "latency_map", hz: 1,
    empty: (s) => !s.rows || !s.rows.t.length,
    shape(s) {
      const unit = unitNow(), [low, high] = spanOf(s).map((us) => F.inUnit(us, unit));
      const tickvals = logTicks(low, high, 8);
      return { key: `${unit}${tickvals.join()}`, layout: { yaxis: { tickmode: "array", tickvals, ticktext: tickvals.map(plain) } } };
    },
    data(s) {
      const { t, c } = s.rows, step = s.step * 1000, unit = unitNow(), [low, high] = rowsOf(s);
      const size = high - low, n = Math.round((lastOf(t) - t[0]) / step) + 1;
      const z = Array.from({ length: size }, () => new Array(n).fill(null)), text = Array.from({ length: size }, () => new Array(n).fill(""));
      const y = Array.from({ length: size + 1 }, (_, k) => F.inUnit(edge(low + k, s.parts), unit));
      const range = y.slice(1).map((top, k) => `${low + k === 0 ? "below" : `${F.three(y[k])} to`} ${F.three(top)} ${unit}`);
      t.forEach((at, i) => {
        const k = Math.round((at - t[0]) / step), [first, ...counts] = c[i];
        const total = counts.reduce((sum, x) => sum + x, 0), when = `${F.time(at)} UTC, ${s.step} s`;
        for (let row = 0; row < size; row++) {
          const count = counts[row + low - first] || 0;
          z[row][k] = count ? Math.max(LEAST, Math.log10(count / total)) : ZERO;
          text[row][k] = `${when}<br>${range[row]}<br>${F.group(count)} of ${F.group(total)} samples, ${percent(count / total)} %`;
        }
      });
      const [x, [p50, p99]] = lines(unit), x0 = s.keep && s.keep < t[0] ? s.keep : t[0], x1 = right(s), top = y[size];
      const unknown = s.from && s.from > x0 ? [x0, s.from, s.from, x0, x0] : [];
      return [
        [0, { z, text, x0: t[0] + step / 2, dx: step, y }],
        [1, { x: unknown, y: unknown.length ? [y[0], y[0], top, top, y[0]] : [] }],
        [2, { x, y: p50 }], [3, { x, y: p50, meta: unit }], [4, { x, y: p99 }], [5, { x, y: p99, meta: unit }],
        [6, slo.line([x0, x1], edge(low, s.parts), edge(high, s.parts), unit)],
        [7, { x: [x0, x1], y: [y[0], top] }],
      ];
    },
    after(gd, s) {
      const { xaxis, yaxis } = gd._fullLayout, unit = unitNow(), labels = [], of = V.store.streams.latency;
      const clip = [yaxis._offset, yaxis._offset + yaxis._length - 7];
      for (const [key, label] of [["p99", "p99"], ["p50", "p50"]]) {
        const value = of && of.rows ? lastOf(of.rows[key]) : null, el = over("latency_map", key, "vs-label is-end is-on-heat");
        if (!el) continue;
        if (F.none(value) || value <= 0) {
          el.hidden = true;
          continue;
        }
        D.text(el, `${label}  ${F.three(F.inUnit(value, unit))}`);
        labels.push({ el, y: yaxis._offset + yaxis.d2p(F.inUnit(value, unit)) });
      }
      for (const { el, y } of apart(labels, 14, ...clip)) move(el, xaxis._offset + xaxis._length + 6, y);
      slo.name("latency_map", gd, unit);
      D.put("unit.latency_map", unit);
      const panel = document.getElementById("panel-latency_map");
      if (panel) panel.dataset.part = String(s.parts);
    },
  };
})();
