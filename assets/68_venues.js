/* Live markets: their chips, what is said when they are away or banned, their rows on the Health page. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const HOLD_MS = 2500; // what was asked is shown until the engine's answer comes, or for so long
  const PATIENCE_MS = 3000; // a market that is back sooner was never away
  const venues = (V.venues = {});
  const all = () => (V.store.answer && V.store.answer.venues) || [];
  const sourceOf = (one) => V.store.answer.sources.find((x) => x.id === one.source) || null;

  // ---------- what was asked, until it is so ----------
  const asked = new Map();
  const stateOf = (one) => {
    const wish = asked.get(one.id);
    if (wish && (Date.now() > wish.until || wish.on === (one.state !== "off"))) asked.delete(one.id);
    return asked.has(one.id) ? (asked.get(one.id).on ? "connecting" : "off") : one.state;
  };
  venues.state = stateOf;
  venues.toggle = (id) => {
    const one = all().find((x) => x.id === id);
    if (!one) return;
    const on = stateOf(one) === "off";
    asked.set(id, { on, until: Date.now() + HOLD_MS });
    V.command(on ? "connect_venue" : "disconnect_venue", { venue: id });
    V.say(`${one.label}: ${on ? "connecting" : "disconnecting"}`);
    V.refresh();
  };
  venues.nextTry = (source) => (all().find((x) => x.source === source.id) || {}).next_try || null;
  // The part of the Health page that is seen: as chosen, else venues once there is one.
  venues.view = () => V.state.health || (all().some((x) => x.state !== "off") ? "venues" : "engine");

  // The ban of the budget a market spends, if there is one: also where its streams still run.
  const banOf = (one) => (one.state !== "off" && V.store.answer.bans.find((x) => x.id === one.budget)) || null;

  // ---------- chips ----------
  const chip = (one) => {
    const el = D.make("button", "vs-chip", D.make("span", "swatch"), D.make("span", "name", D.make("span", "vs-vh", `${one.venue} `), one.short), D.make("i", "vs-dot"), D.make("span", "val"));
    el.type = "button";
    Object.assign(el.dataset, { act: "venue", venue: one.id });
    el.style.setProperty("--c", `var(--vs-venue-${one.colour})`);
    return el;
  };
  // [what the dot says, the class of the chip, the words of the title] of a market.
  venues.says = (one) => {
    const state = stateOf(one), source = state === "live" ? sourceOf(one) : null;
    if (state === "off") return ["off", " is-off", "off"];
    if (state === "reconnecting") return ["reconnecting", " is-stale", `reconnecting since ${F.time(one.since)} UTC${one.detail ? `: ${one.detail}` : ""}`];
    if (state === "connecting" || !source) return ["connecting", "", one.detail ? `connecting: ${one.detail}` : "connecting"];
    const books = `${one.books[0]} of ${one.books[1]} ${one.books[1] === 1 ? "book" : "books"} synced`;
    const hidden = source.shown ? "" : "; hidden in this browser";
    const bad = { stale: " is-stale", reconnecting: " is-stale", error: " is-error" }[source.state] || "";
    const word = source.state === "loading" ? "connecting" : source.state;
    return [word, bad, `${word}, ${books}${source.detail ? `; ${source.detail}` : ""}${hidden}`];
  };
  const chips = () => {
    const host = D.host("chips:venues"), list = all();
    if (!host) return;
    const key = list.map((one) => one.id).join();
    if (host.dataset.was !== key) {
      host.dataset.was = key;
      let group = "";
      host.replaceChildren();
      for (const one of list) {
        if (one.venue && one.venue !== group) host.append(D.make("span", "vs-group", one.venue));
        group = one.venue;
        host.append(chip(one));
      }
    }
    for (const one of list) {
      const el = host.querySelector(`[data-venue="${one.id}"]`), [, , dot, val] = el.children;
      const [state, bad, words] = venues.says(one), source = sourceOf(one), off = state === "off";
      const banned = !off && banOf(one), compiling = V.store.answer.engine.state === "compiling";
      const cls = `vs-chip is-market${bad || (banned ? " is-stale" : "")}${source && !source.shown && !off ? " is-hidden" : ""}`;
      if (el.className !== cls) el.className = cls;
      const dotted = V.dot(state);
      if (dot.className !== dotted) dot.className = dotted;
      if (val.hidden !== off) val.hidden = off;
      const next = state === "reconnecting" && !banned ? one.next_try : null;
      D.until(val, next, { before: "in ", over: "trying" });
      if (!next) D.text(val, off ? "" : banned ? "banned" : state === "connecting" ? (compiling ? "waiting" : "opening") : state === "reconnecting" ? "trying" : F.age(source && source.age_ms));
      D.attr(el, "aria-pressed", String(!off)); // its name is what is seen in it, its title says what a press does
      const waits = banned ? `; banned until ${F.time(banned.until)} UTC` : compiling && !off ? "; waiting for the engine" : "";
      D.attr(el, "title", `${one.label}: ${words}${waits}. Press to ${off ? "connect" : "disconnect"} it, for every browser.`);
    }
  };

  // ---------- banners ----------
  const bans = () => {
    const host = D.host("bans"), list = (V.store.answer && V.store.answer.bans) || [];
    if (!host || (!list.length && !host.firstElementChild)) return;
    const els = D.pool(host, Math.min(1, list.length), () => {
      const el = D.make("div", "vs-banner", D.icon("stop"), D.make("div", "", D.make("b", ""), D.make("span", "vs-sec"), D.make("span", "vs-more")), D.make("span", "big"), D.button("Show calls", "calls"));
      el.children[1].setAttribute("role", "alert"); // not of the countdown, which would be read out each second
      return el;
    });
    if (!list.length) return;
    // All in one line: however many there are, the page below must not move down for each.
    const first = list.reduce((x, y) => (y.until < x.until ? y : x)), [, said, left] = els[0].children;
    const several = list.map((x) => `${x.label} until ${F.time(x.until)}`).join(", ");
    D.text(said.children[0], list.length > 1 ? `This address is banned by ${several} UTC. ` : `${first.label} has banned this address until ${F.time(first.until)} UTC. `);
    const why = first.reason && list.length === 1 ? `${first.reason}. ` : "", waiting = list.reduce((n, x) => n + x.waiting, 0);
    D.text(said.children[1], `${why}${waiting ? `${F.group(waiting)} ${waiting === 1 ? "call waits" : "calls wait"}.` : "No call waits."}`);
    D.attr(els[0], "title", list.map((x) => `${x.label}: ${x.reason || "banned"}`).join("\n"));
    D.until(left, first.until, { form: "m", over: "0:00" });
  };
  // Markets that cannot be reached. One that tries stays on the list, so that the line stands still.
  const gone = new Set();
  let said = "";
  const away = () => {
    const host = D.host("away"), list = all(), now = V.store.answer ? V.store.answer.now : 0;
    if (!host) return;
    for (const one of list) {
      const state = stateOf(one);
      if (state === "live" || state === "off") gone.delete(one.id);
      else if (state === "reconnecting" && now - one.since > PATIENCE_MS) gone.add(one.id);
    }
    const lost = list.filter((one) => gone.has(one.id) && !banOf(one)); // a ban has a banner of its own
    const titled = (of) => `${of.length > 2 ? `${of.length} live markets` : of.map((one) => one.label).join(" and ")}: reconnecting`;
    const more = document.querySelector('[data-host="bans"] .vs-more'); // a ban's line has room for it
    if (more) D.text(more, lost.length ? ` ${titled(lost)}.` : "");
    if (more || !lost.length || V.link.gone()) {
      if (host.firstElementChild) host.replaceChildren();
      said = "";
      return;
    }
    if (!host.firstElementChild) {
      const open = D.button("Venues", "venues", "vs-btn is-sm is-bare");
      host.append(D.make("div", "vs-note is-stale", D.make("i", V.dot("reconnecting")), D.make("b", ""), D.make("span", "vs-next"), D.make("span", "vs-sec"), open));
    }
    const first = lost.filter((one) => one.next_try).sort((x, y) => x.next_try - y.next_try)[0] || lost[0];
    const [, title, next, why] = host.firstElementChild.children;
    D.text(title, titled(lost));
    D.until(next, first.state === "reconnecting" ? first.next_try : null, { before: "next try in ", over: "trying now" });
    if (first.state !== "reconnecting" || !first.next_try) D.text(next, "trying now");
    if (said !== title.textContent) V.say((said = title.textContent));
    const told = lost.find((one) => one.detail);
    if (told) D.text(why, told.detail);
    D.attr(host.firstElementChild, "title", lost.map((one) => `${one.label}: ${one.detail || "connecting"}`).join("\n"));
  };
  // Their line lies over the foot of the page and covers nothing there: where the page fits the window, panels that
  // end there keep their place and end higher; where it scrolls, there is as much more to scroll.
  const ROOM = 4;
  const spare = () => {
    const main = document.getElementById("main"), page = main && main.querySelector(".vs-page");
    if (!page) return;
    const line = main.querySelector(':is([data-host="bans"], [data-host="away"]) > *');
    const panels = V.panels.all().filter((one) => one.offsetParent || one.dataset.max), foot = (one) => one.offsetTop + one.offsetHeight;
    const end = Math.min(innerHeight, foot(page)), fits = foot(page) <= innerHeight + 1;
    const top = line && fits ? line.getBoundingClientRect().top - ROOM : Infinity;
    const lift = line && fits ? Math.round(Math.max(0, ...panels.map(foot).filter((y) => y <= end)) - top) : 0;
    // One that is no higher than what is in it goes up as a whole, and what is above it ends higher.
    const whole = panels.find((one) => one.matches(".is-strip:last-child") && foot(one) > top);
    const edge = whole ? whole.offsetTop - lift : top;
    for (const one of panels) D.attr(one, "data-foot", one === whole ? "moved" : foot(one) > edge ? "spared" : null);
    for (const [name, px] of [["--vs-lift", lift], ["--vs-line", line ? line.offsetHeight + ROOM : 0]])
      if ((document.body.style.getPropertyValue(name) || "0px") !== `${px}px`) {
        document.body.style.setProperty(name, `${px}px`);
        V.resized();
      }
    D.attr(main, "data-below", line && !fits ? "1" : null);
  };
  venues.banners = () => {
    bans();
    away();
    spare();
  };

  // ---------- health ----------
  const DOTS = { open: "live", connecting: "connecting", "backing off": "reconnecting", closed: "off" };
  const state = (word) => ({
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("span", "vs-named", D.make("i", "vs-dot"), D.make("span", "")));
      const [dot, said] = td.firstElementChild.children;
      dot.className = V.dot(DOTS[word] || word);
      D.text(said, word);
    },
  });
  const ms = (x, sign = false) => (F.none(x) ? "–" : `${sign && x > 0 ? "+" : ""}${F.group(x, Math.abs(x) < 100 ? 1 : 0)} ms`);
  const health = ({ n, mark, swatch }) => {
    const s = V.store.streams.health, page = D.host("streams");
    if (!s || !s.streams || !page || s.listed === mark(s)) return;
    s.listed = mark(s);
    const count = (x) => n(F.none(x) ? "–" : F.group(x), x > 0 ? "warn" : "mut");
    const ago = (t) => (F.none(t) ? "–" : F.age(s.at - t));
    const row = page.closest(".rowv1"); // as high as what is in it
    if (row && row.style.getPropertyValue("--rows") !== String(s.streams.length)) row.style.setProperty("--rows", String(s.streams.length));
    D.table(page, s.streams.map((x) => [
      swatch(x), { text: x.stream || "–", cls: "vs-sec" }, state(x.state), n(F.none(x.since) ? "–" : F.span((s.at - x.since) / 1000)),
      n(ago(x.newest), x.newest && s.at - x.newest > 6000 ? "warn" : ""), n(F.none(x.frames_per_s) ? "–" : F.group(x.frames_per_s)), n(F.group(x.subscriptions)),
      count(x.reconnects), { text: F.group(x.rotations), cls: "n vs-hide-l", tone: "mut" }, count(x.stalls), count(x.dropped),
      {
        cls: "n",
        draw(td) {
          D.until(td, x.next_try, { before: "in ", over: "now" });
          if (!x.next_try) D.text(td, "–");
        },
        tone: x.next_try ? "" : "mut",
      },
      { text: x.reason || "–", cls: x.reason ? "wide" : "wide", tone: x.reason ? "" : "mut" },
    ]));
    D.table(D.host("clocks"), s.venues.map((x) => [
      swatch(x), state(x.state), ...[ms(x.offset_ms, true), ms(x.round_trip_ms)].map((text) => ({ text, cls: "n vs-hide-l" })),
      n(`${x.books_synced} of ${x.books}`, x.books_synced < x.books ? "warn" : ""), count(x.gaps),
      count(x.snapshots_waiting), n(F.group(x.snapshots_done)), count(x.snapshots_failed),
      n(F.group(x.polled)), count(x.polls_failed), { text: x.error ? `${x.error_at ? `${F.time(x.error_at)} ` : ""}${x.error}` : "–", cls: "wide", tone: x.error ? "" : "mut" },
    ]));
  };

  venues.update = (parts) => {
    chips();
    health(parts);
    if (venues.follow) venues.follow();
    const view = venues.view();
    if (document.body.dataset.health !== view) document.body.dataset.health = view;
    for (const el of document.querySelectorAll('[data-key="health"]')) D.attr(el, "aria-pressed", String(el.dataset.value === view));
    const on = all().filter((x) => x.state !== "off");
    D.put("health.venues", `${on.length} of ${all().length} live markets switched on${on.length ? `, ${on.filter((x) => venues.says(x)[0] === "live").length} live` : ""}`);
  };
})();
