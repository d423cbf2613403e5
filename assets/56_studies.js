/* Studies over the candles of the Market page: their traces, the labels at their ends, their menu. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const { token, resolve, lastOf } = V.chart;
  const study = V.study;
  const DASHES = ["solid", "7px,3px", "2px,3px", "9px,3px,2px,3px", "12px,4px", "4px,2px"];
  const CHART = "candles";

  const here = () => Boolean(document.querySelector('[data-page="market"]'));
  const stream = () => (here() ? V.store.streams.studies : null);
  const parts = (word) => {
    const [kind, period, width] = word.split("-");
    return { kind, period: Number(period) || 0, width: Number(width) || 0 };
  };
  const nameOf = (word) => {
    const { kind, period, width } = parts(word);
    if (kind === "vwap") return "VWAP";
    if (kind === "profile") return "POC";
    return kind === "bb" ? `BB ${period}, ${width}` : `${kind.toUpperCase()} ${period}`;
  };
  const colour = (place) => `--vs-study-${place + 1}`;

  const studies = (V.studies = {});
  // A line goes on through intervals without trades, where nothing happened; it breaks where the book was not synced
  // between two candles, since what happened there is not known.
  studies.parted = (s, t, step, columns) => {
    const x = [], out = columns.map(() => []), gaps = s.gaps || [];
    for (let i = 0; i < t.length; i++) {
      const from = i ? t[i - 1] + step : 0;
      if (i && t[i] > from && gaps.some(([a, b]) => a < t[i] && b > from)) {
        x.push(from);
        for (const y of out) y.push(null);
      }
      x.push(t[i] + step / 2);
      columns.forEach((column, k) => out[k].push(column[i] === undefined ? null : column[i]));
    }
    return [x, out];
  };
  // Of the window up to each candle: the candles' own means by their volumes.
  const vwap = (rows) => {
    let paid = 0, traded = 0;
    return rows.t.map((_, i) => {
      const mean = rows["vwap.mean"][i], volume = rows["vwap.volume"][i];
      if (mean !== null && volume) {
        paid += mean * volume;
        traded += volume;
      }
      return traded ? paid / traded : null;
    });
  };
  // [column or values, name at its end, slot]: what one study draws as lines.
  const linesOf = (word, rows) => {
    const { kind, width } = parts(word);
    if (kind === "vwap") return [[vwap(rows), nameOf(word), "study"]];
    if (kind === "bb")
      return [
        [rows[`${word}.upper`] || [], `+${width}σ`, "edge"],
        [rows[`${word}.lower`] || [], `−${width}σ`, "edge"],
        [rows[word] || [], nameOf(word), "study"],
      ];
    return [[rows[word] || [], nameOf(word), "study"]];
  };

  studies.shape = (s, spec) => {
    const held = stream(), words = (held && held.tokens) || [];
    const traces = [];
    words.forEach((word, place) => {
      const { kind } = parts(word), hue = token(colour(place));
      const made = (slot, name, more = {}) => {
        const trace = resolve(structuredClone(spec.slots[slot]));
        trace.name = name;
        for (const [key, value] of Object.entries(more)) trace[key] = value;
        if (trace.line) trace.line = { ...trace.line, color: hue, dash: slot === "study" ? DASHES[place] : "solid", ...(more.line || {}) };
        traces.push(trace);
      };
      if (kind === "profile") {
        const none = { line: { width: 0, color: "rgba(0,0,0,0)" } };
        made("rows", "Volume by price", { ...none, fillcolor: V.chart.alpha(hue, 0.14) });
        made("rows", "Value area", { ...none, fillcolor: V.chart.alpha(hue, 0.32) });
        made("control", "Point of control");
        made("reach", "reach", none);
      } else if (kind === "bb") {
        made("edge", `${nameOf(word)} upper`);
        made("edge", `${nameOf(word)} lower`, { fill: "tonexty", fillcolor: V.chart.alpha(hue, 0.07) });
        made("study", nameOf(word));
      } else made("study", nameOf(word));
    });
    const axes = words.includes("profile")
      ? { xaxis2: { overlaying: "x", anchor: "y", autorange: true, rangemode: "tozero", visible: false, fixedrange: true, showspikes: false } }
      : {};
    // Room for the names at the ends of lines; a phone has only their values, and the names above the chart.
    const layout = { ...axes, ...(words.length && window.innerWidth >= 768 ? { margin: { r: 132 } } : {}) };
    return { key: words.join("+"), traces, layout };
  };

  // Rows of the profile as boxes, so that they stand right on any scale.
  const boxes = (profile, scaled, wanted) => {
    const x = [], y = [];
    profile.volumes.forEach((volume, i) => {
      if (!volume || !wanted(i)) return;
      const low = scaled(profile.base + i * profile.step), high = scaled(profile.base + (i + 0.86) * profile.step);
      x.push(0, volume, volume, 0, 0, null);
      y.push(low, low, high, high, low, null);
    });
    return { x, y };
  };
  let ends = []; // [{name, place, value (price units), dash}] of what was drawn
  let columns = []; // [{name, place, t, values}] of the same, whole
  studies.data = (s) => {
    const held = stream();
    ends = [];
    columns = [];
    if (!held || !held.tokens || !V.specs) return [];
    const out = [], scaled = V.chart.scaled(s), step = s.interval * 1000, rows = held.rows;
    let at = V.specs.charts[CHART].data.length;
    held.tokens.forEach((word, place) => {
      if (word === "profile") {
        const p = held.profile, most = p ? Math.max(...p.volumes) : 1;
        const inside = (i) => i >= p.low && i <= p.high;
        out.push([at++, p ? boxes(p, scaled, (i) => !inside(i)) : { x: [], y: [] }], [at++, p ? boxes(p, scaled, inside) : { x: [], y: [] }]);
        const middle = p ? p.base + (p.control + 0.43) * p.step : null, level = p ? scaled(middle) : null;
        out.push([at++, p ? { x: [0, p.volumes[p.control]], y: [level, level] } : { x: [], y: [] }]);
        out.push([at++, p ? { x: [0, most * 4], y: [level, level] } : { x: [], y: [] }]);
        if (p) ends.push({ name: "POC", place, value: p.base + (p.control + 0.5) * p.step, rows: p });
        return;
      }
      for (const [values, name] of linesOf(word, rows)) {
        const [x, [y]] = studies.parted(s, rows.t, step, [values]);
        out.push([at++, { x, y: y.map(scaled) }]);
        const value = lastOf(values);
        columns.push({ name, place, t: rows.t.slice(), values: values.slice() });
        if (value !== null && value !== undefined) ends.push({ name, place, value, word });
      }
    });
    return out;
  };

  // Labels keep off the last price's tag: those above it are pushed up, those below it down.
  const placed = (tag) => (labels, height) => {
    const GAP = 14, TAG = 17, EDGE = 3, room = (length) => Math.max(0, Math.floor((length - TAG - EDGE) / GAP) + 1);
    const order = [...labels].sort((a, b) => a.y - b.y), above = order.filter((one) => one.y < tag).length;
    // Where one side has no room for all, those nearest to the price go to the other.
    const split = Math.max(Math.min(above, room(tag)), order.length - room(height - tag), 0);
    const side = (list, sign, edge) => {
      let free = tag + sign * TAG;
      for (const one of list) {
        one.y = sign < 0 ? Math.min(one.y, free) : Math.max(one.y, free);
        free = one.y + sign * GAP;
      }
      list.forEach((one, i) => {
        const most = edge - sign * (list.length - 1 - i) * GAP;
        one.y = sign < 0 ? Math.max(one.y, most) : Math.min(one.y, most);
      });
      return list;
    };
    const all = [...side(order.slice(0, split).reverse(), -1, EDGE), ...side(order.slice(split), 1, height - EDGE)];
    return all.filter((one) => one.y >= 0 && one.y <= height);
  };
  studies.after = (gd, s, tag) => {
    if (!here()) return;
    const scaled = V.chart.scaled(s);
    V.chart.ends(CHART, gd, ends.map((end) => ({ value: scaled(end.value), hue: colour(end.place), text: V.chart.priced(s, end.value), name: end.name })), placed(tag));
  };
  // What is on, in words, colours and dashes, with the values at the candle that opens at `at`, or (null) the newest.
  studies.tell = (s, at) => {
    if (!here()) return;
    const host = D.host("studies"), held = stream();
    if (!host) return;
    const words = (held && held.tokens) || [], k = s.market.price_decimals;
    const all = D.pool(host, words.length, () => {
      const line = D.svg("svg", { viewBox: "0 0 18 8", "aria-hidden": "true" });
      line.append(D.svg("path", { d: "M0,4H18", fill: "none", "stroke-width": "2" }));
      return D.make("span", "", line, D.make("span", ""), D.make("b", ""));
    });
    words.forEach((word, place) => {
      const el = all[place], mine = ends.filter((end) => end.place === place), path = el.firstElementChild.firstElementChild;
      el.style.setProperty("--c", `var(${colour(place)})`);
      D.attr(path, "stroke-dasharray", word === "profile" ? null : DASHES[place] === "solid" ? null : DASHES[place].replaceAll("px", ""));
      D.text(el.children[1], word === "profile" ? "POC" : nameOf(word));
      const main = mine.find((end) => end.name === nameOf(word)), profile = word === "profile" && held.profile;
      const text = main ? F.scaled(Math.round(main.value), k) + (profile ? ` · 70% ${F.scaled(profile.base + profile.low * profile.step, k)}–${F.scaled(profile.base + (profile.high + 1) * profile.step, k)}` : "") : "warming up";
      const column = at === null || !main ? null : columns.find((one) => one.place === place && one.name === nameOf(word)); // a profile is of the window
      const value = column ? column.values[column.t.lastIndexOf(at)] : null;
      D.room(el.children[2], main && !profile ? text : "");
      D.text(el.children[2], !column ? text : F.none(value) ? F.NONE : F.scaled(Math.round(value), k));
    });
  };

  // ---------- the menu ----------
  // [kind, words, the periods offered at first, width]
  const ROWS = [
    ["sma", "Simple average", 20],
    ["sma", "Simple average", 50],
    ["ema", "Exponential average", 50],
    ["bb", "Bollinger bands", 20, 2],
    ["vwap", "VWAP of the window"],
    ["profile", "Volume profile"],
  ];
  let menu = null;
  const number = (label, value, [least, most], step) => {
    const el = D.make("input", "vs-inp");
    Object.assign(el, { type: "number", value, min: least, max: most, step, title: `${least} to ${most}, ${step < 1 ? "one decimal" : "whole"}` });
    el.setAttribute("aria-label", label);
    return el;
  };
  const field = (key, options) => {
    const group = D.make("div", "vs-seg is-full");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", key === "style" ? "Style" : "Scale");
    for (const [value, text] of options) group.append(D.button(text, "set", "", { key, value }));
    return group;
  };
  const partsOf = (row) => [row.dataset.kind, ...row.querySelectorAll("input")];
  // The token a row stands for, undefined while its numbers make none; which of them do not is marked.
  const wordOf = (row) => {
    const [kind, , ...numbers] = partsOf(row), sound = kind === "bb" ? [20, 2] : numbers.length ? [20] : [];
    numbers.forEach((el, at) => {
      const alone = study([kind, ...sound.map((value, i) => (i === at ? el.value : value))].join("-"));
      D.attr(el, "aria-invalid", alone ? null : "true");
    });
    return study([kind, ...numbers.map((el) => el.value)].join("-"));
  };
  const read = (event) => {
    const words = new Set();
    for (const row of menu.querySelectorAll("[data-kind]")) {
      const [, box] = partsOf(row), word = wordOf(row);
      if (word) row.dataset.word = word;
      // What cannot be drawn takes nothing away: the row stays what it was until it can.
      if (box.checked && row.dataset.word) words.add(row.dataset.word);
    }
    if (words.size > study.most && event.target.type === "checkbox") {
      event.target.checked = false;
      return V.say(`At most ${study.most} studies at once`);
    }
    V.set({ studies: [...words].slice(0, study.most) });
  };
  let rows = 0;
  const rowOf = ([kind, words, period, width]) => {
    const box = D.make("input", "");
    Object.assign(box, { type: "checkbox", id: `study-${rows++}` });
    const label = D.make("label", "", words);
    label.htmlFor = box.id;
    const row = D.make("div", "row", box, label);
    row.dataset.kind = kind;
    if (period) row.append(number(`${words}, candles`, period, study.period, 1));
    if (width) row.append(number(`${words}, standard deviations`, width, study.width, 0.1));
    return row;
  };
  const build = () => {
    menu = D.make("div", "vs-menu");
    Object.assign(menu, { id: "studies-menu", popover: "auto" });
    menu.setAttribute("role", "dialog");
    menu.setAttribute("aria-label", "Studies");
    menu.append(...ROWS.map(rowOf));
    menu.append(D.make("p", "vs-sec", "Periods are candles; a second without trades has none. The profile puts each second's volume at its mean price."));
    menu.append(D.make("div", "narrow", field("style", [["candles", "Candles"], ["bars", "Bars"], ["line", "Line"]]), field("scale", [["linear", "Linear"], ["log", "Log"], ["percent", "%"]])));
    menu.append(D.make("div", "acts", D.button("None", "studies-none"), D.button("Profile CSV", "studies-profile")));
    menu.addEventListener("change", read);
    document.body.append(menu);
  };
  // The rows as the state has them; what is off keeps the numbers written there, and what has no row gets one.
  const fill = () => {
    const left = [...V.state.studies];
    const take = (row, at) => {
      const [, box, ...numbers] = partsOf(row);
      box.checked = at >= 0;
      if (at >= 0) {
        const [word] = left.splice(at, 1), { period, width } = parts(word);
        [period, width].forEach((value, i) => {
          if (numbers[i]) numbers[i].value = value;
        });
        row.dataset.word = word;
      }
      if (at < 0) delete row.dataset.word;
      wordOf(row);
    };
    for (const row of menu.querySelectorAll(".is-more")) row.remove();
    const own = [...menu.querySelectorAll("[data-kind]")], exact = own.map((row) => left.includes(wordOf(row)));
    own.forEach((row, i) => exact[i] && take(row, left.indexOf(wordOf(row))));
    own.forEach((row, i) => exact[i] || take(row, left.findIndex((word) => parts(word).kind === row.dataset.kind)));
    while (left.length) {
      const { kind, period, width } = parts(left[0]), like = own.filter((row) => row.dataset.kind === kind).at(-1);
      const row = rowOf([kind, ROWS.find(([one]) => one === kind)[1], period, width]);
      row.classList.add("is-more");
      like.after(row);
      take(row, 0);
    }
  };
  const open = (button) => {
    if (!menu) build();
    if (menu.matches(":popover-open")) return menu.hidePopover();
    fill();
    menu.showPopover();
    const box = button.getBoundingClientRect();
    menu.style.left = `${Math.max(8, Math.min(box.right - menu.offsetWidth, window.innerWidth - menu.offsetWidth - 8))}px`;
    menu.style.top = `${Math.min(box.bottom + 4, window.innerHeight - menu.offsetHeight - 8)}px`;
    V.controls();
    menu.querySelector("input").focus();
  };
  document.addEventListener("click", (event) => {
    const el = event.target.closest && event.target.closest("[data-act^=studies]");
    if (!el) return;
    if (el.dataset.act === "studies") open(el);
    else if (el.dataset.act === "studies-none") {
      V.set({ studies: [] });
      fill();
    } else V.exportPanel({ dataset: { chart: CHART, export: "studies", part: "profile" } });
  });

  // ---------- what follows the state ----------
  studies.dress = () => {
    if (document.body.dataset.compare !== V.state.compare) document.body.dataset.compare = V.state.compare;
    if (!here()) return;
    for (const key of ["style", "scale"]) for (const el of document.querySelectorAll(`[data-select="${key}"]`)) if (el.value !== V.state[key]) el.value = V.state[key];
    const button = document.querySelector(".vs-studies-open"), n = V.state.studies.length;
    if (!button) return;
    D.text(button, n ? `Studies ${n}` : "Studies");
    D.attr(button, "aria-haspopup", "dialog");
  };
  V.onState((changed) => {
    studies.dress();
    if (["style", "scale", "compare"].some((key) => changed.includes(key))) V.link.redraw();
  });
})();
