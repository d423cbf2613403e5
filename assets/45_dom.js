/* Writing into the page: changed text only, never markup from data. */
(() => {
  "use strict";
  const V = window.venuescope;
  let fields = new Map(), hosts = new Map();

  const dom = (V.dom = { turn: 0 });
  // Forget looked-up elements: the page's content was replaced.
  dom.forget = () => {
    dom.turn += 1;
    fields = new Map();
    hosts = new Map();
  };
  const found = (name) => {
    let entry = fields.get(name);
    if (!entry) {
      entry = { els: [...document.querySelectorAll(`[data-f="${name}"]`)], text: null, tone: null };
      fields.set(name, entry);
    }
    return entry;
  };
  dom.put = (name, text, tone = "") => {
    const entry = found(name);
    if (entry.text !== text) {
      entry.text = text;
      for (const el of entry.els) el.textContent = text;
    }
    if (entry.tone !== tone) {
      entry.tone = tone;
      for (const el of entry.els) el.dataset.tone = tone;
    }
  };
  // Room for the longest text of an element or a figure, so that nothing beside it moves when it has a shorter one.
  const THIN = 0.45, WIDE = 1.4; // of a digit: points and blanks, letters and signs
  dom.room = (of, longest) => {
    let wide = 0;
    for (const letter of longest) wide += /[0-9–]/.test(letter) ? 1 : /[.,: ]/.test(letter) ? THIN : WIDE;
    const least = `${wide.toFixed(2)}ch`;
    for (const el of typeof of === "string" ? found(of).els : [of]) if (el.style.minWidth !== least) el.style.minWidth = least;
  };
  dom.host = (name) => {
    if (!hosts.has(name)) hosts.set(name, document.querySelector(`[data-host="${name}"]`));
    return hosts.get(name);
  };
  dom.text = (el, text) => {
    if (el && el.textContent !== text) el.textContent = text;
  };
  dom.attr = (el, name, value) => {
    if (!el) return;
    if (value === null) {
      if (el.hasAttribute(name)) el.removeAttribute(name);
    } else if (el.getAttribute(name) !== value) el.setAttribute(name, value);
  };
  // A text that counts down to a time by the server's clock: `form` is "s" (4 s), "m" (0:04), after a word before it.
  dom.until = (el, at, { before = "", form = "s", over = "now" } = {}) => {
    if (!el) return;
    if (at === null || at === undefined) {
      dom.attr(el, "data-until", null);
      return;
    }
    dom.attr(el, "data-until", String(at));
    if (el.dataset.before !== before) el.dataset.before = before;
    if (el.dataset.form !== form) el.dataset.form = form;
    if (el.dataset.over !== over) el.dataset.over = over;
    count(el);
  };
  const count = (el) => {
    const left = Number(el.dataset.until) - Date.now() - (V.link.offset || 0), F = V.format;
    const said = left <= 0 ? el.dataset.over : el.dataset.form === "m" ? F.span(Math.ceil(left / 1000)) : F.left(left);
    dom.text(el, left <= 0 ? said : el.dataset.before + said);
  };
  // Once in a quarter of a second. Panels of a paused page stand still, with what they count down to.
  dom.tick = () => {
    for (const el of document.querySelectorAll("[data-until]")) if (!V.state.paused || !el.closest(".vs-panel")) count(el);
  };
  dom.make = (tag, cls, ...children) => {
    const el = document.createElement(tag);
    if (cls) el.className = cls;
    for (const child of children) if (child !== null && child !== undefined) el.append(child);
    return el;
  };
  dom.icon = (name) => {
    const el = dom.make("i", `vs-i vs-i-${name}`);
    el.setAttribute("aria-hidden", "true");
    return el;
  };
  dom.button = (label, act, cls = "vs-btn is-sm", data = {}) => {
    const el = dom.make("button", cls, label);
    el.type = "button";
    el.dataset.act = act;
    Object.assign(el.dataset, data);
    return el;
  };
  // Exactly n children of a host, made when missing.
  dom.pool = (host, n, make) => {
    while (host.children.length > n) host.lastElementChild.remove();
    while (host.children.length < n) host.append(make());
    return host.children;
  };
  // A table body: each row a list of cells; a cell is text, or {text, tone, cls, node}.
  dom.table = (host, rows) => {
    if (!host) return;
    const trs = dom.pool(host, rows.length, () => document.createElement("tr"));
    rows.forEach((cells, i) => {
      const tds = dom.pool(trs[i], cells.length, () => document.createElement("td"));
      cells.forEach((cell, k) => {
        const td = tds[k], plain = typeof cell !== "object" || cell === null;
        const cls = plain ? "" : cell.cls || "";
        if (td.className !== cls) td.className = cls;
        const tone = plain ? "" : cell.tone || "";
        if ((td.dataset.tone || "") !== tone) td.dataset.tone = tone;
        if (!plain && cell.draw) cell.draw(td);
        else dom.text(td, plain ? String(cell) : cell.text);
        if (/\bwide\b/.test(cls)) dom.attr(td, "title", cell.text);
      });
    });
  };
  const SVG = "http://www.w3.org/2000/svg";
  dom.svg = (tag, attributes) => {
    const el = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
    return el;
  };
  let patterns = 0;
  // A line with its area, stretched over its element; nulls break it.
  dom.spark = (host, values, { colour, fill = true, hatch = false, zero = false, w = 200, h = 28 }) => {
    if (!host) return;
    let svg = host.firstElementChild;
    if (!svg) {
      svg = dom.svg("svg", { viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: "none", "aria-hidden": "true" });
      const area = dom.svg("path", {}), line = dom.svg("path", { fill: "none", "stroke-width": "1.4", "vector-effect": "non-scaling-stroke" });
      if (hatch) {
        const id = `vs-hatch-${++patterns}`;
        const pattern = dom.svg("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(-45)" });
        const bar = dom.svg("rect", { width: 1.4, height: 5 });
        bar.style.fill = `var(${colour})`;
        pattern.append(bar);
        const defs = dom.svg("defs", {});
        defs.append(pattern);
        svg.append(defs);
        area.style.fill = `url(#${id})`;
        area.style.opacity = "0.45";
      } else {
        area.style.fill = `var(${colour})`;
        area.style.opacity = "0.15";
      }
      line.style.stroke = `var(${colour})`;
      area.classList.add("a");
      line.classList.add("l");
      svg.append(area, line);
      host.append(svg);
    }
    const real = values.filter((y) => y !== null && y !== undefined);
    const top = Math.max(...real), low = zero ? Math.min(0, ...real) : Math.min(...real);
    const room = top - low || (zero ? top || 1 : Math.abs(top) || 1);
    const base = top === low && !zero ? low - room / 2 : low;
    let d = "", a = "", open = -1, last = 0;
    const n = Math.max(1, values.length - 1);
    values.forEach((y, i) => {
      if (y === null || y === undefined) {
        if (open >= 0) a += `L${last},${h}Z`;
        open = -1;
        return;
      }
      const x = ((i / n) * w).toFixed(1), py = (h - 2 - ((y - base) / room) * (h - 6)).toFixed(1);
      d += (open < 0 ? "M" : "L") + x + "," + py;
      a += open < 0 ? `M${x},${h}L${x},${py}` : `L${x},${py}`;
      open = 1;
      last = x;
    });
    if (open >= 0) a += `L${last},${h}Z`;
    svg.querySelector(".l").setAttribute("d", real.length ? d : "");
    svg.querySelector(".a").setAttribute("d", real.length && fill ? a : "");
  };
  dom.toast = (title, more = "", kind = "warn") => {
    const host = dom.host("toasts");
    if (!host) return;
    const body = dom.make("div", "", dom.make("b", "", title), more ? dom.make("div", "vs-sec", more) : null);
    const el = dom.make("div", `vs-toast is-${kind}`, dom.icon({ warn: "warn", alert: "bell", done: "tick" }[kind] || "copy"), body, dom.button(dom.icon("x"), "untoast", "vs-btn is-bare is-icon is-sm"));
    el.lastElementChild.setAttribute("aria-label", "Close");
    el.setAttribute("role", "alert");
    while (host.children.length > 2) host.firstElementChild.remove();
    host.append(el);
    setTimeout(() => el.remove(), 8000);
  };
})();
