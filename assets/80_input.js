/* Presses and keys. One listener each, by what the element says it does. */
(() => {
  "use strict";
  const V = window.venuescope;

  const keys = (open) => window.dash_clientside.set_props("shell-keys", { is_open: open });
  let from = null; // what had the focus before the controls were opened
  const controls = (open) => {
    const off = document.getElementById("shell-off");
    if (open && !opened()) from = document.activeElement;
    V.controlsOpen(open);
    if (!open && from && from.isConnected) from.focus();
    if (!open) from = null;
    if (open && off) {
      const first = off.querySelector(".vs-line button[aria-pressed=true]");
      if (first) first.focus();
    }
  };
  const opened = () => document.body.classList.contains("is-off-open");
  const acts = {
    set: (el) => V.setText(el.dataset.key, el.dataset.value),
    pause: () => V.set({ paused: !V.state.paused }),
    follow: () => V.time.toggle(),
    link: (el) => V.time.copy(el),
    theme: () => V.set({ theme: V.theme() === "dark" ? "light" : "dark" }),
    controls: () => {
      const other = opened() && V.state.off !== "controls";
      V.set({ off: "controls" });
      controls(other || !opened());
    },
    venues: () => {
      V.set({ off: "venues" });
      controls(true);
    },
    close: () => controls(false),
    venue: (el) => V.venues.toggle(el.dataset.venue),
    "remove-symbol": (el) => V.command("remove_symbol", { venue: el.dataset.venue, symbol: el.dataset.symbol }),
    "add-symbol": (el) => V.venues.add(el.dataset.venue),
    calls: () => document.getElementById("rail-limits").click(),
    keys: () => keys(true),
    slim: () => {
      V.set({ slim: !V.state.slim });
      window.dispatchEvent(new Event("resize"));
    },
    source: (el) => {
      const id = el.dataset.id, hidden = V.state.hidden.includes(id) ? V.state.hidden.filter((x) => x !== id) : [...V.state.hidden, id];
      V.set({ hidden });
    },
    show: (el) => V.set({ hidden: V.state.hidden.filter((x) => x !== el.dataset.source) }),
    "start-replay": () => {
      V.replayAsked();
      V.command("start_replay", { file: "sample" });
    },
    replay: () => {
      V.replayAsked();
      V.command("restart_replay", {});
    },
    csv: (el) => V.exportPanel(document.getElementById(`panel-${el.dataset.panel}`)),
    png: (el) => V.picture.panel(el.dataset.panel),
    max: (el) => V.layout.maximise(el.dataset.panel),
    hide: (el) => V.layout.hide(el.dataset.panel, true),
    layout: () => V.layout.toggle(),
    "layout-move": (el) => V.layout.move(el.dataset.panel, Number(el.dataset.by)),
    "layout-reset": () => V.layout.reset(),
    kiosk: () => V.layout.kiosk(!V.state.kiosk),
    picture: () => V.picture.page(),
    untoast: (el) => el.closest(".vs-toast").remove(),
  };
  document.addEventListener("click", (event) => {
    if (event.target.id === "shell-scrim") return controls(false);
    const el = event.target.closest && event.target.closest("[data-act]");
    if (!el) return;
    const act = acts[el.dataset.act] || V.exchange.acts[el.dataset.act] || V.history.acts[el.dataset.act] || V.alerts.acts[el.dataset.act];
    if (act) act(el);
  });
  document.addEventListener("change", (event) => {
    const select = event.target.closest && event.target.closest("select[data-select]");
    const poll = event.target.closest && event.target.closest("select[data-poll]");
    if (poll) V.command("set_poll", { venue: poll.dataset.venue, endpoint: poll.dataset.poll, interval_s: Number(poll.value) });
    if (!select) return;
    const source = select.dataset.select === "symbol" ? V.having(select.value) : null;
    if (source) V.set({ source });
    V.setText(select.dataset.select, select.value);
    select.blur();
  });

  // While the controls lie over the page, the Tab key goes round in them.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || !opened() || document.querySelector(".modal.show, .vs-tour")) return;
    const off = document.getElementById("shell-off");
    const stops = [...off.querySelectorAll("a[href], button, input, select, textarea, [tabindex]")].filter((el) => el.tabIndex >= 0 && !el.disabled && el.checkVisibility({ visibilityProperty: true }));
    const at = stops.indexOf(document.activeElement), last = stops.length - 1;
    if (!stops.length || (at > 0 && at < last) || (at === 0 && !event.shiftKey && last > 0) || (at === last && event.shiftKey && last > 0)) return;
    if (at < 0 && off.contains(document.activeElement)) return;
    event.preventDefault();
    stops[event.shiftKey ? last : 0].focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range";
    if (event.key === "Escape") {
      if (opened()) controls(false);
      else if (V.layout.open(false)) return;
      else if (V.state.max) V.layout.maximise(V.state.max);
      else if (V.state.kiosk && !document.querySelector(".modal.show")) V.layout.kiosk(false);
      else V.alerts.leave();
      return;
    }
    if (inField || event.target.isContentEditable) return;
    const link = /^[0-9]$/.test(event.key) ? document.querySelectorAll(".vs-link")[(Number(event.key) + 9) % 10] : null;
    if (link) link.click();
    else if (event.key === "p" || event.key === "P") acts.pause();
    else if (event.key === "f" || event.key === "F") acts.follow();
    else if (event.key === "c" || event.key === "C") acts.link();
    else if (event.key === "v" || event.key === "V") acts.venues();
    else if (event.key === "o" || event.key === "O") V.exchange.ticket();
    else if (event.key === "t" || event.key === "T") acts.theme();
    else if (event.key === "k" || event.key === "K") acts.kiosk();
    else if (event.key === "l" || event.key === "L") acts.layout();
    else if (event.shiftKey && event.key.toLowerCase() === "e") acts.picture();
    else if (event.key === "e" || event.key === "E") V.exportPanel((document.activeElement && document.activeElement.closest("section[data-panel]")) || document.querySelector("section[data-panel]"));
    else if (event.key === " " && V.past.open() && (event.target.matches(".vs-plot") || !event.target.closest("button, a, [tabindex]"))) V.past.toggle();
    else if (event.key === "?") keys(true);
    else return;
    event.preventDefault();
  });
})();
