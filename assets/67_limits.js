/* Rate limits: the strip on the overview, the cards, what was held back in the window. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const NOTCH = 0.8;
  const TAG = { "within limits": "is-ok", throttling: "is-warn", banned: "is-bad" };
  const TONE = { "is-ok": "mut", "is-warn": "warn", "is-bad": "bad" };

  const percent = (w) => (w.limit ? (w.used / w.limit) * 100 : 0);
  // Own, others', reserved, notch.
  const meter = () => {
    const el = D.make("div", "vs-meter", D.make("i", ""), D.make("s", ""), D.make("u", ""), D.make("b", ""));
    el.setAttribute("role", "meter");
    el.setAttribute("aria-valuemin", "0");
    return el;
  };
  const wide = (el, from, to) => {
    const left = `${Math.min(100, Math.max(0, from)).toFixed(1)}%`, width = `${Math.max(0, Math.min(100, to) - Math.max(0, from)).toFixed(1)}%`;
    if (el.style.left !== left) el.style.left = left;
    if (el.style.width !== width) el.style.width = width;
  };
  const setMeter = (el, w, label, bad) => {
    const share = percent(w), own = w.limit ? ((w.used - w.foreign) / w.limit) * 100 : 0;
    const cls = `vs-meter ${bad || share > 100 ? "is-bad" : share >= NOTCH * 100 ? "is-warn" : ""}`.trim();
    if (el.className !== cls) el.className = cls;
    wide(el.children[0], 0, own);
    wide(el.children[1], own, share);
    wide(el.children[2], share, w.limit ? share + (w.reserved / w.limit) * 100 : 0);
    D.attr(el, "aria-valuenow", String(w.used));
    D.attr(el, "aria-valuemax", String(w.limit));
    D.attr(el, "aria-label", label);
    D.attr(el, "title", `${label}: ${F.group(w.used)} of ${F.group(w.limit)} used, ${F.group(w.used - w.foreign)} by us${w.foreign ? ` and ${F.group(w.foreign)} by others on this address (the venue counts more than we sent)` : ""}${w.reserved ? `; ${F.group(w.reserved)} reserved by calls that wait` : ""}`);
  };
  const resets = (el, w) => {
    D.attr(el, "title", w.resets === null ? null : "When all that is used now is free again");
    D.until(el, w.resets, { before: "resets ", form: "m", over: "resets 0:00" });
    if (w.resets === null) D.text(el, w.used ? "" : "unused");
  };
  // "banned 6:02": the word stands, the time runs.
  const tag = (el, venue) => {
    if (!el.firstElementChild) el.append(D.make("span", ""), D.make("span", "num"));
    const cls = `vs-tag ${TAG[venue.state] || ""}`.trim();
    if (el.className !== cls) el.className = cls;
    D.text(el.firstElementChild, venue.state);
    D.until(el.lastElementChild, venue.until, { form: "m", over: "0:00" });
    if (venue.until === null) D.text(el.lastElementChild, "");
    D.attr(el, "title", venue.reason || null);
  };
  // What the venue's header says, where that is not the number shown anyway.
  const header = (w) => {
    const said = /^header says ([\d,]+)$/.exec(w.note);
    return said ? (said[1] === F.group(w.used) ? "" : w.note) : w.note === "header agrees" ? "" : w.note;
  };
  const noted = (w) => [header(w), w.foreign >= w.limit / 200 ? `${F.group(w.foreign)} by others` : ""].filter(Boolean).join(" · ");

  const strip = (s) => {
    const line = D.host("limits-strip");
    if (!line) return;
    const list = [...s.venues].sort((x, y) => y.shown - x.shown).slice(0, 5);
    const cells = D.pool(line, list.length, () =>
      D.make("div", "", D.make("div", "r", D.make("span", "", D.make("b", ""), D.make("span", "vs-mut")), D.make("span", "note")), meter(), D.make("div", "r", D.make("span", "", D.make("b", ""), D.make("span", "vs-mut")), D.make("span", "vs-mut"))));
    list.forEach((venue, i) => {
      const w = [...venue.windows].sort((a, b) => percent(b) - percent(a))[0];
      if (!w) return;
      const [head, m, foot] = cells[i].children, bad = venue.state === "banned";
      D.text(head.children[0].children[0], venue.label);
      D.text(head.children[0].children[1], ` ${w.name.toLowerCase()}`);
      const said = head.children[1];
      if (bad) D.until(said, venue.until, { before: "banned ", form: "m", over: "banned 0:00" });
      else {
        D.until(said, null);
        D.text(said, venue.state === "throttling" && venue.waiting ? `${F.group(venue.waiting)} waiting` : noted(w) || venue.state);
      }
      said.dataset.tone = TONE[TAG[venue.state]] || "mut";
      setMeter(m, w, `${venue.label} ${w.name}`, bad);
      D.text(foot.children[0].children[0], F.si(w.used));
      D.text(foot.children[0].children[1], ` / ${F.si(w.limit)} · ${F.group(percent(w))}%`);
      resets(foot.children[1], w);
    });
  };

  const spent = new Set();
  const cards = (s) => {
    const host = D.host("limits-cards");
    if (!host) return;
    const els = D.pool(host, s.venues.length, () => D.make("article", "vs-card", D.make("h3", "", D.make("i", "swatch"), D.make("span", ""), D.make("span", "vs-tag")), D.make("div", "wins"), D.make("p", "quiet")));
    s.venues.forEach((venue, i) => {
      const [head, wins, quiet] = els[i].children, bad = venue.state === "banned";
      els[i].dataset.tone = bad ? "bad" : "";
      head.children[0].style.setProperty("--c", `var(--vs-venue-${venue.colour})`);
      D.text(head.children[1], venue.label);
      tag(head.children[2], venue);
      // Windows of orders and accounts are one line until something is spent of them: what reads data never does.
      const drawn = [], idle = [];
      for (const w of venue.windows) {
        const id = `${venue.id} ${w.name}`;
        if (w.used || w.reserved) spent.add(id);
        (["ip", "connect"].includes(w.scope) || spent.has(id) ? drawn : idle).push(w);
      }
      const rows = D.pool(wins, drawn.length, () => D.make("div", "win", D.make("div", "", D.make("span", "vs-sec"), D.make("b", "")), meter(), D.make("div", "l", D.make("span", ""), D.make("span", ""))));
      const full = Math.max(...venue.windows.map(percent));
      drawn.forEach((w, k) => {
        const [top, m, foot] = rows[k].children;
        D.text(top.children[0], w.name);
        D.text(top.children[1], `${F.group(percent(w))}%`);
        setMeter(m, w, `${venue.label} ${w.name}`, bad && percent(w) === full && full >= 100);
        D.text(foot.children[0], `${F.si(w.used)} / ${F.si(w.limit)}${noted(w) ? " · " + noted(w) : ""}`);
        resets(foot.children[1], w);
      });
      D.text(quiet, idle.length ? `unused: ${idle.map((w) => w.name.replace(",", "")).join(", ")}` : "");
      D.attr(quiet, "title", idle.length ? idle.map((w) => `${w.name}: 0 of ${F.group(w.limit)}`).join("\n") : null);
    });
  };

  const sums = (s) => {
    if (!document.querySelector('[data-f="limits.allowed"]')) return;
    const sum = (name) => s.rows[name].reduce((all, x) => all + (x || 0), 0), t = s.totals || {};
    const [allowed, throttled, refused] = ["allowed", "throttled", "refused"].map(sum);
    D.put("limits.allowed", F.group(allowed));
    D.put("limits.throttled", F.group(throttled), throttled > 0 ? "warn" : "");
    D.put("limits.refused", F.group(refused), refused > 0 ? "bad" : "");
    D.put("limits.waiting", F.group(t.waiting), t.waiting > 0 ? "warn" : "");
    const wait = (x) => (F.none(x) ? "–" : x < 1000 ? `${F.group(x)} ms` : `${F.group(x / 1000, 1)} s`);
    // Waits are known of calls that were sent: those that still wait would make the figures lie.
    const ended = t.max_wait_ms > 0 || !t.waiting;
    D.put("limits.mean", ended ? wait(t.mean_wait_ms) : "–");
    D.put("limits.max", ended ? wait(t.max_wait_ms) : "–");
    D.put("sub.limits", `Calls of the last ${F.window(V.state.window)}; waits since the start`);
  };

  V.live.limits = (parts) => {
    const s = V.store.streams.limits;
    if (!s || !s.venues) return;
    if (document.querySelector('[data-select="budget"]'))
      parts.options("budget", [["", "All venues"], ...s.venues.map((one) => [one.id, one.label])], s.venues.some((one) => one.id === V.state.budget) ? V.state.budget : "");
    if (s.shownAt === parts.mark(s)) return;
    s.shownAt = parts.mark(s);
    strip(s);
    cards(s);
    sums(s);
  };
})();
