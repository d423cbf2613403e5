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
  // The chart as it is on screen: what is written over it in the page becomes part of the picture.
  const png = (name) => {
    const panel = document.getElementById(`panel-${name}`), gd = panel && V.graph(panel.dataset.chart);
    if (!gd || !window.Plotly || !gd._fullLayout || !gd.layout.meta) return;
    const a = V.store.answer, m = a && a.market, size = gd._fullLayout._size, frame = gd.getBoundingClientRect();
    const annotations = [...panel.querySelectorAll("[data-over] > span")].filter((el) => !el.hidden && el.textContent).map((el) => {
      const box = el.getBoundingClientRect(), style = getComputedStyle(el);
      const filled = el.classList.contains("vs-price");
      return {
        text: el.textContent, showarrow: false, xref: "paper", yref: "paper", x: 0, y: 1, xanchor: "left", yanchor: "middle",
        xshift: box.left - frame.left - size.l, yshift: -(box.top + box.height / 2 - frame.top - size.t), borderpad: 2,
        font: { size: 11, color: style.color }, bgcolor: filled ? style.backgroundColor : undefined,
      };
    });
    const stamp = new Date(V.last.now || Date.now()).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
    window.Plotly.downloadImage({ data: gd.data, layout: { ...gd.layout, annotations } }, {
      format: "png", scale: 2, width: gd.clientWidth, height: gd.clientHeight,
      filename: ["venuescope", m ? m.source.replace(/\W+/g, "-") : "", m ? m.symbol : "", name, stamp].filter(Boolean).join("_"),
    });
  };
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
    png: (el) => png(el.dataset.panel),
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
    else if (event.key === " " && V.past.open() && !event.target.closest("button, a, [tabindex]")) V.past.toggle();
    else if (event.key === "?") keys(true);
    else return;
    event.preventDefault();
  });
})();
