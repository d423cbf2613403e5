/* A tour of the page in seven steps: offered once by a card that takes nothing away, started again from the list of keys
   and from the settings. */
(() => {
  "use strict";
  const V = window.venuescope;
  const asked = new URLSearchParams(location.search).get("tour");
  // [where (the first that is seen), title, what is said]
  const STEPS = [
    ["#shell-badge", "Is it live?", "The badge says what the newest data is like and how old it is: live, paused, stale or disconnected. Look here first. A panel that is in trouble says so itself as well."],
    [".vs-chiprow, [data-act=controls]", "Sources and venues", "Each chip is a source with its own state and age. Press one to hide it in this browser; connect live markets under Venues. What is simulated is hatched wherever it is drawn."],
    [".vs-rate-of, [data-act=controls]", "Make some load", "The simulation rate is how many orders a second the built-in exchange gets, 0 to a million, for every browser. Latency and throughput answer at once."],
    [".is-symbol, [data-act=controls]", "Symbol and window", "Choose the symbol here, and how far back to look: the window holds for every chart and figure. The address of the page keeps what you chose, so it can be sent as a link."],
    ["section[data-panel] header", "A panel", "The header says what is measured, and has the data as CSV, the picture, and full size. The footer says how old the data is, how many events are behind it, and how many rows were lost. Rest on a figure to read what it measures."],
    [".vs-rail", "Ten pages", "Overview, then one page for each question: the book, the market, our latency, throughput, the venues' limits, the exchange to trade against, what was recorded, alerts, and the engine's own health."],
    ["[data-act=keys], .vs-rail", "Keys", "P freezes the view, 1 to 9 and 0 go to a page, T changes light and dark. Press ? for all of them; this tour is there as well."],
  ];
  const D = () => V.dom;
  let at = -1, parts = null, before = null;

  const seen = (selector) => selector.split(", ").map((one) => [...document.querySelectorAll(one)].find((el) => el.offsetParent !== null || el.getClientRects().length)).find(Boolean);
  const place = () => {
    if (at < 0) return;
    const target = seen(STEPS[at][0]), { spot, card } = parts, gap = 12;
    const mine = card.getBoundingClientRect();
    if (!target) {
      Object.assign(spot.style, { left: "50%", top: "50%", width: "0", height: "0" });
      Object.assign(card.style, { left: `${(innerWidth - mine.width) / 2}px`, top: `${(innerHeight - mine.height) / 2}px` });
      return;
    }
    const own = target.getBoundingClientRect(), foot = target.matches("header") && target.closest(".vs-panel");
    const box = foot ? foot.getBoundingClientRect() : own;
    Object.assign(spot.style, { left: `${box.left - 4}px`, top: `${box.top - 4}px`, width: `${box.width + 8}px`, height: `${box.height + 8}px` });
    const fits = (left, top) => left >= gap && top >= gap && left + mine.width <= innerWidth - gap && top + mine.height <= innerHeight - gap;
    const across = Math.max(gap, Math.min(innerWidth - mine.width - gap, box.left + box.width / 2 - mine.width / 2));
    const down = Math.max(gap, Math.min(innerHeight - mine.height - gap, box.top));
    const [left, top] = [[across, box.bottom + gap], [box.right + gap, down], [across, box.top - mine.height - gap], [box.left - mine.width - gap, down]].find(([x, y]) => fits(x, y))
      || [across, Math.max(gap, Math.min(innerHeight - mine.height - gap, box.bottom - mine.height - gap))];
    Object.assign(card.style, { left: `${Math.round(left)}px`, top: `${Math.round(top)}px` });
  };
  const step = (to) => {
    if (to >= STEPS.length) return end();
    at = Math.max(0, to);
    const [selector, title, text] = STEPS[at], target = seen(selector);
    if (target) target.scrollIntoView({ block: "nearest", inline: "nearest" });
    parts.title.textContent = title;
    parts.text.textContent = text;
    parts.count.textContent = `${at + 1} of ${STEPS.length}`;
    parts.back.disabled = at === 0;
    parts.next.textContent = at === STEPS.length - 1 ? "Done" : "Next";
    place();
    parts.title.focus(); // so that it is read out
  };
  const end = () => {
    if (at < 0) return;
    at = -1;
    parts.whole.remove();
    document.body.classList.remove("is-tour");
    removeEventListener("resize", place);
    if (before && before.isConnected) before.focus();
  };
  const build = () => {
    const make = D().make, title = make("h2", ""), text = make("p", ""), count = make("span", "at");
    title.id = "tour-title";
    title.tabIndex = -1;
    text.id = "tour-text";
    const skip = D().button("Skip", "tour-end", "vs-btn is-bare is-sm"), back = D().button("Back", "tour-back", "vs-btn is-sm"), next = D().button("Next", "tour-next", "vs-btn is-sm is-primary");
    const card = make("div", "vs-tour", title, text, make("div", "row", count, skip, back, next)), spot = make("div", "vs-tour-spot");
    card.setAttribute("role", "dialog");
    card.setAttribute("aria-modal", "true");
    card.setAttribute("aria-labelledby", title.id);
    card.setAttribute("aria-describedby", text.id);
    card.addEventListener("keydown", (event) => {
      event.stopPropagation(); // the page's own keys rest meanwhile
      if (event.key === "Escape") end();
      else if (event.key === "ArrowRight") step(at + 1);
      else if (event.key === "ArrowLeft") step(at - 1);
      else if (event.key === "Tab") {
        const stops = [skip, back, next].filter((el) => !el.disabled), now = stops.indexOf(document.activeElement);
        const to = event.shiftKey ? (now <= 0 ? stops.length : now) - 1 : (now + 1) % stops.length;
        event.preventDefault();
        stops[to].focus();
      }
    });
    const whole = make("div", "", make("div", "vs-tour-scrim"), spot, card);
    return { whole, spot, card, title, text, count, skip, back, next };
  };
  const start = () => {
    decline();
    V.set({ toured: true });
    window.dash_clientside.set_props("shell-keys", { is_open: false });
    V.controlsOpen(false);
    if (V.tips) V.tips.hide();
    if (at >= 0) return step(0);
    before = document.activeElement;
    parts = build();
    document.body.append(parts.whole);
    document.body.classList.add("is-tour");
    addEventListener("resize", place);
    // The list of keys gives the focus back as it closes.
    step(0);
    setTimeout(() => at >= 0 && !parts.card.contains(document.activeElement) && parts.title.focus(), 400);
  };

  let offered = null;
  const decline = () => {
    if (!offered) return;
    offered.remove();
    offered = null;
    V.set({ toured: true });
  };
  const offer = () => {
    const make = D().make;
    offered = make("section", "vs-offer",
      make("b", "", "New here?"),
      make("p", "", "What is live, where the data is from, and how to read a panel: one minute, seven steps."),
      make("div", "row", D().button("Take the tour", "tour", "vs-btn is-sm is-primary"), D().button("Not now", "tour-no", "vs-btn is-sm is-bare")));
    offered.setAttribute("aria-label", "A tour of the page");
    document.getElementById("shell").append(offered);
  };
  const acts = { tour: start, "tour-no": decline, "tour-end": end, "tour-next": () => step(at + 1), "tour-back": () => step(at - 1) };
  document.addEventListener("click", (event) => {
    const el = event.target.closest && event.target.closest("[data-act]");
    if (el && acts[el.dataset.act]) acts[el.dataset.act]();
  });

  // Offered once the page shows something; not on a wall, nor where a link or whoever drives the browser has no use for it.
  const wanted = () => !V.state.kiosk && asked !== "0" && (asked === "1" || (!V.state.toured && !navigator.webdriver));
  const wait = setInterval(() => {
    if (!((V.painted || 0) >= 2)) return;
    clearInterval(wait);
    if (wanted()) offer();
  }, 250);
  V.tour = { start, steps: STEPS.length };
})();
