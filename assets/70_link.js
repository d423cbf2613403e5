/* The way to the server and back: parameters, pace, clock, the one renderer, what was painted. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const link = (V.link = { at: 0, opened: Date.now(), streams: [], also: [], poke: 0, hiddenAt: 0 });
  Object.assign(V, { polls: 0, painted: 0, last: { v: 0, now: 0, painted_at: 0, newest_event: 0 }, ages: [], errors: [] });
  const props = (id, values) => window.dash_clientside.set_props(id, values);
  const period = () => 1000 / V.state.hz;

  window.addEventListener("error", (event) => note(event.message));
  window.addEventListener("unhandledrejection", (event) => note(String(event.reason)));
  const note = (V.note = (text) => {
    V.errors.push(text);
    if (V.errors.length > 50) V.errors.shift();
  });

  // ---------- parameters ----------
  // What of the tab's state goes with a poll, by what the poll calls it: always, or with the stream it is for.
  // An empty text is not sent.
  const SENT = { symbol: "symbol", hidden: "hidden", source: "source", window: "window", interval: "interval", stage: "stage", budget: "budget", account: "account", traded: "traded", part: "part", exview: "exview" };
  const SENT_FOR = {
    history: { hzoom: "histzoom", hat: "histat", hwhat: "histwhat" },
    impact: { amount: "amount" },
    latency_map: { slo: "slo" },
    depth: { span: "span", group: "group" },
    book_map: { rows: "rows" },
    studies: { studies: "studies" },
  };
  const ASKED = new Set([SENT, ...Object.values(SENT_FOR)].flatMap((names) => Object.keys(names)));
  let sent = "";
  link.ask = (force = false) => {
    if (!link.started) return;
    const streams = [...new Set([...link.streams, ...link.also])].sort();
    const params = { client: V.client, streams };
    for (const [key, name] of Object.entries(SENT)) if (V.state[key] !== "") params[name] = V.state[key];
    // Depth is widened and joined where that can be chosen; elsewhere it is as it always was.
    const chosen = document.querySelector('[data-select="group"]');
    for (const [stream, names] of Object.entries(SENT_FOR))
      if (streams.includes(stream) && (stream !== "depth" || chosen)) for (const [key, name] of Object.entries(names)) if (V.state[key] !== "") params[name] = V.state[key];
    if (streams.includes("history")) params.histof = V.history.asked || null;
    const text = JSON.stringify(params);
    if (text === sent && !force) return;
    sent = text;
    if (force) params.poke = ++link.poke;
    props("shell-params", { data: params });
  };
  let going = null;
  const pace = () => {
    const go = !V.state.paused && !document.hidden;
    if (go !== going) {
      going = go;
      props("shell-tick", { max_intervals: go ? -1 : 0 });
    }
  };
  V.onState((changed) => {
    if (changed.includes("paused")) {
      V.pausedAt = V.state.paused ? Date.now() : 0;
      pace();
      if (!V.state.paused) {
        gather();
        link.ask(true);
      }
      V.say(V.state.paused ? "Paused" : "Resumed");
    }
    if (changed.includes("hz")) tune(true);
    if (changed.some((key) => ASKED.has(key))) link.ask();
    if (changed.includes("off")) V.controlsOpen(document.body.classList.contains("is-off-open"));
    if (changed.includes("theme") || changed.includes("updown")) link.redraw();
    V.controls();
    V.refresh();
  });
  document.addEventListener("visibilitychange", () => {
    pace();
    if (!document.hidden && !V.state.paused) {
      link.at = Date.now();
      link.ask(true);
    }
  });

  // ---------- pace ----------
  // The interval starts when an answer is in, so the round trip is taken off it; the estimate follows what is measured.
  let used = 250, spent = 15, before = 0;
  const tune = (reset = false) => {
    if (reset) before = 0;
    const wanted = Math.max(20, Math.round(period() - spent));
    if (reset || Math.abs(wanted - used) >= 3) {
      used = wanted;
      props("shell-tick", { interval: wanted });
    }
  };
  const arrived = (at) => {
    if (before && at - before > 3000) {
      tune(true);
      before = at;
      return;
    }
    if (before) {
      const extra = at - before - used;
      if (extra > 0) spent += 0.15 * (Math.min(extra, 400) - spent);
    }
    before = at;
    link.pace = { used, spent };
    tune();
  };

  // Null while answers come; else since when there are none. A server that stalls is slow first, and away when it
  // has said nothing for long or refuses to be asked.
  link.patience = 7000; // ms
  link.late = () => {
    if (V.state.paused || document.hidden) return null;
    const silent = Date.now() - (link.at || link.opened);
    return silent > Math.max(2000, 3 * period()) && silent > 0 ? link.at || link.opened : null;
  };
  link.gone = () => {
    const since = link.late();
    return since && (probe.refused || Date.now() - since > link.patience) ? since : null;
  };

  // ---------- what was painted ----------
  // The age of an event is known where a book, a candle or a trade was drawn from this very answer; a replay's
  // events are as old as its capture.
  const EVENTS = new Set(["depth", "candles", "trades"]);
  const newestDrawn = (answer, streams) => {
    const source = V.store.primary();
    if (!source || source.run === "replay") return 0;
    let newest = 0;
    for (const name of streams) {
      const s = EVENTS.has(name) ? V.store.streams[name] : null;
      if (s && s.v === answer.v && !F.none(s.age_ms)) newest = Math.max(newest, answer.now - s.age_ms);
    }
    return newest;
  };
  let pending = null;
  const samples = [];
  const painted = () => {
    const mine = pending;
    pending = null;
    requestAnimationFrame(() => {
      const at = Date.now();
      V.painted += 1;
      V.last = { v: mine.v, now: mine.now, painted_at: at, newest_event: mine.newest };
      const age = mine.newest ? at + mine.offset - mine.newest : null;
      if (age !== null) V.ages.push(age);
      if (V.ages.length > 2000) V.ages.splice(0, 1000);
      samples.push([at - mine.at, age]);
      if (samples.length > 16) samples.shift();
    });
  };
  const drawnOne = (name) => {
    if (!pending) return;
    pending.wait.delete(name);
    if (!pending.wait.size) painted();
  };
  // Server's clock less ours. Within 50 ms it is the same machine's: what differs is the way, not the clock.
  const leads = [];
  const offset = (now, at) => {
    leads.push(now - at);
    if (leads.length > 64) leads.shift();
    const lead = Math.max(...leads);
    return Math.abs(lead) < 50 ? 0 : lead;
  };

  // ---------- charts ----------
  const drawn = (V.drawn = {});
  const watched = new WeakSet();
  const seen = new WeakMap();
  const eye = new IntersectionObserver((entries) => {
    let fresh = false;
    for (const entry of entries) {
      if (entry.isIntersecting && seen.get(entry.target) === false) fresh = true;
      seen.set(entry.target, entry.isIntersecting);
    }
    if (fresh) link.redraw();
  }, { rootMargin: "80px" });
  const watch = (name, gd) => {
    if (!gd || !gd.on || watched.has(gd)) return;
    watched.add(gd);
    V.time.watch(gd);
    const panel = gd.closest("section[data-panel]");
    if (panel) eye.observe(panel);
    gd.on("plotly_afterplot", () => {
      after(name, gd);
      drawnOne(name);
    });
    after(name, gd);
  };
  const after = (name, gd) => {
    const chart = V.charts[name], s = V.store.streams[chart.stream];
    if (!s || !gd._fullLayout || !gd._fullLayout.xaxis || !gd.layout || !gd.layout.meta || chart.empty(s)) return;
    try {
      if (chart.after) chart.after(gd, s);
      V.began(name, gd);
    } catch (error) {
      note(`${name}: ${error.message}`);
    }
  };
  const draw = (name, figure, specs, force) => {
    const chart = V.charts[name], s = V.store.streams[chart.stream];
    const panel = document.querySelector(`[data-chart="${name}"]`);
    if (panel && !panel.clientWidth) return null; // in a view that is not seen
    if (!chart || !s || !panel || chart.empty(s) || (chart.stream === "depth" && !["SYNCED", "STALE"].includes(s.state))) return null;
    const shape = chart.shape(s, specs.charts[name]);
    const want = `${V.dressed()}/${shape.key}/${V.dated(s)}`;
    const gd = V.graph(name);
    watch(name, gd);
    const was = drawn[name] || {};
    const whole = !(figure && figure.layout && figure.layout.meta && figure.layout.meta.drawn === want);
    const axis = whole ? null : V.time.fitting(gd);
    if (!whole && was.rev === s.rev && !force && !axis) {
      Object.assign(was, { v: s.v, polls: V.polls });
      return null;
    }
    const now = performance.now();
    if (!whole && !force) {
      if (seen.get(panel) === false) return null;
      if (now - was.at < 1000 / chart.hz - 60) return null;
    }
    const arrays = chart.data(s);
    drawn[name] = { rev: s.rev, v: s.v, polls: V.polls, at: now };
    return whole ? V.figure(name, s, specs, figure, shape, arrays, panel.clientWidth) : V.patch(arrays, axis);
  };

  link.redraw = () => {
    if (link.started) props("shell-redraw", { data: (link.redraws = (link.redraws || 0) + 1) });
  };

  // The cursors move on here, when an answer's rows are held: `base` counts the moves.
  let version = -1, redraws = 0, base = 0;
  const render = (answer, redraw, figures, specs) => {
    const context = window.dash_clientside.callback_context;
    const outputs = context.outputs_list[0] || [];
    const keep = window.dash_clientside.no_update;
    try {
      start();
      V.specs = specs;
      const at = Date.now();
      const fresh = answer && (answer.v !== version || answer.epoch !== V.store.epoch);
      const forced = redraw !== undefined && redraw !== null && redraw !== redraws;
      if (forced) redraws = redraw;
      let offs = 0, held = keep;
      if (fresh) {
        version = answer.v;
        V.polls += 1;
        link.at = at;
        if (V.state.paused) V.pausedAt = at; // what is shown is of now, not of when it was paused
        arrived(at);
        const again = answer.base !== base;
        V.store.merge(answer, again);
        if (!again) held = { n: (base += 1), of: answer.cursors };
        offs = offset(answer.now, at);
        link.offset = offs;
        if (samples.length) props("shell-painted", { data: samples.splice(0) });
      }
      const wait = new Set(), events = new Set();
      const out = outputs.map((output, i) => {
        const name = output.id.name;
        let figure = null;
        try {
          figure = draw(name, figures[i], specs, forced);
        } catch (error) {
          note(`${name}: ${error.message}`);
        }
        if (!figure) return keep;
        wait.add(name);
        events.add(V.charts[name].stream);
        return figure;
      });
      V.live.written.clear();
      V.refresh();
      if (forced) exportLater();
      if (fresh) {
        for (const name of V.live.written) events.add(name);
        pending = { v: answer.v, now: answer.now, at, newest: newestDrawn(answer, events), offset: offs, wait };
        if (!wait.size) painted();
      }
      return [out, held];
    } catch (error) {
      note(error.message);
      return [outputs.map(() => keep), keep];
    }
  };

  // ---------- the page round it ----------
  let worded = "";
  V.say = (text) => {
    const el = document.getElementById("shell-status");
    if (el && text !== worded) {
      worded = text;
      el.textContent = text;
    }
  };
  const badge = () => {
    const el = document.getElementById("shell-badge");
    if (!el) return;
    const a = V.store.answer, late = link.late(), source = V.store.primary();
    let state = "live", word = "Live", age = null;
    if (V.state.paused) [state, word, age] = ["paused", "Paused", Date.now() - (V.pausedAt || link.at || link.opened)];
    else if (late) [state, word, age] = link.gone() ? ["error", "Disconnected", Date.now() - late] : ["stale", "Slow", Date.now() - late];
    else if (!a) [state, word] = ["off", "Waiting"];
    else if (a.engine && a.engine.state === "failed") [state, word] = ["error", "Failed"];
    else if (a.engine && a.engine.state === "compiling") [state, word] = ["compiling", "Compiling"];
    else if (!source) [state, word] = ["off", "No source"];
    else {
      age = source.age_ms === null ? null : source.age_ms + Math.max(0, Date.now() - link.at);
      if (source.state === "stale") [state, word] = ["stale", "Stale"];
      else if (source.state === "ended") [state, word, age] = ["ended", "Ended", null];
      else if (source.state === "error") [state, word, age] = ["error", "Error", null];
      else if (source.state === "resyncing") [state, word] = ["resyncing", "Resyncing"];
      else if (source.state === "reconnecting") [state, word] = ["reconnecting", "Retrying"];
      else if (source.state === "loading") [state, word] = ["off", "Loading"];
      else if (source.run === "replay") [state, word, age] = ["past", V.past.word(), null];
    }
    const kind = { paused: " is-paused", stale: " is-stale", reconnecting: " is-stale", resyncing: " is-stale", compiling: " is-stale", error: " is-error", off: " is-off", ended: " is-off", past: " is-past" }[state] || "";
    if (el.className !== `vs-badge${kind}`) el.className = `vs-badge${kind}`;
    const dot = el.firstElementChild, dotted = V.dot(state);
    if (dot.className !== dotted) dot.className = dotted;
    D.put("badge.word", word);
    const text = state === "compiling" ? a.engine.kernels.join(" of ") : state === "past" ? F.time(source.now) : state === "paused" || word === "Disconnected" ? F.span((age || 0) / 1000) : F.age(age);
    D.put("badge.age", text);
    if (word === "Slow") return; // over before it is worth a word, or it becomes more
    if (V.badge !== word && V.badge !== undefined && !V.state.paused) V.say(word === "Live" ? "Live again" : word);
    V.badge = word;
  };
  const banner = () => {
    const host = D.host("banner"), gone = link.gone();
    D.attr(document.body, "data-still", V.state.paused || gone ? "1" : null);
    if (gone && V.store.answer) V.strip(host, ["disconnected", `Disconnected since ${F.time(gone)} UTC`, "The server does not answer; the page asks on and goes on by itself.", null]);
    else if (V.state.paused && V.store.answer) V.strip(host, ["paused", `Paused at ${F.time(V.pausedAt || Date.now())} UTC`, "The engine goes on.", ["Resume", "pause", {}]]);
    else V.strip(host, null);
    V.venues.banners();
    V.starting();
  };
  V.controls = () => {
    for (const el of document.querySelectorAll("[data-key][data-value]"))
      D.attr(el, "aria-pressed", String(String(V.state[el.dataset.key]) === el.dataset.value));
    const paused = V.state.paused;
    D.put("pause.word", paused ? "Resume" : "Pause");
    const mark = document.getElementById("shell-pause-icon");
    if (mark) mark.className = `vs-i vs-i-${paused ? "play" : "pause"}`;
    const sky = document.getElementById("shell-theme-icon");
    if (sky) sky.className = `vs-i vs-i-${V.theme() === "dark" ? "sun" : "moon"}`;
    const shell = document.getElementById("shell");
    if (shell) shell.dataset.rail = V.state.slim ? "slim" : "";
    document.body.dataset.health = V.venues.view();
    const off = document.getElementById("shell-off");
    if (off) off.dataset.view = V.state.off;
    const here = location.pathname.replace(/\/+$/, "") || "/";
    for (const el of document.querySelectorAll(".vs-link")) {
      const mine = el.getAttribute("href") === here;
      if (mine && !el.hasAttribute("aria-current") && window.innerWidth < 768) el.scrollIntoView({ inline: "center", block: "nearest" });
      D.attr(el, "aria-current", mine ? "page" : null);
    }
    V.studies.dress();
    for (const key of ["interval", "span", "group"]) for (const el of document.querySelectorAll(`[data-select="${key}"]`)) if (el.value !== String(V.state[key])) el.value = String(V.state[key]);
  };
  V.refresh = () => {
    if (!link.started) return;
    try {
      V.live.update();
      V.panels.update();
      V.past.update();
      V.history.warn();
      V.alerts.told();
      V.time.update();
      badge();
      banner();
    } catch (error) {
      note(error.message);
    }
  };
  // Dash leaves the tick disabled when a request is refused, and a second request would make it drop the answer
  // to the first. So a server that is away is probed, and asked when it is back, or once in ten seconds.
  // What is asked for is nobody's who is not logged in: a session that has ended is told from a server that is away.
  const PROBE = "/_favicon.ico";
  const probe = { busy: false, at: 0, failed: false, refused: false, asked: 0 };
  const seek = () => {
    if (!link.late()) {
      Object.assign(probe, { failed: false, refused: false, asked: 0 });
      return;
    }
    if (probe.busy || Date.now() - probe.at < 1000) return;
    Object.assign(probe, { busy: true, at: Date.now() });
    fetch(PROBE, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(3000) })
      .then(({ status }) => {
        probe.refused = false;
        if (link.late() && status === 401) return location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
        if (!link.late() || !(probe.failed || Date.now() - probe.asked > 10_000)) return;
        Object.assign(probe, { failed: false, asked: Date.now() });
        props("shell-tick", { disabled: false });
        link.ask(true);
      })
      .catch((error) => Object.assign(probe, { failed: true, refused: error.name !== "TimeoutError" }))
      .finally(() => (probe.busy = false));
  };
  const clock = () => {
    D.put("clock", F.time(Date.now() + (link.offset || 0)));
    D.tick();
    badge();
    banner();
    V.past.tick();
    if (link.late() || V.state.paused || !V.store.answer) V.panels.update();
    // A server that is away is asked once a second, until it is back.
    if (link.at && link.late() && used < 1000) {
      used = 1000;
      props("shell-tick", { interval: 1000 });
    }
    seek();
  };

  // What the panels of the page need. Hidden ones need nothing, nor do those of another view, those under the panel
  // that fills the page, and those far off the screen that cost much; what is seen again comes again as a whole.
  const HEAVY = new Set(["book_map", "latency_map", "studies", "indexed", "mids", "events", "distribution"]);
  const LEFT_MS = 4000; // a panel that is only scrolled past is still asked for
  const far = new WeakMap(); // element -> since when it is far off the screen
  let leaving = 0;
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) far.delete(target);
      else if (!far.has(target)) far.set(target, performance.now());
    }
    if (V.state.paused) return; // nothing moves then, and resuming looks again
    link.need();
    clearTimeout(leaving);
    leaving = setTimeout(() => V.state.paused || link.need(), LEFT_MS + 50);
  }, { rootMargin: "50%" });
  const drawnNow = (el) => {
    if (el.dataset.away) return false;
    if (el.hidden) return true; // it shows itself by what it is told
    if (!el.getClientRects().length) return false;
    const top = document.querySelector("[data-page] [data-max]");
    return !top || el === top || !el.matches("section[data-panel]");
  };
  const away = (el) => far.has(el) && performance.now() - far.get(el) >= LEFT_MS;
  const gather = () => {
    const page = document.querySelector("[data-page]");
    const wanted = new Set();
    if (page)
      for (const el of page.querySelectorAll("[data-streams]")) {
        near.observe(el);
        if (!drawnNow(el)) continue;
        for (const name of el.dataset.streams.split(" ")) if (name && !(HEAVY.has(name) && away(el))) wanted.add(name);
      }
    if (page && page.dataset.page === "latency") wanted.add("stages");
    link.streams = [...wanted].sort();
  };
  link.need = () => {
    gather();
    link.ask();
  };
  // Another view of the page, or the other of two panels in one place.
  new MutationObserver(() => link.started && link.need()).observe(document.body, { attributeFilter: ["data-exview", "data-health", "data-compare"] });
  // A page was put in place: nothing looked up before holds, and it needs other streams.
  const turned = () => {
    D.forget();
    V.controls();
    V.layout.turned();
    V.controlsOpen(false);
    V.address();
    link.need();
    V.refresh();
  };
  const start = () => {
    if (link.started) return;
    link.started = true;
    V.pausedAt = V.state.paused ? Date.now() : 0;
    const content = document.getElementById("_pages_content");
    new MutationObserver(turned).observe(content, { childList: true });
    setTimeout(() => {
      turned();
      tune(true);
      pace();
    }, 0);
    setInterval(clock, 250);
  };

  // The off-canvas of controls and venues; what only venues need is asked for while they are seen.
  V.controlsOpen = (open) => {
    document.body.classList.toggle("is-off-open", open);
    link.also = open && V.state.off === "venues" ? ["listing", "venues"] : [];
    link.ask();
    V.refresh();
  };
  let nth = 0;
  const answers = new Map(); // of commands whose answer is told where they were given
  V.command = (name, args, answered = null) => {
    const id = `${V.client}-${++nth}`;
    if (answered) answers.set(id, answered);
    props("shell-command", { data: { id, name, args } });
    // A paused page asks once, so that it shows what became of it.
    if (V.state.paused) setTimeout(() => link.ask(true), 500);
  };
  const KEPT = 12;
  const later = [];
  const exportLater = () => {
    for (const panel of later.splice(0)) V.exportPanel(panel, true);
  };
  V.exportPanel = (panel, redrawn = false) => {
    if (!panel) return;
    const chart = panel.dataset.chart, stream = panel.dataset.export, s = V.store.streams[stream];
    if (!s) {
      D.toast("Nothing was exported", "This panel has no data yet.");
      return;
    }
    // The server keeps the newest views of a page: what was drawn long ago is drawn again, then exported.
    const held = chart && drawn[chart], old = held && !V.state.paused && V.polls - held.polls > KEPT;
    if (old && !redrawn) {
      later.push(panel);
      link.redraw();
      return;
    }
    const view = held && !old ? held.v : s.v;
    props("shell-export", { data: { id: `${V.client}-${++nth}`, chart: stream, part: panel.dataset.part || "", view, range: chart ? V.range(chart) : null, client: V.client } });
  };
  const toast = (value) => {
    const told = value && answers.get(value.id);
    if (told) {
      answers.delete(value.id);
      told(value.text, value.result);
    } else if (value && value.text) D.toast(value.text, value.more || "");
    return window.dash_clientside.no_update;
  };

  window.dash_clientside = Object.assign(window.dash_clientside || {}, { venuescope: { render, toast } });
})();
