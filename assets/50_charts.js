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
  // A time as traces and axes have it, UTC ms or Plotly's text, in UTC ms.
  const ms = (value) => (typeof value === "number" ? value : Date.parse(String(value).replace(" ", "T") + (/[Z+]/.test(String(value)) ? "" : "Z")));
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
  // Ticks that one of the tags at `places`, pixels of the axis, would half cover are hidden whole.
  const clear = (gd, axis, ...places) => {
    for (const tick of gd.querySelectorAll(`.${axis._id}tick`)) {
      const near = tick.__data__ && places.some((y) => Math.abs(axis.l2p(tick.__data__.x) - y) < 15), wanted = near ? "hidden" : "";
      if (tick.style.visibility !== wanted) tick.style.visibility = wanted;
    }
  };
  // ---------- outages ----------
  // Bands from 0 to 1 of an axis of their own, from the chart's left edge on: `gaps` are [from, to] in ms.
  const bands = (gaps, x0) => {
    const x = [], y = [];
    for (const [from, to] of gaps) {
      if (to <= x0) continue;
      const a = Math.max(from, x0);
      x.push(a, a, to, to, a, null);
      y.push(0, 1, 1, 0, 0, null);
    }
    return { x, y };
  };
  // What of `gaps` no row fell into: `t` are the rows' times, each of `step` ms; a row may come so much after its time.
  const LATE_MS = 3000;
  const unheard = (gaps, t, step) => {
    const holes = [[-Infinity, t[0]]];
    for (let i = 1; i < t.length; i++) if (t[i] - t[i - 1] > step * 1.75) holes.push([t[i - 1] + step, t[i]]);
    const within = ([from, to]) => {
      const last = lastOf(t) + step, found = to > last + LATE_MS ? [...holes, [last, to]] : holes;
      return found.map(([a, b]) => [Math.max(from, a), Math.min(to, b)]).filter(([a, b]) => b > a);
    };
    return gaps.flatMap(within);
  };
  // The words over a band.
  const gapped = (name, gd, gap, text = "book gap") => {
    const { xaxis, yaxis } = gd._fullLayout, mark = over(name, "gap", "vs-label is-gap");
    V.dom.text(mark, text);
    const at = gap ? xaxis.c2p((gap[0] + gap[1]) / 2) : -1;
    move(mark, xaxis._offset + at, yaxis._offset + 2, at > 0 && at < xaxis._length);
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
  const colourOf = (one) => `--vs-venue-${one.colour}`;
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

  // ---------- the charts ----------
  // Each is put here by the file of its page or subject (`51_` to `59_`), made with these.
  const charts = (V.charts = {});
  V.chart = { token, resolve, alpha, below, above, lastOf, edges, broken, over, move, clear, apart, sizes, colourOf, logTicks, ms, bands, unheard, gapped };

  // ---------- drawing ----------
  const deep = (into, from) => {
    for (const [key, value] of Object.entries(from)) {
      if (value === null) delete into[key];
      else if (value && typeof value === "object" && !Array.isArray(value)) into[key] = deep(into[key] && typeof into[key] === "object" ? into[key] : {}, value);
      else into[key] = value;
    }
    return into;
  };
  // On a time axis Plotly takes a number for a time of the browser's zone, a text for what it says: axes here are UTC.
  const utc = (key, value) => {
    if (key === "x0" && value > 1e11) return new Date(value).toISOString().slice(0, 23);
    if (key !== "x" || !Array.isArray(value) || ![value[0], value[value.length - 1]].some((t) => t > 1e11 && new Date(t).getTimezoneOffset())) return value;
    return value.map((t) => (typeof t === "number" ? new Date(t).toISOString().slice(0, 23) : t));
  };
  const put = (trace, values) => {
    for (const [key, value] of Object.entries(values)) {
      if (key === "line.color") trace.line.color = value;
      else trace[key] = utc(key, value);
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
    layout.meta = { drawn: `${dress}/${shape.key}/${V.dated(s)}`, scale: shape.scale || "" };
    const scaled = !old || !old.layout || !old.layout.meta || (old.layout.meta.scale || "") !== layout.meta.scale; // a zoom of y was of other numbers
    if (old && old.layout && old.layout.meta)
      for (const axis of Object.keys(layout))
        if (/^[xy]axis/.test(axis) && !(axis === "xaxis" && layout.xaxis.type === "date") && !(scaled && axis[0] === "y") && old.layout[axis] && old.layout[axis].autorange === false && old.layout[axis].range && !layout[axis].fixedrange && (old.layout[axis].type === "log") === (layout[axis].type === "log"))
          Object.assign(layout[axis], { autorange: false, range: old.layout[axis].range });
    for (const [i, values] of arrays) put(data[i], values);
    if (layout.xaxis && layout.xaxis.type === "date") {
      const range = V.time.first(data);
      layout.xaxis.showspikes = false; // the page draws one line over all its time charts
      if (range) Object.assign(layout.xaxis, { autorange: false, range });
    }
    return { data, layout };
  };
  V.patch = (arrays, axis) => {
    const patch = new window.dash_clientside.Patch();
    for (const [i, values] of arrays)
      for (const [key, value] of Object.entries(values)) patch.assign(["data", i, ...key.split(".")], utc(key, value));
    for (const [key, value] of Object.entries(axis || {})) patch.assign(["layout", "xaxis", key], value);
    return patch.build();
  };
  V.graph = (name) => document.querySelector(`[data-chart="${name}"] .js-plotly-plot`);
  V.zoomed = (gd) => Boolean(gd && gd._fullLayout && gd._fullLayout.xaxis && gd._fullLayout.xaxis.autorange === false);
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
