/* What a figure measures, told by a tooltip: to a pointer that rests, to the keyboard, to a finger.
   The words are one table (`dashboards/words.py`); there is one tooltip. A row of figures is one stop of the Tab key,
   arrows go through it. */
(() => {
  "use strict";
  const V = window.venuescope;
  const REST_MS = 350, AGAIN_MS = 600, LEAVE_MS = 180;
  const GROUPS = ".vs-read, .vs-tiles, .vs-facts, .vs-pairs, .vs-tab thead tr, section[data-panel] > footer";
  const UNITS = ".vs-read > span, .vs-tile, .vs-facts > div, .vs-pairs > div, .vs-tab th, .ag-header-cell, section[data-panel] > footer > span, [data-tip]";
  const CALM = "Your system asks for less motion: once a second until you choose otherwise here, and nothing flashes or slides.";
  const FOOT = ["foot.age", "foot.n", "foot.lost"];
  const words = () => (V.specs && V.specs.words) || {};
  const read = (el) => el.textContent.trim();

  const keyOf = (unit) => {
    const all = words();
    if (unit.dataset.tip) return `tip.${unit.dataset.tip}`;
    if (unit.parentElement.matches("section[data-panel] > footer")) return FOOT[[...unit.parentElement.children].indexOf(unit)] || "";
    if (unit.matches("th, .ag-header-cell")) {
      const panel = unit.closest("section[data-panel]"), head = read(unit.querySelector(".ag-header-cell-text") || unit);
      const whole = `${panel ? panel.dataset.panel : ""}/${head}`;
      return whole in all ? whole : whole.split(",")[0];
    }
    const fields = [unit, ...unit.querySelectorAll("[data-f]")].map((el) => el.dataset.f);
    return fields.find((name) => name in all) || "";
  };
  // What is told about under an element: nothing where the element tells something of its own.
  const unitOf = (el) => {
    if (!el || !el.closest) return null;
    const unit = el.closest(UNITS) || el.closest("[data-f]");
    if (!unit || !(keyOf(unit) in words())) return null;
    const own = el.closest("[title]");
    return own && own !== unit && unit.contains(own) ? null : unit;
  };

  const tip = document.createElement("div");
  tip.id = "shell-tip";
  tip.className = "vs-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  tip.append(document.createElement("p"), document.createElement("p"));
  let shown = null, described = null, timer = 0, hidden = 0, keyed = false;

  const place = (unit) => {
    const box = unit.getBoundingClientRect(), mine = tip.getBoundingClientRect(), edge = 8;
    const left = Math.max(edge, Math.min(innerWidth - mine.width - edge, box.left + box.width / 2 - mine.width / 2));
    const under = box.bottom + 6 + mine.height <= innerHeight - edge;
    tip.style.left = `${Math.round(left)}px`;
    tip.style.top = `${Math.round(under ? box.bottom + 6 : Math.max(edge, box.top - mine.height - 6))}px`;
  };
  const hide = () => {
    clearTimeout(timer);
    if (!shown) return;
    if (described) described.removeAttribute("aria-describedby");
    shown = described = null;
    hidden = Date.now();
    tip.hidden = true;
  };
  const show = (unit, by) => {
    clearTimeout(timer);
    if (!unit.isConnected || document.body.classList.contains("is-tour")) return;
    if (shown !== unit) hide();
    if (!tip.isConnected) document.body.append(tip);
    const more = unit.dataset.more !== undefined ? unit : unit.querySelector("[data-more]");
    tip.firstChild.textContent = words()[keyOf(unit)];
    tip.lastChild.textContent = more ? more.dataset.more : V.calm && unit.dataset.tip === "hz" ? CALM : "";
    shown = unit;
    described = by && !by.hasAttribute("aria-describedby") ? by : null;
    if (described) described.setAttribute("aria-describedby", tip.id);
    tip.hidden = false;
    place(unit);
  };
  // Not while the pointer passes by; at once where one was read a moment ago.
  const soon = (unit, by) => {
    if (unit === shown) return clearTimeout(timer);
    clearTimeout(timer);
    timer = setTimeout(() => show(unit, by), shown || Date.now() - hidden < AGAIN_MS ? 60 : REST_MS);
  };
  const leave = () => {
    clearTimeout(timer);
    if (shown) timer = setTimeout(hide, LEAVE_MS);
  };

  // Where the pointer is, and where it was when the last one was closed by key: what comes to lie under a pointer that
  // was not moved since is not asked about.
  let pointer = "", closed = "";
  const placeOf = (event) => `${event.clientX},${event.clientY}`;
  document.addEventListener("pointermove", (event) => {
    pointer = placeOf(event);
  }, { capture: true, passive: true });
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch" || placeOf(event) === closed) return;
    closed = "";
    if (tip.contains(event.target)) return clearTimeout(timer); // it may be read with the pointer on it
    const unit = unitOf(event.target);
    if (unit) soon(unit, unit);
    else if (!shown || !shown.contains(document.activeElement) || !keyed) leave();
  });
  document.addEventListener("pointerdown", (event) => {
    keyed = false;
    if (!tip.contains(event.target)) hide();
  }, true);
  document.addEventListener("pointerup", (event) => {
    if (event.pointerType !== "touch" || event.target.closest("button, a, input, select, label")) return;
    const unit = unitOf(event.target);
    if (unit) show(unit, unit);
  });
  document.addEventListener("focusin", (event) => {
    const unit = keyed ? unitOf(event.target) : null;
    if (unit) soon(unit, event.target);
    else hide();
  });
  addEventListener("scroll", (event) => event.target !== tip && hide(), true);
  addEventListener("blur", hide);

  // ---------- one stop of the Tab key for each row of figures ----------
  const stopOf = (unit) => unit.querySelector("button, a") || unit;
  const stops = (group) => [...group.children].filter((unit) => unit.offsetParent !== null && unitOf(unit) === unit).map(stopOf);
  const arm = () => {
    for (const el of document.querySelectorAll("[data-tip]"))
      if (!el.querySelector("button, a, input, select") && !el.closest("button, a")) el.tabIndex = 0;
    for (const group of document.querySelectorAll(GROUPS)) {
      const all = stops(group);
      for (const unit of group.children) if (unit.tabIndex >= 0 && unit.hasAttribute("tabindex") && !all.includes(unit)) unit.removeAttribute("tabindex");
      const now = all.find((el) => el === document.activeElement) || all[0];
      for (const el of all) if (!el.matches("button, a")) el.tabIndex = el === now ? 0 : -1;
    }
  };
  document.addEventListener("keydown", (event) => {
    keyed = true;
    if (event.key === "Escape" && shown) {
      hide();
      closed = pointer;
      event.stopPropagation();
      return;
    }
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const group = step && event.target.closest && event.target.closest(GROUPS);
    if (!group) return;
    const all = stops(group), at = all.indexOf(event.target), next = all[at + step];
    if (at < 0) return;
    event.preventDefault();
    if (!next) return;
    if (!event.target.matches("button, a")) event.target.tabIndex = -1;
    if (!next.matches("button, a")) next.tabIndex = 0;
    next.focus();
  }, true);

  // ---------- the clock in two zones ----------
  const two = (x) => String(x).padStart(2, "0");
  const local = () => {
    const host = document.querySelector(".vs-clock");
    if (!host) return;
    const now = new Date(Date.now() + ((V.link && V.link.offset) || 0)), ahead = -now.getTimezoneOffset();
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local", off = Math.abs(ahead);
    const by = `UTC${ahead < 0 ? "−" : "+"}${Math.floor(off / 60)}${off % 60 ? `:${two(off % 60)}` : ""}`;
    const clock = `${two(now.getHours())}:${two(now.getMinutes())}`;
    host.dataset.more = ahead ? `Here it is ${clock}:${two(now.getSeconds())} (${zone}, ${by}).` : "Your own clock is at UTC too.";
    V.dom.put("clock.local", ahead ? `${clock} local` : "");
    if (shown === host) tip.lastChild.textContent = host.dataset.more;
  };

  document.addEventListener("click", (event) => {
    const skip = event.target.closest && event.target.closest(".vs-skip");
    if (!skip) return;
    event.preventDefault(); // the address stays a link to the page
    document.getElementById("main").focus();
  });
  const start = () => {
    const content = document.getElementById("_pages_content");
    if (!content || !V.specs) return setTimeout(start, 200);
    const again = () => {
      hide();
      setTimeout(arm, 0);
      setTimeout(arm, 1500); // heads that are made by the client
    };
    new MutationObserver(again).observe(content, { childList: true });
    addEventListener("resize", arm);
    again();
    local();
    setInterval(local, 1000);
  };
  start();
  V.tips = { arm, hide, key: (el) => ((unit) => (unit ? keyOf(unit) : ""))(unitOf(el)) };
})();
