/* What the other time charts of the page say at the crosshair's time: a row of values over the line's top end.
   Values are of the traces as drawn, at or just before that time, written as the chart's own hover writes them (its
   templates and formats); a dash where a line has a hole. Nothing of it exists while nobody points at a chart.
     V.readout.of(gd, name, t)   [[name, value], ...] of a drawn chart at a time in ms
     V.readout.show(...)         over the line; at most one text a value is written, and only where it changed
     V.readout.clear(keep)       takes away all but those of the charts named */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const MOST = 8; // values of one chart
  const HIGH = 16, LETTER = 6.2, GAP = 10, SIDES = 14; // px of a row of it, a digit, between values, the padding
  const UNASKED = new Set(["Mid"]); // lines whose own hover is another trace's
  const NAMES = { "Volume, rising": "V", "Volume, falling": "V" };
  const R = (V.readout = {});

  const { ms } = V.chart;
  // Place of the last of `x`, which ascend, at or before `t`; -1 if all are after it. Nulls end no search: rows have none.
  const upTo = (x, t) => {
    let low = 0, high = x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ms(x[middle]) <= t) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  const formatted = (axis, format, value) => {
    if (value === null || value === undefined || value === "") return F.NONE;
    if (typeof value !== "number") return String(value);
    if (format && axis._numFormat) return axis._numFormat(format)(value);
    return Number.isInteger(value) ? F.group(value) : F.three(value);
  };
  const onAxis = (axis, value) => formatted(axis, axis.hoverformat || axis.tickformat, value) + (value === null || value === undefined ? "" : axis.ticksuffix || "");
  // What only the crosshair tells has a text that is not drawn: by the other template Plotly would hover.
  const templateOf = (trace) => trace.texttemplate || trace.hovertemplate;
  const said = (trace, axis, i) => {
    const template = (templateOf(trace) || "%{y}").replace(/<extra>.*?<\/extra>|<[^>]*>/g, "");
    let hole = false;
    const text = template.replace(/%\{(\w+)(?::([^}]*))?\}/g, (_, key, format) => {
      if (key === "meta") return trace.meta || "";
      const value = trace[key] ? trace[key][i] : null;
      if (value === null || value === undefined) hole = true;
      return key === "y" && !format ? onAxis(axis, value) : formatted(axis, format, value);
    });
    return hole ? F.NONE : text.trim();
  };

  R.of = (gd, name, t) => {
    const s = V.store.streams[V.charts[name].stream], full = gd._fullLayout, found = [];
    const step = V.time.step(s);
    for (const trace of gd.data) {
      if (found.length >= MOST) break;
      const bars = trace.type === "candlestick" || trace.type === "ohlc", apart = bars || trace.type === "bar" || trace.mode === "markers";
      if (!trace.x || !trace.x.length || (trace.xaxis && trace.xaxis !== "x")) continue;
      if (!bars && trace.type !== "bar" && trace.type !== "scatter") continue;
      if (!bars && !templateOf(trace) && !UNASKED.has(trace.name)) continue;
      const axis = full[`yaxis${(trace.yaxis || "y").slice(1)}`];
      // Bars stand in the middle of what they tell; a line tells from its point on.
      const i = upTo(trace.x, apart ? t + step / 2 : t), at = i < 0 ? 0 : ms(trace.x[i]);
      const past = i < 0 || (apart ? t > at + step / 2 : i === trace.x.length - 1 && t > at + step);
      if (bars) {
        for (const [letter, key] of [["O", "open"], ["H", "high"], ["L", "low"], ["C", "close"]]) found.push([letter, past ? F.NONE : onAxis(axis, trace[key][i])]);
        continue;
      }
      const y = past ? null : trace.y[i], named = NAMES[trace.name] || trace.name, twin = found.find(([other]) => other === named);
      if (apart && (y === null || y === undefined) && (trace.mode === "markers" || twin)) continue;
      const value = past ? F.NONE : said(trace, axis, i);
      // Of two fills that share a line at 0, one each way, the one that is not 0 is told.
      if (trace.fill === "tozeroy" && trace.yaxis) {
        const other = found.find((one) => one.fill === trace.yaxis);
        if (other && (!y || other[1] === F.NONE)) continue;
        if (other) found.splice(found.indexOf(other), 1);
      }
      if (twin && apart) {
        if (twin[1] === F.NONE) twin[1] = value;
        continue;
      }
      const entry = [named, value];
      if (trace.meta && value.endsWith(` ${trace.meta}`)) entry.unit = trace.meta;
      if (trace.fill === "tozeroy" && trace.yaxis) entry.fill = trace.yaxis;
      found.push(entry);
    }
    // The unit once, behind the last, where all that have one share it.
    const last = found[found.length - 1];
    if (last && last.unit) for (const one of found) if (one !== last && one.unit === last.unit) one[1] = one[1].slice(0, -one.unit.length - 1);
    return found;
  };

  const tags = new Map(); // chart's name: its element
  // `at`: px of the line from the chart's left edge.
  R.show = (gd, name, t, at) => {
    let el = tags.get(name);
    const values = R.of(gd, name, t);
    if (!values.length) return R.hide(name);
    if (!el || !el.isConnected) {
      el = V.chart.over(name, "crossvalues", "vs-cross-values");
      if (!el) return;
      tags.set(name, el);
    }
    const spans = D.pool(el, values.length, () => D.make("span", "", document.createTextNode(""), D.make("b")));
    values.forEach(([label, value], i) => {
      const [head, figure] = spans[i].childNodes;
      if (head.data !== `${label} `) head.data = `${label} `;
      D.text(figure, value);
    });
    // Over the line, in the margin above the plot: what does not fit into one row goes on below.
    const { width, _size: size } = gd._fullLayout, letters = values.reduce((sum, [label, value]) => sum + label.length + 1 + value.length, 0);
    const wide = Math.min(width, Math.ceil(letters * LETTER + (values.length - 1) * GAP + SIDES)), most = `${Math.floor(width)}px`;
    if (el.style.maxWidth !== most) el.style.maxWidth = most;
    V.chart.move(el, Math.max(0, Math.min(at - wide / 2, width - wide)), Math.max(0, size.t - HIGH - 2));
  };
  R.hide = (name) => {
    const el = tags.get(name);
    if (!el) return;
    el.remove();
    tags.delete(name);
  };
  R.clear = (keep = new Set()) => {
    for (const name of [...tags.keys()]) if (!keep.has(name)) R.hide(name);
  };
})();
