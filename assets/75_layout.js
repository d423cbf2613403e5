/* Where the panels of a page are: hidden ones, their order, the one that fills the page, kiosk mode.

   React's nodes stay where they are. As long as nobody changed anything a page is laid out by its own sheet. With a
   panel hidden or moved, the page becomes one grid of twelve columns: its containers step aside (`display: contents`),
   and each panel keeps the width and height it was measured to have, an order of its own, and a share of the room
   that hidden ones leave. Kept per page in this browser; `hide`, `order` and `max` are in the URL, which beats what was
   kept, so a link shows the same. */
(() => {
  "use strict";
  const V = window.venuescope;
  const D = V.dom;
  const STORE = "venuescope.layout";
  const WIDE = matchMedia("(min-width: 1200px)");
  const FITS = matchMedia("(min-width: 1200px) and (min-height: 820px)");
  const COLUMNS = 12, SPILL = 2; // a row may be this much over its columns before the next one begins
  const LEAST = 190; // px: no row of charts is lower
  const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

  const kept = (() => {
    try {
      const all = JSON.parse(localStorage.getItem(STORE) || "{}");
      return all && typeof all === "object" ? all : {};
    } catch {
      return {};
    }
  })();
  const names = (list) => (Array.isArray(list) ? list.filter((x) => typeof x === "string").slice(0, 64) : []);
  const mine = (page) => ({ hide: names((kept[page] || {}).hide), order: names((kept[page] || {}).order) });
  const keep = (page, change) => {
    const now = { ...mine(page), ...change };
    if (now.hide.length || now.order.length) kept[page] = now;
    else delete kept[page];
    try {
      localStorage.setItem(STORE, JSON.stringify(kept));
    } catch {
      /* storage may be forbidden: it holds for this visit */
    }
  };

  const here = () => document.querySelector("[data-page]");
  const panelsOf = (page) => [...page.querySelectorAll("section.vs-panel[data-panel]")];
  const named = (name) => document.getElementById(`panel-${name}`);
  const resized = () => window.dispatchEvent(new Event("resize"));

  // ---------- the one grid ----------
  const plain = (page) => {
    delete page.dataset.flat;
    page.style.removeProperty("grid-template-rows");
    for (const el of page.querySelectorAll("[data-through], [data-cell]")) {
      delete el.dataset.through;
      delete el.dataset.cell;
      delete el.dataset.narrow;
      for (const name of ["order", "--span", "--high"]) el.style.removeProperty(name);
    }
  };
  // The panels, and what else stands between them, as they are seen: rows from the top, each from the left.
  const cells = (page) => {
    const through = new Set(), found = [];
    for (const panel of panelsOf(page)) for (let el = panel.parentElement; el && el !== page; el = el.parentElement) through.add(el);
    const walk = (parent) => {
      for (const el of parent.children) {
        if (through.has(el)) {
          if (getComputedStyle(el).display !== "none") {
            if (el.offsetParent !== null || el.getClientRects().length || el.dataset.through) walk(el);
          } else through.delete(el);
          continue;
        }
        const box = el.getBoundingClientRect();
        const panel = el.classList.contains("vs-panel"), style = getComputedStyle(el);
        // A panel is one however small it is, as long as this view has it; hidden headings and the like are none.
        if (panel ? style.display !== "none" && el.getClientRects().length : box.width > 2 && box.height > 2 && style.position !== "absolute") found.push({ el, name: el.dataset.panel || "", left: box.left, top: box.top, width: box.width, height: box.height });
      }
    };
    walk(page);
    const wide = page.clientWidth - 2 * parseFloat(getComputedStyle(page).paddingLeft || 0);
    for (const cell of found) cell.span = WIDE.matches ? Math.max(2, Math.min(COLUMNS, Math.round((cell.width / wide) * COLUMNS))) : COLUMNS;
    found.sort((a, b) => (Math.abs(a.top - b.top) > 8 ? a.top - b.top : a.left - b.left));
    return { found, through };
  };
  // The names in order: those asked for, each of the others behind the one it stands behind.
  const ordered = (found, wanted) => {
    const known = wanted.filter((name) => found.some((cell) => cell.name === name));
    if (!known.length) return found;
    const movable = found.filter((cell) => cell.name), all = movable.map((cell) => cell.name);
    const list = [...known];
    all.forEach((name, i) => {
      if (list.includes(name)) return;
      const before = all.slice(0, i).reverse().find((x) => list.includes(x));
      list.splice(before ? list.indexOf(before) + 1 : 0, 0, name);
    });
    const by = new Map(movable.map((cell) => [cell.name, cell]));
    let k = 0;
    return found.map((cell) => (cell.name ? by.get(list[k++]) : cell));
  };
  // Rows of cells whose widths are stretched or squeezed to fill the twelve columns.
  const rowsOf = (list) => {
    const rows = [];
    let row = [], sum = 0;
    for (const cell of list) {
      if (row.length && sum + cell.span > COLUMNS + SPILL) {
        rows.push(row);
        [row, sum] = [[], 0];
      }
      row.push(cell);
      sum += cell.span;
      if (sum >= COLUMNS) {
        rows.push(row);
        [row, sum] = [[], 0];
      }
    }
    if (row.length) rows.push(row);
    for (const one of rows) {
      const total = one.reduce((n, cell) => n + cell.span, 0);
      let left = COLUMNS;
      one.forEach((cell, i) => {
        cell.wide = i === one.length - 1 ? left : Math.max(2, Math.min(left - 2 * (one.length - 1 - i), Math.round((cell.span / total) * COLUMNS)));
        left -= cell.wide;
      });
    }
    return rows;
  };
  const low = (cell) => !cell.name || cell.el.classList.contains("is-strip");

  let order = [], natural = []; // names of the panels of this view, hidden ones too: as they stand, as the sheet has them
  const apply = () => {
    const page = here();
    if (!page) return;
    const hide = new Set(V.state.hide);
    plain(page);
    for (const panel of panelsOf(page)) delete panel.dataset.away;
    const { found, through } = cells(page);
    const all = ordered(found, V.state.order);
    const shown = all.filter((cell) => !hide.has(cell.name));
    [order, natural] = [all, found].map((list) => list.filter((cell) => cell.name).map((cell) => cell.name));
    for (const panel of panelsOf(page)) if (hide.has(panel.dataset.panel)) panel.dataset.away = "1";
    const changed = shown.length < all.length || !same(all, found);
    if (changed) {
      const rows = rowsOf(shown), fit = FITS.matches && page.classList.contains("is-fit");
      for (const el of through) el.dataset.through = "1";
      let at = 0;
      const heights = rows.map((row) => {
        for (const cell of row) {
          cell.el.dataset.cell = low(cell) ? "low" : "1";
          cell.el.style.setProperty("--span", String(cell.wide));
          cell.el.toggleAttribute("data-narrow", cell.wide < 4);
          cell.el.style.order = String((at += 1));
        }
        if (row.every(low)) return "auto";
        const tall = row.filter((cell) => !low(cell)), weight = tall.reduce((n, cell) => n + cell.span, 0);
        const high = Math.max(LEAST, Math.round(tall.reduce((n, cell) => n + cell.height * cell.span, 0) / weight));
        return fit ? `minmax(${Math.min(high, LEAST)}px, ${high}fr)` : `${high}px`;
      });
      page.dataset.flat = "1";
      page.style.gridTemplateRows = heights.join(" ");
      if (!shown.some((cell) => cell.name)) page.dataset.flat = "empty";
    }
    for (const panel of panelsOf(page)) {
      const on = panel.dataset.panel === V.state.max && !panel.dataset.away;
      if (on) panel.dataset.max = "1";
      else delete panel.dataset.max;
      const sign = panel.querySelector('.vs-act [data-act="max"]');
      if (!sign) continue;
      D.attr(sign, "aria-pressed", String(on));
      const mark = sign.querySelector(".vs-i"), cls = `vs-i vs-i-${on ? "min" : "max"}`;
      if (mark && mark.className !== cls) mark.className = cls;
    }
    resized();
    draw();
  };

  // ---------- what the user does ----------
  const title = (name) => (named(name) ? named(name).dataset.title : name);
  const hide = (name, away) => {
    const page = here();
    if (!page) return;
    const list = V.state.hide.filter((x) => x !== name);
    if (away) list.push(name);
    keep(page.dataset.page, { hide: list });
    V.set({ hide: list, ...(away && V.state.max === name ? { max: "" } : {}) });
    V.say(`${title(name)} is ${away ? "hidden" : "shown"}`);
  };
  const maximise = (name) => V.set({ max: V.state.max === name ? "" : name });
  const place = (list) => {
    const now = same(list, natural) ? [] : list;
    keep(here().dataset.page, { order: now });
    V.set({ order: now });
  };
  const move = (name, by) => {
    const list = [...order], seen = list.filter((x) => !V.state.hide.includes(x));
    const from = seen.indexOf(name), to = from + by;
    if (from < 0 || to < 0 || to >= seen.length) return;
    const other = seen[to];
    list.splice(list.indexOf(name), 1);
    list.splice(list.indexOf(other) + (by > 0 ? 1 : 0), 0, name);
    place(list);
    V.say(`${title(name)} is panel ${to + 1} of ${seen.length}`);
  };
  const drop = (name, other, after) => {
    const list = order.filter((x) => x !== name), at = list.indexOf(other);
    if (at < 0) return;
    list.splice(at + (after ? 1 : 0), 0, name);
    if (!same(list, order)) place(list);
  };
  const reset = () => {
    const page = here();
    if (!page) return;
    keep(page.dataset.page, { hide: [], order: [] });
    V.set({ hide: [], order: [], max: "" });
    apply();
    V.say("The layout is as it was");
  };

  // ---------- dragging by the header ----------
  let drag = null;
  const over = (x, y) => {
    const el = document.elementFromPoint(x, y), panel = el && el.closest("section.vs-panel[data-panel]");
    return panel && panel !== drag.panel && order.includes(panel.dataset.panel) ? panel : null;
  };
  const mark = (panel, after) => {
    for (const el of document.querySelectorAll("[data-drop]")) if (el !== panel) delete el.dataset.drop;
    if (panel) panel.dataset.drop = after ? "after" : "before";
  };
  const dropped = (done) => {
    const was = drag;
    if (!was) return;
    const target = was.moving && done ? document.querySelector("[data-drop]") : null, after = target && target.dataset.drop === "after";
    mark(null);
    delete was.panel.dataset.dragged;
    document.body.classList.remove("is-dragging");
    drag = null;
    if (target) drop(was.panel.dataset.panel, target.dataset.panel, after);
  };
  document.addEventListener("pointerdown", (event) => {
    const head = event.target.closest && event.target.closest("section.vs-panel > header");
    // A finger scrolls; it moves panels by the menu.
    if (!head || event.button !== 0 || event.pointerType === "touch" || event.target.closest("button:not(.vs-grip), select, input, a, label, [role=button]")) return;
    const panel = head.parentElement;
    if (panel.dataset.max || order.length < 2 || !order.includes(panel.dataset.panel)) return;
    drag = { panel, x: event.clientX, y: event.clientY, id: event.pointerId, moving: false };
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    if (!drag.moving) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 6) return;
      drag.moving = true;
      drag.panel.dataset.dragged = "1";
      document.body.classList.add("is-dragging");
    }
    event.preventDefault();
    const panel = over(event.clientX, event.clientY);
    if (!panel) return mark(null);
    const box = panel.getBoundingClientRect();
    mark(panel, WIDE.matches ? event.clientX > box.left + box.width / 2 : event.clientY > box.top + box.height / 2);
  });
  document.addEventListener("pointerup", () => dropped(true));
  document.addEventListener("pointercancel", () => dropped(false));
  const BY = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  document.addEventListener("keydown", (event) => {
    if (drag && event.key === "Escape") {
      event.stopImmediatePropagation();
      return dropped(false);
    }
    const grip = event.target.closest && event.target.closest("[data-grip]");
    if (!grip || !BY[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const name = grip.dataset.grip, menu = grip.closest("[data-layout]");
    move(name, BY[event.key]);
    const again = menu ? menu.querySelector(`button[data-grip="${name}"]`) : grip;
    if (again && again.isConnected) again.focus();
  }, true);

  // ---------- the menu, and the same in the controls ----------
  const row = (name, word) => {
    const box = D.make("input", "form-check-input");
    box.type = "checkbox";
    box.setAttribute("role", "switch");
    box.dataset.layoutPanel = name;
    const label = D.make("label", "vs-lay-name", box, D.make("span", "", word));
    const step = (by, sign, text) => {
      const el = D.button(D.icon(sign), "layout-move", "vs-btn is-bare is-icon is-sm", { panel: name, by: String(by) });
      el.title = text;
      el.setAttribute("aria-label", `Move ${word} ${by < 0 ? "up" : "down"}`);
      el.dataset.grip = name;
      return el;
    };
    const el = D.make("div", "vs-lay-row", label, step(-1, "up", "Earlier on the page"), step(1, "down", "Later on the page"));
    el.dataset.of = name;
    return el;
  };
  const draw = () => {
    const page = here();
    for (const host of document.querySelectorAll("[data-layout]")) {
      const list = page ? order : [], was = [...host.children].map((el) => el.dataset.of);
      const held = document.activeElement && host.contains(document.activeElement) ? document.activeElement : null;
      const at = held && held.closest(".vs-lay-row"), of = at && at.dataset.of, which = at ? [...at.querySelectorAll("button, input")].indexOf(held) : -1;
      if (!same(list, was)) {
        host.replaceChildren(...list.map((name) => row(name, title(name))));
        const again = of && [...host.children].find((el) => el.dataset.of === of);
        if (again) again.querySelectorAll("button, input")[which].focus();
      }
      [...host.children].forEach((el, i) => {
        const box = el.querySelector("input"), on = !V.state.hide.includes(el.dataset.of), [up, down] = el.querySelectorAll("button");
        if (box.checked !== on) box.checked = on;
        el.classList.toggle("is-away", !on);
        up.disabled = !on || i === 0;
        down.disabled = !on || i === list.length - 1;
      });
    }
    const n = order.filter((name) => V.state.hide.includes(name)).length;
    D.put("layout.hidden", n ? String(n) : "");
    const touched = n || (page && V.state.order.length) || V.state.max;
    for (const el of document.querySelectorAll('[data-act="layout-reset"]')) el.disabled = !touched;
  };
  const menu = () => document.getElementById("shell-layout");
  let from = null;
  const open = (on, back = true) => {
    const el = menu();
    if (!el || el.hidden === !on) return false;
    el.hidden = !on;
    for (const one of document.querySelectorAll('[data-act="layout"]')) D.attr(one, "aria-expanded", String(on));
    if (on) {
      from = document.activeElement;
      apply();
      const first = el.querySelector("input, button:not([disabled])");
      if (first) first.focus();
    } else if (back && from && from.isConnected) from.focus();
    return true;
  };
  document.addEventListener("pointerdown", (event) => {
    const el = menu();
    if (el && !el.hidden && !el.contains(event.target) && !event.target.closest('[data-act="layout"]')) open(false, false);
  });
  document.addEventListener("change", (event) => {
    const box = event.target.closest && event.target.closest("[data-layout-panel]");
    if (box) hide(box.dataset.layoutPanel, !box.checked);
  });

  // ---------- kiosk ----------
  let full = false; // the whole screen was asked for here, and is left with kiosk mode
  const kiosk = (on, ask = true) => {
    V.set({ kiosk: on });
    if (on && ask && document.documentElement.requestFullscreen)
      document.documentElement.requestFullscreen().then(() => (full = true), () => {}); // refused: the page alone is enough
    if (!on && full && document.fullscreenElement) document.exitFullscreen().catch(() => {});
    if (!on) full = false;
    V.say(on ? "Kiosk mode, Escape leaves it" : "Kiosk mode is left");
  };
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement && full) kiosk(false);
  });
  const wear = () => {
    document.body.toggleAttribute("data-kiosk", V.state.kiosk);
  };

  // ---------- the page turns ----------
  let asked = true; // what the URL said, before it was written anew, holds for the page it was opened with
  const query = new URLSearchParams(location.search);
  const turned = () => {
    const page = here();
    if (!page) return;
    const own = mine(page.dataset.page);
    const known = panelsOf(page).map((panel) => panel.dataset.panel);
    const [shown, moved] = ["hide", "order"].map((key) => (asked && query.has(key) ? V.state[key] : own[key]).filter((name, i, all) => known.includes(name) && all.indexOf(name) === i));
    const max = asked && known.includes(V.state.max) ? V.state.max : "";
    asked = false;
    open(false, false);
    quiet = true;
    V.colours.show();
    V.set({ hide: shown, order: moved, max });
    quiet = false;
    apply();
  };
  let quiet = false;
  V.onState((changed) => {
    if (changed.includes("kiosk")) {
      wear();
      apply();
    }
    if (quiet) return;
    if (changed.some((key) => ["hide", "max"].includes(key))) {
      apply();
      V.link.need();
      V.link.redraw();
    } else if (changed.includes("order")) apply();
  });
  // Another view of the same page: other panels are seen.
  new MutationObserver(apply).observe(document.body, { attributeFilter: ["data-exview", "data-health"] });
  let width = 0, later = 0;
  window.addEventListener("resize", (event) => {
    const now = `${window.innerWidth}x${window.innerHeight}`;
    if (!event.isTrusted || now === width) return;
    width = now;
    clearTimeout(later);
    later = setTimeout(apply, 120);
  });
  wear();

  V.layout = { turned, toggle: () => (V.layout.open(menu().hidden)), apply, hide, maximise, move, reset, open, kiosk, order: () => [...order] };
})();
