/* One time axis for a page: one line at the pointer's time over all time charts, what they say at it, one range, and
   whether it follows. A chart with `point(gd, t, y)` tells by itself what it has there: the candles do.
   A time chart is one whose layout's `xaxis` is of type "date"; its x are UTC ms. Nothing else has to be told.

   The range is state: `at0` and `at1` in ms (`since` and `until` in the address), 0 and 0 for the whole window. A range
   that ends at the newest data goes along with it: then `at0` is its width, negative, and `at1` is 0. Charts of another
   time (a replay beside what is counted now) are left as they are. A page keeps the rows of its window alone: a held
   range that no chart has anything of any more is given up, and that is said.
     V.time.range()         [from, to] in ms, null for the whole window
     V.time.following()     whether what is newest stays in sight
     V.time.fitting(gd)     what of a drawn chart's x axis has to change, null if nothing
     V.time.first(data)     the range of a chart that is drawn anew, null for its own
     V.time.step(s)         ms between the rows of a stream

   A chart in focus is gone through by keys, from one of its buckets to the next. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const T = (V.time = {});
  const EDGE_MS = 1000; // a range that follows moves on with each whole second
  const LETTER = 6.3, SIDES = 14; // px of a digit and of the padding of the line's label

  const { ms } = V.chart;
  const dated = (gd) => Boolean(gd && gd._fullLayout && gd._fullLayout.xaxis && gd._fullLayout.xaxis.type === "date" && gd.layout && gd.layout.meta);
  const charts = () => [...document.querySelectorAll("[data-chart] .js-plotly-plot")].filter(dated);
  const nameOf = (gd) => gd.closest("[data-chart]").dataset.chart;

  // ---------- the range ----------
  // Now by the clock of what is looked at, as of the newest answer.
  const now = () => {
    const source = V.store.primary(), a = V.store.answer;
    return source && source.run === "replay" && source.now ? source.now : a ? a.now : Date.now();
  };
  const edge = () => Math.ceil(now() / EDGE_MS) * EDGE_MS;
  T.range = () => {
    const { at0, at1 } = V.state;
    if (at0 < 0) return [edge() + at0, edge()];
    return at0 && at1 > at0 ? [at0, at1] : null;
  };
  T.following = () => V.state.at0 <= 0 || V.state.at1 <= V.state.at0;
  // What a chart has rows of: the ends of the trace that holds its window open.
  const extent = (data) => {
    const held = (data || []).find((trace) => trace.name === "bounds");
    return held && held.x && held.x.length > 1 ? [ms(held.x[0]), ms(held.x[held.x.length - 1])] : null;
  };
  const over = (data, range) => {
    const has = extent(data), far = V.state.window * 1000;
    return !has || (range[1] > has[0] - far && range[0] < has[1] + far);
  };
  const text = (range) => range.map((t) => new Date(t).toISOString().slice(0, 23).replace("T", " "));

  const fitted = new WeakSet(); // charts whose x range is not their own
  let held = false; // a button is down on a chart
  T.fitting = (gd) => {
    if (held || !dated(gd)) return null;
    const axis = gd._fullLayout.xaxis, range = T.range();
    if (!range || !over(gd.data, range)) {
      if (axis.autorange !== false || !fitted.has(gd)) return null;
      fitted.delete(gd);
      return { autorange: true };
    }
    fitted.add(gd);
    const shown = axis.range.map(ms), pixel = (range[1] - range[0]) / Math.max(1, axis._length);
    if (axis.autorange === false && Math.abs(shown[0] - range[0]) < pixel / 2 && Math.abs(shown[1] - range[1]) < pixel / 2) return null;
    return { autorange: false, range: text(range) };
  };
  T.first = (data) => {
    const range = T.range();
    return range && over(data, range) ? text(range) : null;
  };

  // What we change ourselves is told back as what the user changes is.
  const ours = new WeakMap();
  const relayout = (gd, change) => {
    ours.set(gd, (ours.get(gd) || 0) + 1);
    const done = () => ours.set(gd, ours.get(gd) - 1);
    window.Plotly.relayout(gd, change).then(done, done);
  };
  const inSight = (gd) => {
    const box = gd.getBoundingClientRect();
    return box.width > 0 && box.bottom > -80 && box.top < window.innerHeight + 80;
  };
  // Those out of sight follow when they come into it.
  const fit = () => {
    const seen = charts().filter(inSight);
    for (const gd of seen) {
      const wanted = T.fitting(gd);
      if (!wanted) continue;
      relayout(gd, wanted.range ? { "xaxis.range": wanted.range } : { "xaxis.autorange": true });
    }
  };
  // Back to the whole window, in height also: of charts that have no heights of their own.
  const release = () => {
    V.set({ at0: 0, at1: 0 });
    for (const gd of charts()) {
      const own = (V.specs && V.specs.charts[nameOf(gd)].layout) || {}, change = {};
      for (const [key, axis] of Object.entries(gd._fullLayout))
        if (/^[xy]axis\d*$/.test(key) && axis.autorange === false && own[key] && own[key].autorange) change[`${key}.autorange`] = true;
      fitted.delete(gd);
      if (Object.keys(change).length) relayout(gd, change);
    }
  };
  const choose = (gd, from, to) => {
    const has = extent(gd.data), newest = Math.min(edge(), has ? has[1] : Infinity), pixel = (to - from) / Math.max(1, gd._fullLayout.xaxis._length);
    fitted.add(gd);
    if (to >= newest - pixel) V.set({ at0: -Math.max(1, Math.round(to - from)), at1: 0 });
    else V.set({ at0: Math.round(from), at1: Math.round(to) });
    fit();
  };
  T.watch = (gd) => {
    gd.on("plotly_relayout", (event) => {
      if (ours.get(gd) || !event || !dated(gd)) return;
      held = false;
      if (event["xaxis.autorange"]) return release();
      if (!("xaxis.range[0]" in event || "xaxis.range" in event)) return;
      const [from, to] = gd._fullLayout.xaxis.range.map(ms);
      if (to > from) choose(gd, from, to);
    });
    gd.on("plotly_afterplot", () => aim && schedule());
  };
  document.addEventListener("pointerdown", (event) => {
    if (event.target.closest && event.target.closest(".js-plotly-plot .draglayer")) held = true;
  }, true);
  for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => setTimeout(() => (held = false), 60), true);
  V.onState((changed) => {
    if (changed.includes("at0") || changed.includes("at1")) T.update();
  });

  // ---------- following ----------
  T.toggle = () => {
    if (!T.following()) {
      release();
      return V.say("Following what is newest");
    }
    // What is on screen stays on screen.
    const shown = T.range() || charts().map((gd) => gd._fullLayout.xaxis.range.map(ms)).find(([, to]) => Math.abs(to - now()) < V.state.window * 1000);
    if (!shown) return;
    V.set({ at0: Math.round(shown[0]), at1: Math.round(shown[1]) });
    fit();
    V.say("Held");
  };
  // ---------- what is held and has gone ----------
  const STAYS_MS = 3000; // a page or a source that was just opened is not drawn at once
  let gone = 0; // since when no chart has anything of the range that is held; 0: some has, or none is held
  // A past that the address asks for is not open yet: then charts are still of now.
  const awaited = () => Boolean(V.past.query().past && !V.store.answer.past);
  const giveUp = () => {
    const range = T.range(), drawn = charts().map((gd) => extent(gd.data)).filter(Boolean), newest = edge();
    const kept = drawn.length ? drawn : [[newest - V.state.window * 1000, newest]];
    const lost = !T.following() && !held && V.store.answer && !awaited() && !kept.some(([from, to]) => range[1] > from && range[0] < to);
    if (!lost) gone = 0;
    else if (!gone) gone = Date.now();
    else if (Date.now() - gone > STAYS_MS) {
      gone = 0;
      release();
      D.toast("What was held is no longer here", `No chart of this page has ${F.time(range[0])} to ${F.time(range[1])} UTC; they follow the newest again.`);
    }
  };
  const length = (span) => (span < 59_500 ? `${F.group(span / 1000, span < 9950 ? 1 : 0)} s` : F.span(span / 1000));
  T.update = () => {
    giveUp();
    const on = T.following() || gone > 0, range = gone ? null : T.range(), replay = Boolean(V.store.answer && V.store.answer.past);
    const word = !on ? "Held" : range ? `Last ${length(range[1] - range[0])}` : replay ? "Follow replay" : "Follow live";
    const title = !on ? `The charts stand at ${F.time(range[0])} to ${F.time(range[1])} UTC: back to the newest (F)` : range ? "A part of the window, sliding with the newest data; press to hold it (F)" : "The charts follow the newest data; press to hold them (F)";
    D.put("time.word", word);
    for (const el of document.querySelectorAll('[data-act="follow"]')) {
      D.attr(el, "aria-pressed", String(on));
      D.attr(el, "title", title);
      D.attr(el, "data-held", on ? null : "1");
    }
  };

  // ---------- the line ----------
  // Where it is: at the pointer, {gd, x, y} of the window; at a time that was tapped, {gd, t, y} with y of the chart; or
  // in the middle of a bucket that was gone to by key, {gd, t, y: null, from}.
  let aim = null, frame = 0;
  const keyed = () => Boolean(aim && aim.from !== undefined);
  let told = ""; // the chart that tells by itself what is pointed at
  const tell = (name, ...at) => {
    if (told && told !== name) V.charts[told].point(null, null);
    told = name && V.charts[name].point ? name : "";
    if (told) V.charts[told].point(...at);
  };
  const marks = new Map(); // chart's name: [line, label]
  const schedule = () => {
    if (!frame) frame = requestAnimationFrame(paint);
  };
  const markOf = (name) => {
    const old = marks.get(name);
    if (old && old[0].isConnected) return old;
    const line = V.chart.over(name, "cross", "vs-cross"), label = V.chart.over(name, "crosstime", "vs-cross-time");
    if (!line) return null;
    line.hidden = label.hidden = true;
    marks.set(name, [line, label]);
    return marks.get(name);
  };
  // The offset of this browser's clock at a time: "+02:00", "" where it is UTC.
  const zone = (t) => {
    const off = -new Date(t).getTimezoneOffset();
    return off ? `${off < 0 ? "−" : "+"}${String(Math.floor(Math.abs(off) / 60)).padStart(2, "0")}:${String(Math.abs(off) % 60).padStart(2, "0")}` : "";
  };
  const worded = (t, form = F.millis) => {
    const off = zone(t), local = off ? `   ${form(t - new Date(t).getTimezoneOffset() * 60_000)} ${off}` : "", day = V.otherDay(t);
    return `${day ? `${day} ` : ""}${form(t)} UTC${local}`;
  };
  const hide = () => {
    tell("");
    V.readout.clear();
    for (const [line, label] of marks.values()) {
      if (!line.hidden) line.hidden = true;
      if (!label.hidden) label.hidden = true;
    }
  };
  const paint = () => {
    frame = 0;
    if (!aim || !aim.gd.isConnected || !dated(aim.gd)) {
      aim = null;
      T.at = null;
      return hide();
    }
    // All reading before all writing.
    const own = aim.gd._fullLayout.xaxis, set = aim.t !== undefined, box = set ? null : aim.gd.getBoundingClientRect();
    const at = set ? own.c2p(aim.t) : aim.x - box.left - own._offset;
    if (!(at >= 0 && at <= own._length)) {
      if (set) aim = null; // it went out of the window
      T.at = null;
      return hide();
    }
    const t = set ? aim.t : Math.round(own.p2c(at)), y = set ? aim.y : aim.y - box.top;
    T.at = t;
    const telling = new Set();
    for (const [gd, seen] of charts().map((one) => [one, inSight(one)])) {
      const name = nameOf(gd), mark = markOf(name);
      if (!mark) continue;
      const [line, label] = mark, axis = gd._fullLayout.xaxis, size = gd._fullLayout._size, mine = gd === aim.gd;
      const px = mine ? at : axis.c2p(t), shown = px >= 0 && px <= axis._length && Number.isFinite(px);
      const height = `${Math.round(size.h)}px`;
      if (shown && line.style.height !== height) line.style.height = height;
      V.chart.move(line, axis._offset + px, size.t, shown);
      if (!mine) {
        if (!label.hidden) label.hidden = true;
        if (!shown || !seen) continue;
        telling.add(name);
        V.readout.show(gd, name, t, axis._offset + px);
        continue;
      }
      if (keyed() && seen && !V.charts[name].point) {
        telling.add(name);
        V.readout.show(gd, name, t, axis._offset + px);
      }
      const words = keyed() ? worded(aim.from, F.time) : worded(t), wide = Math.ceil(words.length * LETTER) + SIDES;
      D.text(label, words);
      if (label.style.width !== `${wide}px`) label.style.width = `${wide}px`;
      V.chart.move(label, Math.max(0, Math.min(axis._offset + px - wide / 2, gd._fullLayout.width - wide)), size.t + size.h + 2, shown);
    }
    V.readout.clear(telling);
    tell(nameOf(aim.gd), aim.gd, t, y);
  };

  // ---------- the line by pointer ----------
  const chartAt = (target) => (target.closest ? target.closest("[data-chart] .js-plotly-plot") : null);
  document.addEventListener("pointermove", (event) => {
    const gd = chartAt(event.target);
    if (!gd && (!aim || aim.t !== undefined)) return;
    aim = gd ? { gd, x: event.clientX, y: event.clientY } : null;
    schedule();
  }, { passive: true });
  document.documentElement.addEventListener("pointerleave", (event) => {
    if (keyed() || (event.pointerType === "touch" && aim && aim.t !== undefined)) return;
    aim = null;
    schedule();
  });
  // A finger that is lifted points no more: what it tapped stays, until it taps elsewhere or that leaves the window.
  const STILL = 10; // px within which it is a tap
  let touch = null;
  document.addEventListener("pointerdown", (event) => {
    touch = event.pointerType === "touch" && event.isPrimary ? { x: event.clientX, y: event.clientY } : null;
  }, true);
  document.addEventListener("pointerup", (event) => {
    if (event.pointerType !== "touch" || !touch || Math.hypot(event.clientX - touch.x, event.clientY - touch.y) > STILL) return;
    const gd = chartAt(event.target), box = dated(gd) ? gd.getBoundingClientRect() : null;
    aim = box ? { gd, t: Math.round(gd._fullLayout.xaxis.p2c(event.clientX - box.left - gd._fullLayout.xaxis._offset)), y: event.clientY - box.top } : null;
    schedule();
  }, true);

  // ---------- the line by key ----------
  const FAR = 10, REST_MS = 400; // buckets at once, with Shift; a key that is held down says nothing until it rests
  T.step = (s) => ((s && (s.interval || s.step)) || (V.state.window > 900 ? 10 : 1)) * 1000;
  // A drawn chart's buckets in sight: {first, step, low, high}, the ends as numbers from the first row's on; null without any.
  const buckets = (gd) => {
    const s = V.store.streams[V.charts[nameOf(gd)].stream], t = s && s.rows && s.rows.t;
    if (!t || !t.length) return null;
    const step = T.step(s), first = t[0], [from, to] = gd._fullLayout.xaxis.range.map((x) => (ms(x) - first) / step - 0.5);
    const low = Math.max(0, Math.ceil(from)), high = Math.min(Math.round((t[t.length - 1] - first) / step), Math.floor(to));
    return high < low ? null : { first, step, low, high };
  };
  let saying = 0;
  const say = () => {
    clearTimeout(saying);
    saying = setTimeout(() => {
      if (!keyed() || !dated(aim.gd)) return;
      V.say([worded(aim.from, F.time), ...V.readout.of(aim.gd, nameOf(aim.gd), aim.t).map(([name, value]) => `${name} ${value}`)].join(", "));
    }, REST_MS);
  };
  const focused = (event) => {
    const gd = event.target.matches && event.target.matches(".vs-plot[tabindex]") ? event.target.querySelector(".js-plotly-plot") : null;
    return dated(gd) ? gd : null;
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const gd = focused(event), found = gd && buckets(gd);
    if (!found) return;
    if (event.key === "Escape" && keyed()) {
      aim = null;
      schedule();
      return event.stopPropagation(); // what lies behind it is left by the next
    }
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key] * (event.shiftKey ? FAR : 1), { first, step, low, high } = found;
    const at = aim && aim.gd === gd ? (keyed() ? aim.t : T.at) : null, here = at ? Math.floor((at - first) / step) : null; // a key may come before the next frame
    const to = { Home: low, End: high, ArrowLeft: here === null ? high : here + by, ArrowRight: here === null ? high : here + by }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const from = first + Math.max(low, Math.min(high, to)) * step;
    aim = { gd, t: from + step / 2, y: null, from };
    schedule();
    say();
  }, true);
  document.addEventListener("focusout", (event) => {
    if (!keyed() || !document.hasFocus() || !event.target.contains(aim.gd)) return;
    aim = null;
    schedule();
  });

  // ---------- the link ----------
  const field = (button, url) => {
    const old = document.querySelector(".vs-linkfield");
    if (old) old.remove();
    const input = D.make("input", "vs-input");
    input.readOnly = true;
    input.value = url;
    const box = D.make("div", "vs-linkfield", D.make("label", "", "This browser lets no page copy; copy the address here", input));
    (document.getElementById("shell") || document.body).append(box);
    const at = button ? button.getBoundingClientRect() : null;
    box.style.top = `${Math.round(at && at.width ? at.bottom + 6 : 60)}px`;
    box.style.left = `${Math.round(Math.max(8, Math.min(at && at.width ? at.left : 8, window.innerWidth - box.offsetWidth - 8)))}px`;
    input.focus();
    input.select();
    const close = (event) => {
      if (event.type === "keydown" && event.key !== "Escape") return;
      event.stopPropagation();
      box.remove();
      if (event.type === "keydown" && button) button.focus();
    };
    input.addEventListener("blur", close);
    input.addEventListener("keydown", close);
  };
  let back = 0;
  T.copy = async (button = document.querySelector('[data-act="link"]')) => {
    const url = V.whole();
    try {
      await navigator.clipboard.writeText(url);
    } catch {
      V.say("The address is selected; copy it with the keyboard");
      return field(button, url); // a page without a secure address has no clipboard
    }
    V.say("Link copied");
    D.put("link.word", "Copied");
    clearTimeout(back);
    back = setTimeout(() => D.put("link.word", "Copy link"), 2000);
  };
})();
