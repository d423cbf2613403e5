/* The bar of a replay, over every page while something is replayed: that it is the past, which one, how far, and the
   keys to go through it. Recorded stretches can be sought in; captures play. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, H = V.history;
  const P = (V.past = {});
  const STEPS = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 };
  const SETTLE_MS = 180; // after the last key, the place is sent
  const HOLD_MS = 2500; // what was asked is shown until the engine's answer comes, or for so long
  const LEAD_MS = 100; // from here on a venue's clock is told: its events are placed by when they came
  let track = null;
  const wish = { at: null, play: null, speed: null, until: 0 };

  const replay = () => (V.store.answer && V.store.answer.engine && V.store.answer.engine.replay) || null;
  const sourceOf = (r) => V.store.answer.sources.find((one) => one.run === "replay" && (!r.source || one.id === r.source)) || V.store.answer.sources.find((one) => one.run === "replay") || null;
  // A capture that is over, or that could not be opened, has its bar only where its data are looked at.
  const shown = (r) => {
    if (!r) return false;
    if (r.recorded) return true;
    const source = sourceOf(r), primary = V.store.primary();
    return Boolean(source) && (["opening", "waiting", "playing", "paused"].includes(r.state) || (primary !== null && primary.id === source.id));
  };
  P.open = () => shown(replay());
  const playing = (r) => (wish.play !== null && Date.now() < wish.until ? wish.play : ["playing", "waiting", "opening", "seeking"].includes(r.state));
  // What the page's badge calls it.
  P.word = () => ((replay() || {}).state === "paused" ? "Past" : "Replay");
  P.toggle = () => H.acts["past-play"]();

  const send = async (name, args) => {
    const answer = await V.exchange.ask(name, args);
    if (!answer.ok) {
      Object.assign(wish, { at: null, play: null, speed: null });
      D.toast(answer.lost ? "No answer" : "The replay did not", V.exchange.capital(answer.why));
    }
    return answer;
  };
  const want = (changes) => {
    Object.assign(wish, changes, { until: Date.now() + HOLD_MS });
    P.update();
  };
  Object.assign(H.acts, {
    "past-play": () => {
      const r = replay();
      if (!r) return;
      if (r.state === "ended") {
        if (r.recorded) send("replay_seek", { at_ms: Math.round(r.from) }).then((answer) => answer.ok && send("replay_resume", {}));
        else V.command("restart_replay", {});
        return;
      }
      const go = !playing(r);
      want({ play: go });
      send(go ? "replay_resume" : "replay_pause", {});
      V.say(go ? "The replay plays" : "The replay is paused");
    },
    "past-step": (el) => send("replay_step", { by: el.dataset.by }),
    "past-link": async () => {
      const url = new URL(location.href);
      url.search = new URLSearchParams([...new URLSearchParams(location.search), ...Object.entries(P.query(true))].reduce((out, [k, v]) => ({ ...out, [k]: v }), {})).toString();
      try {
        await navigator.clipboard.writeText(url.href);
        D.toast("Link copied", `It opens this past at ${F.time(replay().at)} UTC.`, "info");
      } catch {
        D.toast("The link of this past", url.href, "info"); // a page without a secure address has no clipboard
      }
    },
    "past-wanted": () => openWanted(),
    "past-speed": (el) => {
      const speed = el.dataset.speed;
      want({ speed });
      send("replay_speed", { speed: speed === "max" ? "max" : Number(speed) });
    },
    "past-close": async () => {
      if ((await send("replay_close", {})).ok) V.say("The replay is closed");
    },
  });
  const seek = (at) => {
    want({ at });
    send("replay_seek", { at_ms: Math.round(at) });
  };

  // ---------- the past in the address ----------
  // A link names a past; what is replayed belongs to every browser, so it is opened only where nothing else is.
  const whole = (text) => (/^\d{1,13}$/.test(text || "") ? Number(text) : null);
  const named = new URLSearchParams(location.search);
  let wanted = null, kept = { key: "", at: 0 };
  if (/^[\w-]{1,40}$/.test(named.get("past") || "")) {
    const [from, to, at] = ["from", "to", "at"].map((key) => whole(named.get(key)));
    if (from !== null && to !== null && from < to) wanted = { venue: named.get("past"), from, to, at: at !== null && at >= from && at <= to ? at : from, speed: ["1", "10", "100", "max"].includes(named.get("speed")) ? named.get("speed") : "1" };
  }
  const looksAt = (r) => {
    const primary = V.store.primary();
    return Boolean(r && r.recorded && r.source && primary && primary.id === r.source && !F.none(r.from) && !F.none(r.to));
  };
  // What of the address says which past this is; {} for the present.
  P.query = (exact = false) => {
    const r = replay();
    if (wanted) return { past: wanted.venue, from: wanted.from, to: wanted.to, at: wanted.at, speed: wanted.speed };
    if (!looksAt(r)) return {};
    const now = Math.round(place(r) ?? r.from);
    return { past: r.source.split(":")[0], from: Math.round(r.from), to: Math.round(r.to), at: exact ? now : kept.at || now, speed: String(r.speed).replace(/x$/, "") };
  };
  const ADDRESS_MS = 3000; // browsers refuse to be told of every second of a replay
  let addressed = 0;
  const address = (r) => {
    const key = JSON.stringify([r && r.source, r && r.from, r && r.to, r && r.speed, looksAt(r), Boolean(wanted), r && r.state === "paused" ? r.at : Math.floor(Date.now() / ADDRESS_MS)]);
    if (kept.key === key || Date.now() - addressed < 500) return;
    addressed = Date.now();
    kept = { key, at: looksAt(r) ? Math.round(place(r) ?? r.from) : 0 };
    V.address();
  };
  const openWanted = async () => {
    const w = wanted;
    if (!w || w.asked) return;
    w.asked = true;
    const answer = await V.exchange.ask("replay_open", { venue: w.venue, symbols: [], from_ms: w.from, to_ms: w.to, at_ms: w.at, speed: w.speed === "max" ? "max" : Number(w.speed), paused: true });
    wanted = null;
    if (!answer.ok) return void D.toast("The past of this link could not be opened", V.exchange.capital(answer.why));
    const source = `${w.venue}:replay`;
    V.set({ source, hidden: V.state.hidden.filter((x) => x !== source) });
    D.toast("The past of this link is open, for every browser", `Paused at ${F.day(w.at)} ${F.time(w.at)} UTC; close it to go back to now.`, "info");
  };
  const follow = (r) => {
    const a = V.store.answer;
    if (!wanted || !a || wanted.asked || (a.engine && ["compiling", "starting"].includes(a.engine.state))) return;
    const open = r && !(["ended", "failed"].includes(r.state) && !r.recorded);
    if (!open) return void openWanted();
    if (r.recorded && r.source === `${wanted.venue}:replay` && Math.round(r.from) === wanted.from && Math.round(r.to) === wanted.to) wanted = null;
  };

  // ---------- the scrubber ----------
  const build = (host) => {
    const fill = D.make("i", "fill"), knob = D.make("i", "knob"), gaps = D.make("div", "gaps"), tip = D.make("span", "tip"), rail = D.make("div", "rail", gaps, fill);
    host.replaceChildren(rail, knob, tip);
    tip.hidden = true;
    track = { host, fill, knob, gaps, tip, drag: false, moved: 0 };
    const at = (event) => {
      const r = replay(), box = host.getBoundingClientRect();
      return r.from + Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * (r.to - r.from);
    };
    const hint = (ms) => {
      const r = replay(), hole = (r.holes || []).some(([a, b]) => ms >= a && ms < b);
      tip.hidden = false;
      D.text(tip, `${F.time(ms)}${hole ? ", nothing recorded" : ""}`);
      tip.style.left = `${((ms - r.from) / (r.to - r.from)) * 100}%`;
    };
    const able = () => replay() && replay().recorded && replay().to > replay().from;
    host.addEventListener("pointerdown", (event) => {
      if (!able() || event.button !== 0) return;
      track.drag = true;
      host.setPointerCapture(event.pointerId);
      wish.at = at(event);
      wish.until = Infinity;
      hint(wish.at);
      P.update();
    });
    host.addEventListener("pointermove", (event) => {
      if (!able()) return;
      hint(at(event));
      if (!track.drag) return;
      wish.at = at(event);
      P.update();
    });
    const drop = () => {
      if (!track.drag) return;
      track.drag = false;
      tip.hidden = true;
      seek(wish.at);
    };
    host.addEventListener("pointerup", drop);
    host.addEventListener("pointercancel", drop);
    host.addEventListener("pointerleave", () => (tip.hidden = !track.drag));
    host.addEventListener("keydown", (event) => {
      const r = replay();
      if (!able() || event.ctrlKey || event.metaKey || event.altKey) return;
      const now = place(r), step = STEPS[event.key];
      if (event.key === " ") {
        event.preventDefault();
        event.stopPropagation();
        return void P.toggle();
      }
      const to = event.key === "Home" ? r.from : event.key === "End" ? r.to : step ? now + Math.sign(step) * Math.max(1000, Math.abs(step) * (r.to - r.from)) : null;
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      const at = Math.max(r.from, Math.min(r.to, to));
      want({ at });
      clearTimeout(track.moved);
      track.moved = setTimeout(() => seek(at), SETTLE_MS);
    });
  };
  const place = (r) => {
    if (wish.at !== null && Date.now() < wish.until) return wish.at;
    return F.none(r.at) ? null : r.at;
  };

  // ---------- what it says ----------
  const WORDS = { opening: "Opening", seeking: "Seeking", waiting: "Replay", playing: "Replay", paused: "Past", ended: "Ended", failed: "Failed" };
  let was = "";
  P.update = () => {
    const bar = document.getElementById("shell-past"), r = replay(), on = shown(r);
    if (!bar) return;
    follow(r);
    address(r);
    const other = bar.querySelector('[data-act="past-wanted"]');
    if (other) other.hidden = !(wanted && !wanted.asked);
    if (bar.hidden === on) {
      bar.hidden = !on;
      if (on) document.body.dataset.past = r.recorded ? "recorded" : "capture";
      else delete document.body.dataset.past;
      requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
    }
    if (!on) {
      was = "";
      Object.assign(wish, { at: null, play: null, speed: null });
      return;
    }
    const source = sourceOf(r), going = playing(r), kind = r.recorded ? "recorded" : "capture";
    if (document.body.dataset.past !== kind) document.body.dataset.past = kind;
    // What was asked is so, or was refused: from here on the engine's word is shown.
    if (wish.play !== null && wish.play === ["playing", "waiting"].includes(r.state)) wish.play = null;
    if (wish.speed !== null && String(r.speed) === (wish.speed === "max" ? "max" : `${wish.speed}x`)) wish.speed = null;
    if (wish.at !== null && !(track && track.drag) && (Date.now() > wish.until || (Math.abs((r.at || 0) - wish.at) < 1500 && r.state !== "seeking"))) wish.at = null;
    const at = place(r) ?? (source ? source.now : null);
    bar.dataset.state = r.state;
    D.put("past.word", wish.play !== null ? (wish.play ? "Replay" : "Past") : WORDS[r.state] || r.state);
    const venue = r.source ? r.source.split(":")[0] : "", known = (V.store.answer.venues || []).find((one) => one.id === venue) || V.store.answer.sources.find((one) => one.id === `${venue}:sim`);
    const name = r.recorded ? (known ? known.label : venue.replace(/_/g, " ")) : `${source ? source.label : "Capture"}`;
    D.put("past.of", r.state === "failed" ? V.exchange.capital(r.detail) : name);
    const of = bar.querySelector('[data-f="past.of"]');
    D.attr(of, "title", [r.file, r.detail, r.hash ? `${F.si(r.events)} events, hash ${r.hash}` : ""].filter(Boolean).join("\n"));
    const lead = r.recorded && V.store.answer.past ? V.store.answer.past.offset_ms : null;
    D.put("past.receipt", Math.abs(lead || 0) > LEAD_MS ? `by receipt; venue clock ${F.signed(lead / 1000, 2)} s` : "");
    D.put("past.date", F.none(at) ? "" : F.day(at));
    D.put("past.time", F.none(at) ? "–" : F.millis(at).slice(0, 10));
    const icon = document.getElementById("past-play-icon"), sign = `vs-i vs-i-${going ? "pause" : r.state === "ended" ? "refresh" : "play"}`;
    if (icon.className !== sign) icon.className = sign;
    const label = going ? "Pause the replay (Space)" : r.state === "ended" ? "Play it again (Space)" : "Play the replay (Space)";
    D.attr(icon.parentElement, "aria-label", label);
    D.attr(icon.parentElement, "title", label);
    for (const el of bar.querySelectorAll('[data-act="past-step"]')) el.disabled = r.state === "failed" || (r.state === "ended" && !(el.dataset.by === "back" && r.recorded));
    const speed = wish.speed !== null && Date.now() < wish.until ? wish.speed : String(r.speed).replace(/x$/, "");
    for (const el of bar.querySelectorAll("[data-speed]")) D.attr(el, "aria-pressed", String(el.dataset.speed === speed));
    D.put("past.events", `${F.si(r.events)} ${r.events === 1 ? "event" : "events"}`);
    D.put("past.hash", r.hash ? r.hash.slice(0, 8) : "");
    const code = bar.querySelector('[data-f="past.hash"]');
    D.attr(code, "title", r.hash ? `Hash of these events: ${r.hash}. The same stretch gives the same, at any speed.` : null);
    const ranged = !F.none(r.from) && !F.none(r.to) && r.to > r.from;
    D.put("past.left", ranged && !F.none(at) ? `${H.length(Math.max(0, Math.floor((r.to - at) / 1000) * 1000))} left` : `${F.group(r.progress * 100)}%`);
    const host = D.host("past:track");
    if (!track || track.host !== host) build(host);
    const share = ranged && !F.none(at) ? Math.max(0, Math.min(1, (at - r.from) / (r.to - r.from))) : r.progress;
    track.fill.style.width = `${(share * 100).toFixed(2)}%`;
    track.knob.style.left = `${(share * 100).toFixed(2)}%`;
    const holes = JSON.stringify([r.from, r.to, r.holes]);
    if (was !== holes) {
      was = holes;
      const els = D.pool(track.gaps, (r.holes || []).length, () => D.make("b", ""));
      (r.holes || []).forEach(([a, b], i) => {
        els[i].style.left = `${((a - r.from) / (r.to - r.from)) * 100}%`;
        els[i].style.width = `max(2px, ${((b - a) / (r.to - r.from)) * 100}%)`;
        D.attr(els[i], "title", `Nothing recorded ${F.time(a)} to ${F.time(b)}`);
      });
    }
    const sought = r.recorded && ranged;
    D.attr(host, "role", sought ? "slider" : "progressbar");
    D.attr(host, "tabindex", sought ? "0" : null);
    D.attr(host, "aria-label", sought ? "Place in the stretch" : "Progress of the replay");
    D.attr(host, "aria-valuemin", "0");
    D.attr(host, "aria-valuemax", "1000");
    D.attr(host, "aria-valuenow", String(Math.round(share * 1000)));
    D.attr(host, "aria-valuetext", F.none(at) ? null : `${F.day(at)} ${F.time(at)} UTC`);
  };
  P.tick = () => {
    if (wish.until !== Infinity && wish.until && Date.now() > wish.until && (wish.at !== null || wish.play !== null || wish.speed !== null)) {
      Object.assign(wish, { at: null, play: null, speed: null, until: 0 });
      P.update();
    }
  };
})();
