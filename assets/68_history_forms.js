/* Forms of the History page: the stretch that is looked at, replayed or exported, and how long things are kept. What is
   typed lives here, so that it outlives every refresh and a visit to another page. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, H = V.history;
  const DAY = 86_400_000, HOUR = 3_600_000, MINUTE = 60_000;
  const PAGES = [["overview", "Overview"], ["book", "Book"], ["market", "Market"], ["latency", "Latency"], ["throughput", "Throughput"]];
  // What is exported, by what has to be recorded for it.
  const KINDS = [["trades", "Trades", "trades"], ["quotes", "Quotes", "book"], ["deltas", "Book changes", "book"], ["snapshots", "Snapshots", "book"], ["candles", "Candles", "candles"], ["funding", "Funding", "funding"], ["latency", "Latency", "latency"], ["counters", "Counters", "counters"], ["events", "Events", "events"], ["gaps", "Holes", ""], ["raw", "Raw frames", "raw"]];
  const FORMS = [["csv", "CSV"], ["parquet", "Parquet"], ["feather", "Feather"]];
  const SPEEDS = ["1", "10", "100", "max"];
  const typed = { venue: "", symbol: "", from: "", to: "", at: "", page: "book", kind: "trades", form: "csv", touched: false, said: "", tone: "", busy: false };
  let form = null;

  // ---------- times as they are typed ----------
  // Milliseconds of a typed UTC time, null when it is none; without a date it is of the day of `near`.
  H.read = (text, near = 0) => {
    const m = /^\s*(?:(\d{4})-(\d\d)-(\d\d)[ T]+)?(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?\s*Z?\s*$/.exec(text) || /^\s*(\d{4})-(\d\d)-(\d\d)\s*$/.exec(text);
    if (!m) return null;
    const day = m[1] ? Date.UTC(Number(m[1]), Number(m[2]) - 1, Number(m[3])) : near - (near % DAY);
    if (m[1] && F.day(day) !== `${m[1]}-${m[2]}-${m[3]}`) return null; // the 30th of February
    const [hour, minute, second] = [m[4], m[5], m[6]].map((x) => Number(x || 0));
    if (hour > 24 || minute > 59 || second > 59 || (hour === 24 && (minute || second))) return null;
    return day + hour * HOUR + minute * MINUTE + second * 1000 + Number((m[7] || "").padEnd(3, "0"));
  };
  const EXAMPLE = "2026-11-20 14:00:00";
  // {from, to} of what is typed, or {why}.
  const stretch = () => {
    const now = V.store.answer ? V.store.answer.now : Date.now(), near = (H.calendar.sel || { from: now }).from;
    const from = H.read(typed.from, near), to = H.read(typed.to, from === null ? near : from);
    if (from === null) return { why: typed.from.trim() ? `From is not a time such as ${EXAMPLE}` : "Type when it begins, or drag in the calendar" };
    if (to === null) return { why: typed.to.trim() ? `To is not a time such as ${EXAMPLE}` : "Type when it ends" };
    if (to <= from) return { why: "It ends before it begins" };
    if (from > now) return { why: "It begins in the future" };
    return { from, to };
  };
  const momentOf = (range) => {
    if (!typed.at.trim()) return { at: Math.max(range.from, range.to - 1) }; // charts have the stretch as their past; a replay that is over has ended
    const at = H.read(typed.at, range.from);
    if (at === null) return { why: `The moment is not a time such as ${EXAMPLE.slice(11)}` };
    if (at < range.from || at > range.to) return { why: "The moment is not in the stretch" };
    return { at };
  };

  // ---------- what is known of the stretch ----------
  const rowOf = () => {
    const s = H.stream();
    const n = s && s.calendar ? s.calendar.order.findIndex(([venue, symbol]) => venue === typed.venue && symbol === typed.symbol) : -1;
    return n < 0 ? null : { ...s.rows[n], newest: s.newest[n] };
  };
  // The newest recording of a row; of a venue as a whole, that of any of its symbols.
  const newest = () => {
    const s = H.stream();
    let best = null;
    s.calendar.order.forEach(([venue, symbol], n) => {
      const span = s.newest[n];
      if (venue === typed.venue && (typed.symbol === "" ? symbol !== "" : symbol === typed.symbol) && span && (!best || span[1] > best[1])) best = span;
    });
    return best || (rowOf() || {}).newest || null;
  };
  // What the server says of the stretch that is typed; null until it has.
  const told = (range) => {
    const c = (H.stream() || {}).chosen;
    return c && !range.why && c.venue === typed.venue && c.symbol === typed.symbol && c.from === Math.round(range.from) && c.to === Math.round(range.to) ? c : null;
  };
  const asks = (range) => {
    const of = range.why || !typed.venue ? null : [typed.venue, typed.symbol, Math.round(range.from), Math.round(range.to)];
    if (JSON.stringify(of) === JSON.stringify(H.asked || null)) return;
    H.asked = of;
    V.link.ask();
  };
  const whole = (ms) => H.length(ms >= 1000 ? Math.floor(ms / 1000) * 1000 : ms);
  H.summary = (c, length) => `recorded ${c.recorded ? whole(c.recorded) : "0"} of ${H.length(length)}${c.holes ? `, ${H.many(c.holes, "hole")} of ${H.length(c.lost)}${c.holes > 1 ? " in all" : ""}` : c.recorded >= length ? ", no hole" : ""}`;
  const summary = (range) => {
    const c = told(range);
    return c ? V.exchange.capital(H.summary(c, range.to - range.from)) : `${H.length(range.to - range.from)}, looked up`;
  };

  // ---------- the form of the stretch ----------
  const set = (changes, redo = true) => {
    Object.assign(typed, changes);
    if (redo) show();
  };
  const say = (text, tone = "") => set({ said: text, tone });
  const plain = (ms) => H.moment(Math.round(ms));
  H.chosen = (sel) => set({ venue: sel.venue, symbol: sel.symbol, from: plain(sel.from), to: plain(sel.to), at: "", said: "", touched: true });
  // At first: the newest hour of the symbol that is looked at anyhow. Where that is hardly begun it grows with it.
  H.first = (s) => {
    if (typed.touched || !s.calendar.order.length || !s.newest) return;
    const known = stretch();
    if (typed.venue && !known.why && known.to - known.from >= MINUTE) return;
    const market = (V.store.answer && V.store.answer.market) || { symbol: "", source: "" };
    const like = ([venue, symbol]) => (symbol === market.symbol ? 2 : symbol ? 1 : 0) + (symbol && market.source.startsWith(`${venue}:`) ? 1 : 0);
    const n = s.calendar.order.reduce((best, one, k) => (like(one) > like(s.calendar.order[best]) ? k : best), 0);
    const [venue, symbol] = s.calendar.order[n], span = s.newest[n];
    Object.assign(typed, { venue, symbol, from: plain(Math.ceil(Math.max(span[0], span[1] - HOUR) / 1000) * 1000), to: plain(Math.floor(span[1] / 1000) * 1000) });
  };
  const mark = () => {
    const range = stretch();
    if (!range.why) H.calendar.show({ venue: typed.venue, symbol: typed.symbol, from: range.from, to: range.to });
  };
  // Recordings over short interruptions, newest first; of a venue as a whole those of any of its symbols.
  const sessions = () => {
    const s = H.stream(), out = [];
    s.calendar.order.forEach(([venue, symbol], n) => {
      if (venue === typed.venue && (typed.symbol === "" ? symbol !== "" : symbol === typed.symbol)) out.push(...((s.sessions || [])[n] || []));
    });
    return out.sort((a, b) => b[1] - a[1]);
  };
  // The newest recording of a row, shown in form and calendar; at most an hour of it.
  H.jump = (venue, symbol) => {
    set({ venue, symbol, said: "", touched: true }, false);
    const span = newest();
    if (span) set({ from: plain(Math.ceil(Math.max(span[0], span[1] - HOUR) / 1000) * 1000), to: plain(Math.floor(span[1] / 1000) * 1000), at: "" }, false);
    show();
    mark();
  };
  const preset = (name) => {
    const span = newest();
    if (!span) return say("Nothing is recorded of it", "bad");
    const end = Math.floor(span[1] / 1000) * 1000, now = stretch();
    const day = (now.why ? end - 1 : now.from) - ((now.why ? end - 1 : now.from) % DAY);
    const list = sessions(), last = list[0] || span, before = list.find((x) => x[1] < last[0]);
    if (name === "previous" && !before) return say("No recording before it is known", "bad");
    const [from, to] = { minute: [end - MINUTE, end], hour: [end - HOUR, end], day: [day, Math.min(day + DAY, Math.floor(V.store.answer.now / 1000) * 1000)], all: last, previous: before }[name];
    set({ from: plain(Math.ceil(from / 1000) * 1000), to: plain(Math.floor(to / 1000) * 1000), at: "", said: "", touched: true });
    mark();
  };
  const build = (host) => {
    const X = V.exchange, el = document.createElement("form"), f = { el, host };
    el.className = "vs-form is-stretch-form";
    el.noValidate = true;
    f.of = X.choice("Recorded of", [], "");
    f.of.el.classList.add("full");
    f.from = X.field("From, UTC", typed.from, null, { inputMode: "text", placeholder: EXAMPLE, maxLength: 24 });
    f.to = X.field("To, UTC", typed.to, null, { inputMode: "text", placeholder: EXAMPLE, maxLength: 24 });
    f.presets = D.make("div", "vs-presets full", ...[["minute", "Last minute"], ["hour", "Last hour"], ["day", "Day"], ["all", "This recording"], ["previous", "Previous"]].map(([value, text]) => {
      const button = D.make("button", "is-quote", text);
      button.type = "button";
      if (value === "previous") button.title = button.ariaLabel = "Previous recording";
      button.addEventListener("click", () => preset(value));
      return button;
    }));
    f.said = D.make("p", "vs-hist-said full", "");
    f.said.setAttribute("role", "status");
    f.page = X.choice("Look at it on", PAGES, typed.page);
    f.at = X.field("At, UTC", typed.at, null, { inputMode: "text", placeholder: "its end", maxLength: 24 });
    f.open = D.make("button", "vs-btn is-primary", "Open");
    f.open.type = "button";
    f.replay = D.make("div", "vs-seg is-full", ...SPEEDS.map((speed) => {
      const button = D.make("button", "", speed === "max" ? "max" : `${speed}x`);
      button.type = "button";
      button.setAttribute("aria-label", speed === "max" ? "max: replay as fast as it goes" : `${speed}x: replay at that speed`);
      button.addEventListener("click", () => play(speed));
      return button;
    }));
    f.replay.setAttribute("role", "group");
    f.replay.setAttribute("aria-label", "Replay");
    f.kind = X.choice("Export", KINDS.map(([value, text]) => [value, text]), typed.kind);
    f.form = X.choice("As", FORMS, typed.form);
    f.export = D.make("button", "vs-btn", "Export");
    f.export.type = "button";
    f.about = D.make("small", "vs-mut full", "");
    const line = (...parts) => D.make("div", "vs-hist-line full", ...parts);
    el.append(f.of.el, f.from.el, f.to.el, f.presets, f.said, line(f.page.el, f.at.el, f.open), line(D.make("span", "vs-lab", "Replay it at"), f.replay), line(f.kind.el, f.form.el, f.export), f.about);
    for (const key of ["from", "to", "at"]) {
      f[key].input.addEventListener("input", () => set({ [key]: f[key].input.value, said: "", touched: true }));
      if (key !== "at") f[key].input.addEventListener("change", mark);
    }
    f.of.select.addEventListener("change", () => {
      const [venue, symbol] = f.of.select.value.split("|");
      H.jump(venue, symbol);
    });
    for (const key of ["page", "kind", "form"]) f[key].select.addEventListener("change", () => set({ [key]: f[key].select.value }));
    el.addEventListener("submit", (event) => {
      event.preventDefault();
      look();
    });
    f.open.addEventListener("click", () => look());
    f.export.addEventListener("click", () => save());
    host.replaceChildren(el);
    return f;
  };
  const show = () => {
    const s = H.stream(), X = V.exchange;
    if (!form || !form.el.isConnected || !s || !s.calendar) return;
    const list = s.calendar.order.map(([venue, symbol]) => [`${venue}|${symbol}`, `${H.label(venue)} · ${symbol || "all symbols"}`]);
    X.fill(form.of.select, list, `${typed.venue}|${typed.symbol}`);
    for (const key of ["from", "to", "at"]) if (document.activeElement !== form[key].input && form[key].input.value !== typed[key]) form[key].input.value = typed[key];
    const range = stretch(), moment = range.why ? {} : momentOf(range), why = range.why || moment.why || "";
    const bad = Boolean(why) && typed.touched;
    D.text(form.said, typed.said || why || summary(range));
    D.attr(form.said, "title", told(range) && told(range).of.length ? `Recorded is where ${told(range).of.join(" and ")} ${told(range).of.length > 1 ? "all are" : "is"} there` : null);
    D.attr(form.said, "data-tone", typed.said ? typed.tone || null : bad ? "bad" : "mut");
    for (const key of ["from", "to"]) D.attr(form[key].input, "aria-invalid", range.why && typed.touched ? "true" : null);
    D.attr(form.at.input, "aria-invalid", moment.why ? "true" : null);
    asks(range);
    const c = told(range), none = c && !c.recorded ? `Nothing was recorded of ${typed.symbol || "it"} in this stretch` : "";
    const kept = c ? c.rows.map(([what]) => what) : (rowOf() || { kinds: [] }).kinds, stop = Boolean(why) || typed.busy;
    const kinds = KINDS.filter(([, , what]) => !what || kept.includes(what));
    X.fill(form.kind.select, kinds.map(([value, text]) => [value, text]), kinds.some(([value]) => value === typed.kind) ? typed.kind : kinds[0][0]);
    form.open.disabled = stop || Boolean(none);
    for (const button of form.replay.children) button.disabled = stop || Boolean(none);
    const [, name, of] = KINDS.find(([value]) => value === form.kind.select.value), count = c && c.rows.find(([what]) => what === of);
    const nothing = c && !c.rows.length && !c.holes;
    form.export.disabled = stop || nothing || ["failed", "off", "opening"].includes(s.head.state);
    for (const el of [form.open, ...form.replay.children]) D.attr(el, "title", none || null);
    D.attr(form.export, "title", nothing ? none : null);
    D.text(form.about, why || !c ? "" : none ? `${none}.` : count ? (of === "book" ? `About ${F.group(count[1])} rows of book in all, ${F.bytes(count[2])} as recorded` : `${name}: about ${F.group(count[1])} rows, ${F.bytes(count[2])} as recorded`) : "");
    D.attr(form.about, "data-tone", none ? "warn" : null);
  };

  // ---------- what is done with it ----------
  const opened = async (speed, paused, at) => {
    const range = stretch();
    if (range.why) return null;
    set({ busy: true, said: "Opening", tone: "mut" });
    const answer = await V.exchange.ask("replay_open", { venue: typed.venue, symbols: typed.symbol ? [typed.symbol] : [], from_ms: Math.round(range.from), to_ms: Math.round(range.to), at_ms: Math.round(at === undefined ? range.from : at), speed: speed === "max" ? "max" : Number(speed), paused });
    set({ busy: false, said: "" });
    if (!answer.ok) {
      say(V.exchange.capital(answer.why), "bad");
      return null;
    }
    const source = `${typed.venue}:replay`, changes = { source, hidden: V.state.hidden.filter((x) => x !== source) };
    if (typed.symbol) changes.symbol = typed.symbol;
    V.set(changes);
    return range;
  };
  const look = async () => {
    const range = stretch(), moment = range.why ? range : momentOf(range);
    if (moment.why) return say(moment.why, "bad");
    if (await opened("1", true, moment.at)) document.getElementById(`rail-${typed.page}`).click();
    return undefined;
  };
  const play = async (speed) => {
    if (await opened(speed, false)) V.say("The replay plays");
  };
  const save = async () => {
    const range = stretch();
    if (range.why) return say(range.why, "bad");
    set({ busy: true });
    const answer = await V.exchange.ask("export_start", { kind: form.kind.select.value, venue: typed.venue, symbol: typed.symbol, from_ms: Math.round(range.from), to_ms: Math.round(range.to), form: typed.form });
    set({ busy: false });
    say(answer.ok ? "The export is under way; it is listed below" : V.exchange.capital(answer.why), answer.ok ? "ok" : "bad");
    H.again();
    return undefined;
  };
  H.parts.push((s) => {
    const host = D.host("stretch");
    if (!host || !s.calendar || !s.calendar.order.length) return;
    if (!form || form.host !== host || !form.el.isConnected) form = build(host);
    H.first(s);
    show();
  });

  // ---------- how long things are kept ----------
  const keep = { days: null, budget: null, said: "", tone: "", sure: "", busy: false };
  let kept = null;
  const number = (text) => (/^\d+([.,]\d+)?$/.test(text.trim()) ? Number(text.trim().replace(",", ".")) : null);
  // What a rule would delete, in the words of the plan that deletes; asked for once what is typed stands still.
  const ASK_MS = 300;
  let preview = { key: "", found: null, why: "" }, waits = 0;
  const ahead = (now) => {
    const key = `${now.days}/${Math.round(now.gb)}`;
    if (preview.key === key) return preview;
    preview = { key, found: null, why: "" };
    clearTimeout(waits);
    waits = setTimeout(async () => {
      const mine = preview, answer = await V.exchange.ask("retention_preview", { days: now.days, budget_gb: Math.round(now.gb) });
      if (answer.ok) mine.found = answer.result;
      else mine.why = V.exchange.capital(answer.why);
      if (mine === preview) rule();
    }, ASK_MS);
    return preview;
  };
  H.deletes = (found) => {
    if (!found.days.length) return "That deletes nothing now.";
    const dates = found.days.map(([date]) => date).sort(), last = found.more ? "on" : `to ${dates.at(-1)}`;
    const days = found.dates === 1 ? dates[0] : `${H.many(found.dates, "day")} (${dates[0]} ${last})`;
    return `That deletes ${days} of ${found.venues.map((x) => H.label(x) || "the engine").join(", ")}: ${H.many(found.rows, "row")}, ${F.bytes(found.bytes)}.`;
  };
  const asked = (r) => {
    const days = keep.days === null ? r.days : number(keep.days), gb = keep.budget === null ? r.budget / 1e9 : number(keep.budget);
    if (days === null || !Number.isInteger(days) || days > 36_500) return { why: "Days is a whole number, 0 to keep for ever" };
    if (gb === null || gb > 1e6 || (keep.budget !== null && !Number.isInteger(gb))) return { why: "The budget is a whole number of GB, 0 for none" };
    return { days, gb };
  };
  const make = (host) => {
    const X = V.exchange, el = document.createElement("form"), f = { el, host };
    el.className = "vs-form is-keep";
    el.noValidate = true;
    f.days = X.field("Keep", "", "days", { inputMode: "numeric", maxLength: 5 });
    f.budget = X.field("At most", "", "GB", { inputMode: "decimal", maxLength: 8 });
    f.send = D.make("button", "vs-btn", "Apply");
    f.send.type = "submit";
    f.said = D.make("p", "vs-hist-said full", "");
    f.said.setAttribute("role", "status");
    f.meter = D.make("div", "vs-meter full", D.make("i", ""));
    f.meter.setAttribute("role", "meter");
    f.meter.setAttribute("aria-label", "Budget used");
    el.append(f.days.el, f.budget.el, f.send, f.meter, f.said);
    for (const key of ["days", "budget"]) {
      f[key].input.addEventListener("input", () => {
        Object.assign(keep, { [key]: f[key].input.value, said: "", sure: "" });
        rule();
      });
    }
    el.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      Object.assign(keep, { days: null, budget: null, said: "", sure: "" });
      rule();
    });
    el.addEventListener("submit", (event) => {
      event.preventDefault();
      apply();
    });
    host.replaceChildren(el);
    return f;
  };
  const gbs = (bytes) => String(Math.round(bytes / 1e7) / 100);
  const rule = () => {
    const s = H.stream(), r = s && s.retention;
    if (!kept || !kept.el.isConnected || !r) return;
    const values = { days: keep.days === null ? String(r.days) : keep.days, budget: keep.budget === null ? gbs(r.budget) : keep.budget };
    for (const key of ["days", "budget"]) if (document.activeElement !== kept[key].input && kept[key].input.value !== values[key]) kept[key].input.value = values[key];
    D.text(kept.days.unit, number(values.days) === 0 ? "= for ever" : "days");
    D.text(kept.budget.unit, number(values.budget) === 0 ? "= no limit" : "GB");
    const now = asked(r), same = !now.why && now.days === r.days && gbs(now.gb * 1e9) === gbs(r.budget), fixed = H.fixed();
    const share = r.budget ? r.used / r.budget : 0, width = `${Math.min(100, share * 100).toFixed(1)}%`;
    kept.meter.hidden = !r.budget;
    const cls = `vs-meter full${share > 1 ? " is-bad" : share > 0.9 ? " is-warn" : ""}`;
    if (kept.meter.className !== cls) kept.meter.className = cls;
    if (kept.meter.firstElementChild.style.width !== width) kept.meter.firstElementChild.style.width = width;
    D.attr(kept.meter, "aria-valuenow", String(Math.round(share * 100)));
    const looked = now.why || same ? null : ahead(now), gone = looked && looked.found ? looked.found : { days: [] };
    const rate = r.full ? ` · full in about ${H.about(r.full - s.at)} at the present rate` : "";
    const state = r.budget ? `${F.bytes(r.used)} of ${F.bytes(r.budget)} used${rate}` : `${F.bytes(r.used)} used, no budget · ${F.bytes(r.free)} free on the disk`;
    const going = !looked ? "" : looked.found ? H.deletes(looked.found) : looked.why || "Looking up what that deletes";
    D.text(kept.said, keep.said || now.why || (same ? state : going));
    D.attr(kept.said, "title", kept.said.textContent);
    D.attr(kept.said, "data-tone", keep.said ? keep.tone || null : now.why ? "bad" : same ? "mut" : gone.days.length ? "warn" : "mut");
    D.text(kept.send, keep.sure ? "Delete" : "Apply");
    kept.send.classList.toggle("is-sure", Boolean(keep.sure));
    kept.send.classList.toggle("is-primary", !keep.sure && !same && !now.why);
    kept.send.disabled = Boolean(fixed) || Boolean(now.why) || same || keep.busy || !(looked && looked.found);
    D.attr(kept.send, "title", fixed || null);
    D.put("sub.retention", r.days || r.budget ? [r.days ? `${F.group(r.days)} days` : "", r.budget ? F.bytes(r.budget).replace(/\.0+(?= )/, "") : ""].filter(Boolean).join(", ") : "Everything is kept");
  };
  const apply = async () => {
    const s = H.stream(), r = s.retention, now = asked(r);
    if (now.why || keep.busy) return;
    const key = `${now.days}/${Math.round(now.gb)}`, gone = preview.key === key ? preview.found : null;
    if (!gone) return;
    if (gone.days.length && keep.sure !== key) {
      keep.sure = key;
      rule();
      return;
    }
    keep.busy = true;
    rule();
    const answer = await V.exchange.ask("retention_set", { days: now.days, budget_gb: Math.round(now.gb) });
    Object.assign(keep, { busy: false, sure: "", said: answer.ok ? "" : V.exchange.capital(answer.why), tone: "bad" });
    preview = { key: "", found: null, why: "" };
    if (answer.ok) Object.assign(keep, { days: null, budget: null });
    if (answer.ok) V.say("Retention changed");
    H.again();
  };
  H.parts.push((s) => {
    const host = D.host("retention");
    if (!host || !s.retention) return;
    if (!kept || kept.host !== host || !kept.el.isConnected) kept = make(host);
    rule();
  });
})();
