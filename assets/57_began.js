/* Before the program's start, before what a chart is of was first seen, or, in a range that is held, before the rows that
   a page keeps, there is nothing to draw: a quiet band says which, that is no gap. One for every chart over time; it lies
   over the chart and changes nothing of it. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const { ms, over, move } = V.chart;
  const LEAST = 24, WORDS = 150; // px from which there is a band, and words in it
  const SOON_MS = 15000; // what is first seen so long after the start belongs to it
  const NOT_DATA = new Set(["bounds", "Threshold", "Not kept", "Gap"]);

  const start = { epoch: "", at: 0 };
  const started = () => {
    const a = V.store.answer, up = a && a.engine && a.engine.uptime_s;
    if (!a || F.none(up)) return null;
    if (start.epoch !== a.epoch) Object.assign(start, { epoch: a.epoch, at: a.now - up * 1000 });
    return start.at;
  };
  const firstOf = (trace) => {
    if (trace.type === "heatmap") {
      const z = trace.z || [], x = trace.x || [];
      if (!z.length) return Infinity;
      if (!x.length) return ms(trace.x0) - trace.dx / 2;
      return x.length > z[0].length ? ms(x[0]) : ms(x[0]) - (x.length > 1 ? (ms(x[1]) - ms(x[0])) / 2 : 0); // edges, or middles
    }
    const y = trace.y || trace.close || [], x = trace.x || [];
    let i = 0;
    while (i < x.length && (y[i] === null || y[i] === undefined)) i++;
    return i < x.length ? ms(x[i]) : Infinity;
  };
  V.began = (name, gd) => {
    const { xaxis, _size } = gd._fullLayout || {};
    if (!xaxis || xaxis.type !== "date") return;
    const source = V.store.primary(), first = Math.min(...gd.data.filter((trace) => !NOT_DATA.has(trace.name) && (trace.xaxis || "x") === "x").map(firstOf));
    const [from, to] = xaxis.range.map(ms), at = started();
    // Rows that begin with the window began earlier: what was before them is no longer kept here.
    const s = V.store.streams[V.charts[name].stream], cut = Boolean(s && s.keep) && first < s.keep + 2 * V.time.step(s);
    const wide = Number.isFinite(first) ? xaxis.l2p(Math.min(first, to)) : 0;
    const shown = wide >= LEAST && first > from && (!cut || from < s.keep) && at !== null && !(source && source.run === "replay");
    const band = shown || document.querySelector(`[data-over="${name}"] [data-key="began"]`) ? over(name, "began", "vs-began") : null;
    if (!band) return;
    move(band, xaxis._offset, _size.t, shown);
    if (!shown) return;
    const size = [`${Math.round(wide)}px`, `${Math.round(_size.h)}px`];
    if (band.style.width !== size[0]) band.style.width = size[0];
    if (band.style.height !== size[1]) band.style.height = size[1];
    const own = at >= from && first - at < SOON_MS;
    const words = cut ? `before the ${F.window(V.state.window)} window` : `${own ? "started" : "first data"} ${F.time(own ? at : first)} UTC`;
    D.text(band, wide < WORDS ? "" : words);
  };
})();
