/* Alerts: the bell over every page, and the page of rules, firings and webhooks. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, X = V.exchange;
  const A = (V.alerts = { acts: {}, parts: [] });
  const ONLY_LOOK = "This session may only look.";
  const STATE = { firing: "is-bad", pending: "is-warn", "no data": "is-warn", quiet: "is-ok", off: "" };
  const SENT = { delivered: "is-ok", waiting: "is-info", sending: "is-info", failed: "is-bad", unknown: "is-warn" };

  A.stream = () => V.store.streams.alerts || null;
  A.head = () => (V.store.answer && V.store.answer.alerts) || null;
  A.role = () => (V.store.answer && V.store.answer.role) || "admin";
  // Why nothing can be changed here; "" where it can.
  A.fixed = (wanted = "trade") => {
    if (V.link.gone()) return "The server does not answer.";
    const role = A.role(), s = A.stream();
    if (role === "read") return ONLY_LOOK;
    if (wanted === "admin" && role !== "admin") return "This takes a session with the role admin.";
    return s && s.state === "failed" ? "Alerts are not watched now." : "";
  };
  A.metric = (name) => {
    const found = ((A.stream() || {}).metrics || []).find(([key]) => key === name);
    const [, label, words, unit, ofSymbol, example] = found || [name, name, name, "", true, ""];
    return { label, words, unit, ofSymbol, example };
  };
  const label = (source) => ((V.store.answer || { sources: [] }).sources.find((one) => one.id === source) || {}).label || A.venue(source.split(":")[0]);
  A.venues = () => {
    const a = V.store.answer || {}, out = new Map((a.venues || []).map((one) => [one.id, one.label]));
    for (const one of a.sources || []) if (one.run !== "replay" && !out.has(one.id.split(":")[0])) out.set(one.id.split(":")[0], one.label);
    return [...out];
  };
  A.venue = (id) => (A.venues().find(([key]) => key === id) || [id, id])[1];
  // A rule's sentence to be read: its threshold in groups of three, as the values beside it. What is typed has none.
  A.reads = (text) => text.replace(/ (above|below) (-?\d+(?:\.\d+)?)/, (_, side, threshold) => ` ${side} ${X.grouped(threshold)}`);
  // The engine's word beside what was pressed, or as a toast where there is no room.
  A.order = async (name, args, done = "") => {
    const answer = await X.ask(name, args);
    if (!answer.ok) D.toast(answer.lost ? "No answer" : "That was refused", X.capital(answer.why));
    else if (done) V.say(done);
    return answer;
  };

  // ---------- over every page ----------
  const bell = { id: null, epoch: null };
  let ear = null;
  const beep = () => {
    try {
      ear = ear || new AudioContext();
      ear.resume();
      for (const [tone, at] of [[880, 0], [1174.7, 0.16]]) {
        const voice = ear.createOscillator(), gain = ear.createGain(), from = ear.currentTime + at;
        voice.frequency.value = tone;
        gain.gain.setValueAtTime(0.0001, from);
        gain.gain.exponentialRampToValueAtTime(0.2, from + 0.02);
        gain.gain.exponentialRampToValueAtTime(0.0001, from + 0.15);
        voice.connect(gain).connect(ear.destination);
        voice.start(from);
        voice.stop(from + 0.16);
      }
    } catch {
      V.set({ sound: false }); // this browser plays nothing, so the switch must not say it does
    }
  };
  // Why there are no notifications; "" where they are allowed.
  const refused = () => {
    if (!window.isSecureContext) return "Browsers have them for https and for localhost only.";
    if (!("Notification" in window)) return "It has none.";
    if (Notification.permission === "denied") return "They are blocked for this address: allow them in the browser's settings, then switch again.";
    return Notification.permission === "granted" ? "" : "The browser's question was not answered with Allow.";
  };
  const tell = (newest, more) => {
    const where = [newest.source && label(newest.source), newest.value && X.grouped(newest.value)].filter(Boolean).join(": ");
    D.toast(A.reads(newest.text), [where, more ? `and ${more} more` : ""].filter(Boolean).join(", "), "alert");
    if (V.state.sound) beep();
    if (!V.state.notify || refused()) return;
    try {
      new Notification(A.reads(newest.text), { body: where, tag: `venuescope-${newest.id}` }); // one, however many tabs ask for it
    } catch {
      V.set({ notify: false }); // browsers of phones have them in service workers alone
      D.toast("This browser shows no notifications", "It has none for a page. The badge and the sound tell alerts.");
    }
  };
  A.told = () => {
    const h = A.head(), el = document.getElementById("shell-alerts");
    if (!h || !el) return;
    const n = h.unacknowledged, newest = h.newest;
    const last = newest ? newest.id : 0;
    // Ids only ascend, so the first answer says from where on firings are news; what is older is told by the count.
    // An engine that was started again tells firings of its own.
    if (bell.epoch !== V.store.epoch) bell.id = null;
    bell.epoch = V.store.epoch;
    if (bell.id !== null && last > bell.id) tell(newest, last - bell.id - 1);
    bell.id = bell.id === null ? last : Math.max(last, bell.id);
    const open = newest && (!newest.acknowledged || !newest.ended);
    const cls = `vs-alert-badge${h.state === "failed" || h.firing ? " is-firing" : n ? " is-waiting" : ""}`;
    if (el.className !== cls) el.className = cls;
    D.put("alerts.count", h.state === "failed" ? "!" : n > 99 ? "99+" : n || h.firing ? String(n) : "");
    D.put("alerts.rail", n > 99 ? "99+" : n ? String(n) : "");
    D.put("alerts.what", h.state === "failed" ? "Alerts are not watched" : open && (n || h.firing) ? A.reads(newest.text) : "");
    const says = h.state === "failed" ? "Alerts are not watched: see Alerts" : !n && !h.firing ? "Alerts: nothing to acknowledge" : [`${n} to acknowledge`, h.firing ? `${h.firing} firing now` : "", open ? A.reads(newest.text) : ""].filter(Boolean).join("; ");
    D.attr(el, "title", says);
    D.attr(el, "aria-label", [...el.querySelectorAll(".n, .what")].map((part) => part.textContent).concat(says).filter(Boolean).join(" "));
    const bare = document.title.replace(/^\(\d+\) /, ""), title = n ? `(${n}) ${bare}` : bare;
    if (document.title !== title) document.title = title;
    ways();
    const leave = document.getElementById("shell-session"), { session } = V.store.answer;
    if (leave && leave.hidden === Boolean(session)) leave.hidden = !session;
    D.put("session.may", session ? `This session's role is ${A.role()}` : "");
  };
  // Notifications and sound: off until somebody wants them, in this browser alone.
  const PAUSED = "Silent while the view is paused; what fired meanwhile is told when it goes on.";
  const WAYS = [["notify", "Notify", `A notification of this browser when an alert fires. ${PAUSED}`], ["sound", "Sound", `A sound when an alert fires. ${PAUSED}`]];
  const wish = async (key, on) => {
    if (key === "notify" && on) {
      if (window.isSecureContext && "Notification" in window) await Notification.requestPermission();
      if (refused()) {
        D.toast("This browser allows no notifications", refused());
        V.set({ notify: true });
        V.set({ notify: false });
        return ways(true);
      }
    }
    V.set({ [key]: on });
    if (key === "sound" && on) beep(); // so that one hears what it is, and the browser lets it play later
  };
  const ways = (again = false) => {
    for (const name of ["alert:told", "alert:ways"]) {
      const host = D.host(name);
      if (!host) continue;
      if (!host.firstElementChild)
        host.append(...WAYS.map(([key, words, title]) => {
          const made = X.switched(words, V.state[key], (on) => wish(key, on));
          made.el.title = title;
          made.button.dataset.way = key;
          return made.el;
        }));
      for (const button of host.querySelectorAll("[data-way]")) if (again || button.getAttribute("aria-checked") !== String(V.state[button.dataset.way])) button.setAttribute("aria-checked", String(V.state[button.dataset.way]));
    }
  };

  // ---------- panels ----------
  A.judge = (panel, s) => {
    const name = panel.dataset.panel, gone = V.link.gone();
    if (!s) return [gone ? "disconnected" : "loading", null, gone ? ["plug", "No answer from the server", `Asking since ${F.time(gone)} UTC; this page goes on by itself.`, null] : null];
    if (s.state === "off") return ["off", null, name === "alert-rules" ? ["bell", "Alerts are off", X.capital(s.detail) || "They begin with the engine; see Health.", null] : ["bell", "Off", "", null]];
    const failed = s.state === "failed" && name === "alert-rules" ? ["error", "Nothing is watched now", X.capital(s.detail) || "See the log."] : null;
    if (failed && s.rules.length) return ["error", failed, null];
    if (failed) return ["error", null, ["warn", failed[1], failed[2], null]];
    if (gone) return ["disconnected", null, null];
    if (name === "alert-rules" && !s.rules.length) {
      const fixed = A.fixed();
      return ["empty", null, ["bell", "No rules yet", fixed || "A rule is watched by the engine, whether or not a page is open. One press makes one of these:", fixed ? null : A.examples().map((one) => [A.sentence(one), "alert-example", { rule: JSON.stringify(one) }])]];
    }
    if (name === "alert-firings" && !s.firings.length) return ["empty", null, ["bell", "Nothing has fired", s.rules.length ? "Each time a rule comes true is listed here, until long after it is over." : "What fires is listed here, until long after it is over.", null]];
    return V.state.paused ? ["paused", null, null] : ["live", null, null];
  };
  // What its footer says in place of an age: of what is watched, the newest firing may be long ago.
  A.age = (s) => {
    if (!s || s.state !== "running") return "";
    return V.link.gone() ? "disconnected" : V.state.paused ? "paused" : "watched";
  };
  const many = (n, word, words = `${word}s`) => `${F.group(n)} ${n === 1 ? word : words}`;
  A.counted = {
    "alert-form": () => "",
    "alert-rules": (s) => `${F.group(s.rules.length)}${s.most ? ` of ${many(s.most, "rule")} at most` : ` ${s.rules.length === 1 ? "rule" : "rules"}`}`,
    "alert-firings": (s) => (s.kept > s.firings.length ? `${F.group(s.firings.length)} of ${many(s.kept, "firing")}` : many(s.kept, "firing")),
    "alert-webhooks": (s) => many(s.webhooks.length, "webhook"),
  };
  const SHORT = { "per minute": "/min" };
  const unit = (rule) => ((u) => (u ? ` ${SHORT[u] || u}` : ""))(A.metric(rule.metric).unit);
  // A value as the engine tells it, with its unit.
  const valued = (text) => (text === "" ? "–" : X.grouped(text.replace(/ (per minute)$/, (_, u) => ` ${SHORT[u]}`)));
  // Why a rule waits for a market that nobody brings; null where somebody does.
  const unheard = (rule) => {
    if (!rule.enabled || !rule.symbol) return null;
    const heard = V.store.answer.sources.some((one) => one.run !== "replay" && (!rule.venue || one.venue === rule.venue) && one.symbols.includes(rule.symbol));
    return heard ? null : `${rule.venue ? `${A.venue(rule.venue)} does not follow` : "No open venue follows"} ${rule.symbol}; it is watched when ${rule.venue ? "it" : "one"} does`;
  };
  const tagged = (cls, text, title = null) => ({
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("span", "vs-tag"));
      X.tag(td.firstElementChild, cls, text);
      D.attr(td.firstElementChild, "title", title);
    },
  });
  const act = (host, n, make) => (host.children.length === n ? host.children : (host.replaceChildren(...make()), host.children));
  const rules = (s) => {
    const host = D.host("alert:rules"), now = V.store.answer.now, fixed = A.fixed();
    if (!host || !s.rules) return;
    const at = new Map((s.values || []).map((one) => [one.id, one]));
    D.table(host, s.rules.map((rule) => {
      const v = at.get(rule.id) || { state: "off", value: "", away: "", where: "", fired: 0 };
      const past = v.away.startsWith("-"), price = !A.metric(rule.metric).unit;
      return [
        tagged(`is-alert ${STATE[v.state] || ""}`, v.state, unheard(rule)),
        {
          cls: "wide name rule",
          draw(td) {
            if (!td.firstElementChild) td.append(D.make("span", "vs-rule", D.make("span", ""), D.make("small", "")));
            const [says, told] = td.firstElementChild.children;
            D.text(says, A.reads(rule.text));
            D.text(told, rule.webhooks.length ? `→ ${rule.webhooks[0]}${rule.webhooks.length > 1 ? ` +${rule.webhooks.length - 1}` : ""}` : "");
            D.attr(td, "title", [A.reads(rule.text), rule.webhooks.length ? `told: ${rule.webhooks.join(", ")}` : "", v.where ? `nearest at ${label(v.where)}` : ""].filter(Boolean).join("; "));
          },
        },
        { text: valued(v.value), cls: "n", tone: v.value === "" ? "mut" : "" },
        { text: v.away === "" ? "–" : past || Number(v.away) === 0 ? `${X.grouped(v.away.replace("-", ""))}${price ? "" : unit(rule)} past` : X.grouped(v.away) + (price ? "" : unit(rule)), cls: "n", tone: v.away === "" ? "mut" : past ? "warn" : "" },
        { text: v.since ? F.span(Math.max(0, now - v.since) / 1000) : "–", cls: "n" },
        {
          cls: "n",
          draw(td) {
            D.text(td, F.group(v.fired));
            D.attr(td, "title", v.fired_at ? `Last at ${F.day(v.fired_at)} ${F.time(v.fired_at)} UTC` : null);
          },
        },
        {
          cls: "n acts",
          draw(td) {
            const [on, edit, gone] = act(td.firstElementChild || td.appendChild(D.make("span", "vs-alert-acts")), 3, () => {
              const on = D.button("", "alert-switch", "vs-switch"), edit = D.button("Edit", "alert-edit", "vs-btn is-sm is-bare"), gone = D.button("Remove", "alert-remove", "vs-btn is-sm is-bare is-remove");
              on.setAttribute("role", "switch");
              return [on, edit, gone];
            });
            for (const el of [on, edit, gone]) {
              if (el.dataset.id !== rule.id) {
                el.dataset.id = rule.id;
                X.unsure(el);
              }
              if (el.disabled !== Boolean(fixed)) el.disabled = Boolean(fixed);
              D.attr(el, "title", fixed || null);
            }
            D.attr(on, "aria-checked", String(rule.enabled));
            D.attr(on, "aria-label", `Watch: ${A.reads(rule.text)}`);
            D.attr(edit, "aria-label", `Edit: ${A.reads(rule.text)}`);
            D.attr(gone, "aria-label", `Remove: ${A.reads(rule.text)}`);
          },
        },
      ];
    }));
  };

  // ---------- firings ----------
  const DELIVERY = { delivered: "delivered", waiting: "waits", sending: "sending", failed: "failed", unknown: "not known" };
  const deliveries = (td, list) => {
    const box = td.firstElementChild || td.appendChild(D.make("span", "vs-sent"));
    const els = D.pool(box, Math.max(1, list.length), () => D.make("span", "vs-tag", D.make("b", ""), D.make("span", "")));
    if (!list.length) {
      els[0].className = "vs-tag is-none";
      D.text(els[0].firstElementChild, "");
      D.until(els[0].lastElementChild, null);
      D.text(els[0].lastElementChild, "–");
      D.attr(els[0], "title", "No webhook was to be told");
    }
    list.forEach((one, i) => {
      const [name, more] = els[i].children, cls = `vs-tag ${SENT[one.state] || ""}`, again = one.state === "waiting" && one.attempts > 0;
      if (els[i].className !== cls) els[i].className = cls;
      D.text(name, one.webhook);
      const tries = one.attempts > 1 ? ` after ${one.attempts}` : "";
      D.until(more, again ? one.next : null, { before: "next try in ", over: "tries now" });
      if (!again) D.text(more, one.state === "delivered" && !tries ? "" : `${DELIVERY[one.state] || one.state}${tries}`);
      D.attr(els[i], "title", [`${one.webhook}: ${one.state}`, `${many(one.attempts, "attempt")}`, one.delivered ? `at ${F.time(one.delivered)} UTC` : "", one.detail].filter(Boolean).join("; "));
    });
  };
  const firings = (s) => {
    const host = D.host("alert:firings"), now = V.store.answer.now, fixed = A.fixed();
    const all = document.querySelector(".is-ack-all"), open = s.firings ? s.firings.filter((one) => !one.acknowledged).length : 0;
    if (all) {
      all.disabled = Boolean(fixed) || !((A.head() || {}).unacknowledged || open);
      D.attr(all, "title", fixed || null);
    }
    if (!host || !s.firings) return;
    D.table(host, s.firings.map((one) => {
      const day = V.otherDay(one.started);
      return [
        {
          cls: one.acknowledged ? "vs-sec" : "name",
          draw(td) {
            if (!td.firstElementChild) td.append(D.make("i", "vs-dot"), D.make("span", ""));
            const dot = one.ended ? (one.acknowledged ? "vs-dot is-off" : "vs-dot is-stale") : "vs-dot is-error";
            if (td.firstElementChild.className !== dot) td.firstElementChild.className = dot;
            D.text(td.lastElementChild, `${day ? `${day.slice(5)} ` : ""}${F.time(one.started)}`);
            D.attr(td, "title", `${F.day(one.started)} ${F.time(one.started)} UTC, ${one.ended ? `over at ${F.time(one.ended)}` : "still true"}`);
          },
        },
        { text: A.reads(one.text), cls: one.acknowledged ? "wide" : "wide name" },
        one.source ? label(one.source) : "–",
        { text: valued(one.value), cls: "n" },
        { text: one.ended ? F.age(one.ended - one.started) : `${F.span(Math.max(0, now - one.started) / 1000)}+`, cls: "n", tone: one.ended ? "" : "bad" },
        { cls: "sent", draw: (td) => deliveries(td, one.deliveries) },
        {
          cls: "n acts",
          draw(td) {
            const [button, when] = act(td.firstElementChild || td.appendChild(D.make("span", "vs-alert-acts")), 2, () => [D.button("Ack", "alert-acknowledge", "vs-btn is-sm"), D.make("span", "vs-mut", "")]);
            button.dataset.id = String(one.id);
            button.hidden = Boolean(one.acknowledged);
            button.disabled = Boolean(fixed);
            D.attr(button, "aria-label", `Ack: ${A.reads(one.text)} at ${F.time(one.started)}`);
            D.attr(button, "title", fixed || "Acknowledge");
            when.hidden = !one.acknowledged;
            D.text(when, one.acknowledged ? F.time(one.acknowledged) : "");
          },
        },
      ];
    }));
  };

  // ---------- presses ----------
  Object.assign(A.acts, {
    "alert-switch": async (el) => {
      const on = el.getAttribute("aria-checked") !== "true";
      el.disabled = true;
      el.setAttribute("aria-checked", String(on));
      const answer = await A.order("alert_change", { id: el.dataset.id, enabled: on }, on ? "Watched again" : "Not watched");
      el.disabled = false;
      if (!answer.ok) el.setAttribute("aria-checked", String(!on));
    },
    "alert-remove": async (el) => {
      if (!X.twice(el, "Sure?")) return;
      X.unsure(el);
      el.disabled = true;
      await A.order("alert_remove", { id: el.dataset.id }, "Rule removed");
      el.disabled = false;
    },
    "alert-acknowledge": async (el) => {
      el.disabled = true;
      await A.order("alert_acknowledge", { id: Number(el.dataset.id) }, "Acknowledged");
      el.disabled = false;
    },
    "alert-example": async (el) => {
      el.disabled = true;
      await A.order("alert_add", { ...JSON.parse(el.dataset.rule), webhooks: [] }, "Rule made");
      el.disabled = false;
    },
  });

  A.update = () => {
    const s = A.stream();
    if (!D.host("alert:rules") || !s) return;
    rules(s);
    firings(s);
    for (const part of A.parts) part(s);
  };
})();
