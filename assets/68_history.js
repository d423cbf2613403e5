/* The History page: figures, recorder, exports, holes, what is deleted next. The calendar is in 68_history_calendar.js,
   forms in 68_history_forms.js, the bar of a replay in 68_history_past.js. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const SILENT_MS = 10_000; // while something is recorded, commits come many times a second
  const FULL_SHARE = 0.9; // of the disk budget, from here on it is told in yellow
  const COMMAND = "uv run app.py --record builtin";
  const H = (V.history = { acts: {}, counted: {}, parts: [] });

  H.stream = () => V.store.streams.history || null;
  H.head = () => (H.stream() || {}).head || null;
  H.label = (venue) => ((H.stream() || {}).names || {})[venue] ? H.stream().names[venue][0] : venue.replace(/_/g, " ");
  H.colour = (venue) => (((H.stream() || {}).names || {})[venue] || ["", 7])[1];
  H.simulated = (venue) => (((H.stream() || {}).names || {})[venue] || ["", 7, ""])[2] === "sim";
  H.swatch = (el, venue) => {
    const cls = H.simulated(venue) ? "swatch is-sim" : "swatch";
    if (el.className !== cls) el.className = cls;
    const colour = `var(--vs-venue-${H.colour(venue)})`;
    if (el.style.getPropertyValue("--c") !== colour) el.style.setProperty("--c", colour);
  };
  // A store that nothing was ever kept in is off until something is to be kept: its folder is made then.
  H.unopened = (s = H.stream()) => Boolean(s && s.head && s.head.state === "off" && s.recorder && s.recorder.rows.length);
  // Why nothing can be changed here; "" when it can.
  H.fixed = () => (H.unopened() ? "" : { "read only": "Another Venuescope writes to this store; here it can only be read.", off: "The store is off in this start.", opening: "The store is being opened.", failed: "The store failed." }[(H.head() || {}).state] || "");

  // ---------- times and lengths ----------
  const pad = (x) => String(x).padStart(2, "0");
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  H.day = (ms) => `${new Date(ms).getUTCDate()} ${MONTHS[new Date(ms).getUTCMonth()]}`;
  H.year = (ms) => `${H.day(ms)} ${new Date(ms).getUTCFullYear()}`;
  H.clock = (ms) => `${pad(new Date(ms).getUTCHours())}:${pad(new Date(ms).getUTCMinutes())}`;
  H.moment = (ms) => (F.none(ms) ? F.NONE : `${F.day(ms)} ${F.time(ms)}${ms % 1000 ? `.${String(Math.floor(ms % 1000)).padStart(3, "0")}` : ""}`);
  H.length = (ms) => {
    const s = ms / 1000;
    if (s < 60) return `${F.group(s, s < 10 && s % 1 ? 1 : 0)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} m ${pad(Math.floor(s % 60))} s`;
    if (s < 86_400) return `${Math.floor(s / 3600)} h ${pad(Math.floor(s / 60) % 60)} m`;
    return `${Math.floor(s / 86_400)} d ${pad(Math.floor(s / 3600) % 24)} h`;
  };
  H.percent = (thousandths) => (thousandths >= 1000 ? "100%" : thousandths <= 0 ? "0%" : `${F.group(Math.min(99.9, Math.max(0.1, thousandths / 10)), 1)}%`);
  const many = (n, word) => `${F.group(n)} ${n === 1 ? word : `${word}s`}`;
  H.many = many;

  // A command, and its refusal as a toast; true when it was taken.
  H.order = async (name, args, done = "") => {
    const answer = await V.exchange.ask(name, args);
    if (!answer.ok) D.toast(answer.lost ? "No answer" : "Nothing was done", V.exchange.capital(answer.why));
    else if (done) V.say(done);
    return answer;
  };

  // ---------- what a panel says ----------
  const TELLS = "coverage"; // the one panel that says all of it
  const OFF = {
    off: ["plug", "The store is off", "Nothing is kept in this start. Everything else works as always.", "Off"],
    opening: ["refresh", "The store is being opened", "Its journal is checked first; that takes longer after a crash.", "Opening"],
  };
  H.judge = (panel, s) => {
    const name = panel.dataset.panel, gone = V.link.gone();
    if (!s || !s.head) return [gone ? "disconnected" : "loading", null, null];
    const state = s.head.state;
    if (OFF[state] && !H.unopened(s)) {
      const [sign, title, more, word] = OFF[state];
      return ["off", null, name === TELLS ? [sign, title, [V.exchange.capital(s.head.detail), more].filter(Boolean).join(". "), null] : [sign, word, "", null]];
    }
    if (gone) return ["disconnected", null, null];
    const nothing = empty(name, s);
    if (nothing) return ["empty", null, nothing];
    if (V.state.paused) return ["paused", null, null];
    if (name === "recorder" && late(s)) return ["stale", ["stale", `Nothing was written for ${F.age(s.age_ms)}`, s.head.detail || "Something is recorded, but no commit ended. See Health.", null], null];
    return ["live", null, null];
  };
  const late = (s) => s.head.state === "ready" && s.head.recording > 0 && !F.none(s.age_ms) && s.age_ms > SILENT_MS;
  const empty = (name, s) => {
    const fixed = H.fixed();
    if (name === "coverage" && !s.calendar.order.length)
      return ["history", "Nothing is recorded yet", "Recording keeps every trade, book change and measurement on this disk, exactly as it came, so that it can be looked at again, replayed and exported.", fixed ? null : ["Record the built-in exchange", "hist-first", {}], fixed ? "" : COMMAND];
    if (name === "coverage" && V.state.hpart === "holes" && !s.holes.length) return ["empty", "No holes", "What was missed while recording is listed here, with the reason.", ["Show the calendar", "set", { key: "hpart", value: "calendar" }]];
    if (name === "stretch" && !s.calendar.order.length) return ["empty", "Nothing to choose from", "", null];
    if (name === "recorder" && !s.recorder.rows.length) return ["plug", "Nothing is open", "Venues that are connected can be recorded.", ["Connect a venue", "venues", {}]];
    if (name === "exports" && !s.jobs.length) return ["empty", "No exports", "Choose a stretch, then press Export.", null];
    if (name === "retention" && !s.retention) return ["empty", "Nothing is kept yet", "How long things are kept is set here once something is recorded.", null];
    return null;
  };
  Object.assign(H.counted, {
    coverage: (s) => `${many(s.calendar.order.length, "row")}, ${many(s.holes_open, "hole")} not filled${s.head.spans_left_out ? `; ${many(s.head.spans_left_out, "older span")} left out` : ""}`,
    stretch: () => "",
    recorder: (s) => `${F.group(s.recorder.rows.filter((x) => x.state !== "off").length)} of ${many(s.recorder.rows.length, "venue")} recorded`,
    exports: (s) => many(s.jobs.length, "export"),
    retention: (s) => (s.retention && s.retention.deleted ? `${F.bytes(s.retention.deleted)} deleted since the start` : "nothing deleted yet"),
  });

  // ---------- figures ----------
  const WORDS = { off: "Off", opening: "Opening", full: "Disk full", "read only": "Read only", failed: "Failed" };
  const put2 = (field, text, side = "") => {
    const [figure, unit] = text === F.NONE ? [F.NONE, ""] : text.split(" ");
    D.put(field, figure);
    D.put(`${field}.unit`, unit || "");
    D.put(`${field}.side`, side);
  };
  const figures = (s) => {
    const h = s.head, j = h.journal, a = h.archive, silent = late(s), dot = D.host("history:dot");
    const word = (!H.unopened(s) && WORDS[h.state]) || (silent ? "Not writing" : h.recording ? "Recording" : "Idle");
    const state = V.link.gone() ? "disconnected" : { full: "error", failed: "error", off: "off", opening: "resyncing", "read only": "ended" }[h.state] || (silent ? "stale" : h.recording ? "live" : "off");
    if (dot) dot.className = V.dot(state);
    D.put("history.state", word, ["full", "failed"].includes(h.state) ? "bad" : silent ? "warn" : "");
    const what = h.state === "ready" && h.recording ? `${many(h.recording, "venue")} · ` : "";
    D.put("history.where", h.folder ? `${what}${h.folder}${j && j.sqlite ? ` · SQLite ${j.sqlite}` : ""}` : "");
    const rows = (j ? j.rows : 0) + (a ? a.rows : 0), size = (j ? j.bytes : 0) + (a ? a.bytes : 0);
    const fresh = H.unopened(s); // nothing was ever kept: that is known, and is zero
    D.put("history.rows", j || fresh ? F.si(rows) : "–");
    D.put("history.rows.unit", j || fresh ? "rows" : "");
    D.put("history.rows.side", j && a && window.innerWidth >= 1380 ? `${F.si(j.rows)} journal` : "");
    put2("history.bytes", j || fresh ? F.bytes(size) : "–", a ? many(a.files, "file") : "");
    D.put("history.rate", j ? F.si(Math.round(j.rows_per_s)) : fresh ? "0" : "–");
    D.put("history.rate.unit", j || fresh ? "rows/s" : "");
    D.put("history.rate.side", j && j.newest ? `${F.age(s.age_ms)} ago` : "");
    D.put("history.commit", j && j.commits ? F.three(j.p99_ms) : "–", j && j.p99_ms > 100 ? "warn" : "");
    D.put("history.commit.unit", j && j.commits ? "ms" : fresh ? "none yet" : "");
    D.put("history.commit.side", j && j.commits ? `p50 ${F.three(j.p50_ms)}` : "");
    const share = j && j.pending_limit ? j.pending_bytes / j.pending_limit : 0;
    put2("history.lag", j ? F.bytes(j.pending_bytes) : fresh ? F.bytes(0) : "–", j ? `${F.group(share * 100)}% of ${F.bytes(j.pending_limit).replace(/\.\d+/, "")}` : "");
    D.put("history.lag", j ? F.bytes(j.pending_bytes).split(" ")[0] : fresh ? "0" : "–", share > 0.5 ? "bad" : share > 0.2 ? "warn" : "");
    const used = h.budget ? h.used / h.budget : null;
    D.put("history.budget", used === null ? (F.none(h.used) && !fresh ? "–" : fresh ? "0" : "none") : F.three(used * 100), used > FULL_SHARE ? "warn" : "");
    D.put("history.budget.unit", used === null ? (fresh ? "B" : "") : `% of ${F.bytes(h.budget).replace(/\.0+(?= )/, "")}`);
    D.put("history.budget.side", used === null ? "" : h.full ? `${H.about(h.full - s.at).replace(/ days$/, " d")} left` : "");
    put2("history.free", F.bytes(h.free), h.free !== null && h.free < 1e9 ? "low" : "");
    D.put("history.free", F.bytes(h.free).split(" ")[0], h.free !== null && h.free < 1e9 ? "bad" : "");
    const ago = a && a.newest ? s.at - a.newest : null;
    D.put("history.archive", a ? (F.none(ago) ? "empty" : F.age(ago)) : fresh ? "empty" : "–", a && (a.state === "failing" || a.damaged.length) ? "warn" : "");
    D.put("history.archive.unit", a && !F.none(ago) ? "ago" : "");
    D.put("history.archive.side", !a ? "" : a.state === "failing" ? "failing" : a.damaged.length ? `${F.group(a.damaged.length)} damaged` : a.remote ? (a.waiting ? `${F.group(a.waiting)} to upload` : a.files ? "uploaded" : "") : a.state === "idle" ? "" : a.state);
    const cell = document.querySelector('[data-f="history.archive"]');
    if (cell && a) D.attr(cell.parentElement, "data-more", [a.uri, a.detail, a.damaged.length ? `${many(a.damaged.length, "damaged file")}, skipped and kept: ${a.damaged.map(([path, why]) => `${path}: ${why}`).join("; ")}` : ""].filter(Boolean).join("\n"));
  };
  // A length of time in words that claim no more than is known.
  H.about = (ms) => {
    const days = ms / 86_400_000;
    return days >= 1.5 ? `${F.group(Math.round(days))} days` : days * 24 >= 1.5 ? `${F.group(Math.round(days * 24))} h` : "1 h";
  };
  const alarm = (s) => {
    const host = D.host("history:alarm"), h = s.head, j = h.journal;
    if (!host) return;
    const waits = j ? `${F.bytes(j.pending_bytes)} of ${F.bytes(j.pending_limit)} wait` : "";
    const what = {
      full: ["error", "The disk is full: nothing is written", `${waits}; what comes in beyond that is given up, book changes first. Writing goes on by itself once there is room.`, null],
      failed: ["error", "Recording failed", `${V.exchange.capital(h.detail)}. Live pages are not affected; what is on the disk is kept.`, null],
      "read only": ["ended", "Read only", `${V.exchange.capital(h.detail || "another Venuescope writes here")}. Everything can be looked at, replayed and exported.`, null],
    }[h.state];
    V.strip(host, what || null);
    const note = host.firstElementChild;
    if (note && what && what[0] === "error") note.setAttribute("role", "alert");
  };

  // ---------- recorder ----------
  const draft = { venue: "", all: true, symbols: new Set(), what: new Set() };
  const choose = (row) => {
    Object.assign(draft, { venue: row.venue, all: !row.symbols.length, symbols: new Set(row.symbols.length ? row.symbols : row.offered), what: new Set(row.what) });
  };
  const rowOf = (venue) => ((H.stream() || {}).recorder || { rows: [] }).rows.find((one) => one.venue === venue);
  const record = async (venue, symbols, what) => {
    const answer = await H.order("record_start", { venue, symbols, what }, `Recording ${H.label(venue)}`);
    if (answer.ok && draft.venue === venue) draft.venue = "";
    H.again();
  };
  // Whether data come: [kind of the tag, its word, why]. A venue that is away is not recorded, though it is asked for.
  H.recording = (row, sources) => {
    if (row.state !== "recording") return [{ waiting: "is-warn", off: "" }[row.state], row.state, row.detail];
    const source = sources.find((one) => one.venue === row.venue && one.run !== "replay");
    if (!source || !["stale", "reconnecting", "error"].includes(source.state)) return ["is-ok", "recording", ""];
    return ["is-warn", "no data", `${F.none(source.age_ms) ? "no data" : `no data for ${F.age(source.age_ms)}`}: ${source.state}${source.detail ? `: ${source.detail}` : ""}`];
  };
  const item = () => {
    const on = D.make("button", "vs-switch"), choice = D.button("Choose", "hist-choose", "vs-btn is-sm is-bare");
    on.type = "button";
    on.dataset.act = "hist-record";
    on.setAttribute("role", "switch");
    const line = D.make("div", "l", on,
      D.make("span", "who", D.make("span", "vs-named", D.make("i", "swatch"), D.make("b", ""), D.make("span", "vs-tag")), D.make("small", "")),
      D.make("span", "fig", D.make("b", ""), D.make("small", "", "rows/s")),
      D.make("span", "fig", D.make("b", ""), D.make("small", "")),
      D.make("span", "fig vs-hide-s", D.make("b", ""), D.make("small", "")), choice);
    return D.make("div", "rec", line);
  };
  const toggles = (list, chosen, change, label) => {
    const buttons = D.make("div", "of"), group = D.make("div", "picks", D.make("span", "vs-lab", label), buttons);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", label);
    for (const [value, text] of list) {
      const el = D.make("button", "vs-pick", text);
      el.type = "button";
      el.setAttribute("aria-pressed", String(chosen(value)));
      el.addEventListener("click", () => {
        change(value);
        for (const one of group.querySelectorAll("button")) one.setAttribute("aria-pressed", String(chosen(one.dataset.value)));
      });
      el.dataset.value = value;
      buttons.append(el);
    }
    return group;
  };
  const picker = (row, whats) => {
    const symbols = toggles([["", "All it follows"], ...row.offered.map((x) => [x, x])], (x) => (x ? !draft.all && draft.symbols.has(x) : draft.all), (x) => {
      if (!x) draft.all = true;
      else {
        if (draft.all) draft.symbols = new Set();
        draft.all = false;
        if (!draft.symbols.delete(x)) draft.symbols.add(x);
        if (!draft.symbols.size) draft.all = true;
      }
    }, "Symbols");
    const what = toggles(whats.map((x) => [x, x]), (x) => draft.what.has(x), (x) => {
      if (!draft.what.delete(x)) draft.what.add(x);
    }, "What");
    const send = D.button(row.state === "off" ? "Record" : "Apply", "hist-apply", "vs-btn is-sm is-primary", { venue: row.venue });
    const close = D.button("Cancel", "hist-choose", "vs-btn is-sm is-bare", { venue: "" });
    return D.make("div", "pick", symbols, what, D.make("div", "send", D.make("small", "vs-mut", "Raw keeps every frame to the byte: several times the size."), close, send));
  };
  const recorder = (s) => {
    const host = D.host("recorder"), fixed = H.fixed();
    if (!host || !s.recorder) return;
    const els = D.pool(host, s.recorder.rows.length, item);
    s.recorder.rows.forEach((row, i) => {
      const el = els[i], [on, who, rate, size, since, choice] = el.firstElementChild.children, [mark, name, tag] = who.firstElementChild.children;
      const label = H.label(row.venue), running = row.state !== "off";
      Object.assign(on.dataset, { venue: row.venue });
      D.attr(on, "aria-checked", String(running));
      D.attr(on, "aria-label", `Record ${label}`);
      on.disabled = Boolean(fixed);
      D.attr(on, "title", fixed || (running ? `Stop recording ${label}, for every browser` : `Record ${label}, for every browser`));
      H.swatch(mark, row.venue);
      D.text(name, label);
      const [kind, word, away] = H.recording(row, V.store.answer.sources);
      V.exchange.tag(tag, kind, word);
      D.attr(tag, "title", away || null);
      D.text(who.lastElementChild, row.state === "recording" && away ? away : running || row.state === "waiting" ? `${row.state === "waiting" && row.detail ? `${row.detail} · ` : ""}${row.symbols.length ? row.symbols.join(", ") : "all it follows"} · ${row.what.slice(0, 2).join(", ")}${row.what.length > 2 ? ` + ${row.what.length - 2}` : ""}` : `${many(row.offered.length, "symbol")} can be recorded`);
      D.attr(who.lastElementChild, "title", running ? `${away ? `${away}\n` : ""}${row.symbols.join(", ") || "All symbols it follows"}: ${row.what.join(", ")}` : null);
      const dim = running ? "" : "mut", writing = row.state === "recording";
      const set = (cell, big, small, tone = dim) => {
        D.text(cell.children[0], big);
        D.text(cell.children[1], small);
        D.attr(cell, "data-tone", tone || null);
      };
      set(rate, writing && !F.none(row.rows_per_s) ? F.si(Math.round(row.rows_per_s)) : running ? "0" : "", running ? "rows/s" : "", writing ? "" : "mut");
      set(size, running ? F.bytes(row.bytes) : "", running ? `${F.si(row.rows)} rows` : "");
      set(since, running && row.since ? H.length(s.at - row.since) : running ? "–" : "", running && row.since ? `since ${F.time(row.since).slice(0, 5)}` : "");
      D.attr(since, "title", row.since ? `Since ${H.moment(Math.floor(row.since / 1000) * 1000)} UTC` : null);
      choice.dataset.venue = row.venue;
      choice.disabled = Boolean(fixed);
      D.attr(choice, "aria-expanded", String(draft.venue === row.venue));
      D.attr(choice, "aria-label", `Choose what is recorded of ${label}`);
      const open = draft.venue === row.venue && !fixed, key = open ? `${row.venue}/${row.offered.join()}/${row.state === "off"}` : "";
      if ((el.dataset.picks || "") !== key) {
        el.dataset.picks = key;
        while (el.children.length > 1) el.lastElementChild.remove();
        if (open) {
          el.append(picker(row, s.recorder.what));
          el.scrollIntoView({ block: "nearest" });
        }
      }
    });
    const shed = D.host("shed"), lost = s.head.journal ? s.head.journal.shed : [];
    const text = lost.length ? `Given up since the start, because the disk could not take it: ${lost.map(([kind, n]) => `${F.group(n)} ${kind}`).join(", ")}. Each stretch is listed among the holes.` : "";
    D.text(shed, text);
  };
  Object.assign(H.acts, {
    "hist-record": async (el) => {
      const row = rowOf(el.dataset.venue);
      if (!row || el.disabled) return;
      if (row.state === "off") {
        await record(row.venue, [], row.what);
        return;
      }
      await H.order("record_stop", { venue: row.venue }, `Stopped recording ${H.label(row.venue)}`);
      H.again();
    },
    "hist-choose": (el) => {
      const row = rowOf(el.dataset.venue);
      if (!row || draft.venue === row.venue) draft.venue = "";
      else choose(row);
      H.again();
    },
    "hist-apply": (el) => {
      if (!draft.what.size) {
        D.toast("Choose something to record", "Trades and book are what a replay is made of.");
        return;
      }
      record(el.dataset.venue, draft.all ? [] : [...draft.symbols], [...draft.what]);
    },
    "hist-first": () => {
      const s = H.stream();
      record("builtin", [], (rowOf("builtin") || { what: ((s && s.recorder) || { what: [] }).what.filter((x) => x !== "raw") }).what);
    },
  });

  // ---------- exports ----------
  const TAG = { waiting: "", running: "is-info", done: "is-ok", failed: "is-bad", canceled: "" };
  const job = () => {
    const get = D.make("a", "vs-btn is-sm", "Download");
    get.setAttribute("download", "");
    const acts = D.make("span", "acts", get, D.button("Cancel", "hist-job", "vs-btn is-sm is-bare", { what: "export_cancel" }), D.button(D.icon("x"), "hist-job", "vs-btn is-sm is-bare is-icon", { what: "export_forget" }));
    const meter = D.make("div", "vs-meter", D.make("i", ""));
    meter.setAttribute("role", "progressbar");
    return D.make("div", "job", D.make("div", "l", D.make("b", ""), D.make("span", "vs-tag"), acts), meter, D.make("small", ""));
  };
  // What is left at the pace so far; "" while that says nothing yet.
  const left = (one, now) => {
    const spent = now - one.started;
    return one.total && one.rows > 0 && spent > 1500 ? `${F.left(((one.total - one.rows) * spent) / one.rows)} left` : "";
  };
  // A stretch in as few words as say it.
  H.short = (from, to) => (F.day(from) === F.day(to - 1) ? `${H.day(from)} ${H.clock(from)} to ${H.clock(to)}` : `${H.day(from)} to ${H.day(to - 1)}`);
  const stretchOf = (one) => `${H.moment(Math.floor(one.from))} to ${F.day(one.to) === F.day(one.from) ? F.time(one.to) : H.moment(Math.floor(one.to))}`;
  const jobs = (s) => {
    const host = D.host("jobs"), fixed = H.fixed();
    if (!host || !s.jobs) return;
    const els = D.pool(host, s.jobs.length, job);
    s.jobs.forEach((one, i) => {
      const [line, meter, more] = els[i].children, [name, tag, acts] = line.children, [get, cancel, forget] = acts.children;
      const runs = one.state === "running" || one.state === "waiting";
      D.text(name, `${one.symbol || "All symbols"} · ${one.kind}, ${{ csv: "CSV", parquet: "Parquet", feather: "Feather" }[one.form] || one.form}`);
      D.attr(name, "title", `${one.name}\n${H.label(one.venue)} ${one.symbol || "all symbols"}, ${one.kind}, ${stretchOf(one)} UTC`);
      V.exchange.tag(tag, TAG[one.state], one.state === "running" && one.total ? `${F.group(Math.floor((one.rows / one.total) * 100))}%` : one.state);
      D.attr(get, "href", one.state === "done" ? `/history/exports/${encodeURIComponent(one.id)}` : null);
      get.hidden = one.state !== "done";
      cancel.hidden = !runs;
      forget.hidden = runs;
      cancel.dataset.job = forget.dataset.job = one.id;
      cancel.disabled = forget.disabled = Boolean(fixed);
      D.attr(get, "aria-label", `Download ${one.name}`);
      D.attr(cancel, "aria-label", `Cancel the export ${one.name}`);
      D.attr(forget, "aria-label", `Forget the export ${one.name} and delete its file`);
      D.attr(forget, "title", "Forget it, and delete its file");
      meter.hidden = !runs;
      const share = one.total ? Math.min(1, one.rows / one.total) : 0, width = `${(share * 100).toFixed(1)}%`;
      if (meter.firstElementChild.style.width !== width) meter.firstElementChild.style.width = width;
      D.attr(meter, "aria-label", `Progress of ${one.name}`);
      D.attr(meter, "aria-valuenow", String(Math.floor(share * 100)));
      const of = `${H.label(one.venue)} · ${H.short(one.from, one.to)}`;
      D.text(more, {
        waiting: `${of} · waits for the export before it`,
        running: [one.total ? `${F.si(one.rows)} of ${F.si(one.total)} rows` : `${F.si(one.rows)} rows`, F.bytes(one.size_bytes), left(one, s.at)].filter(Boolean).join(" · "),
        done: [of, `${F.group(one.rows)} rows`, F.bytes(one.size_bytes), one.ended ? `at ${F.time(one.ended)} UTC` : ""].filter(Boolean).join(" · "),
        failed: V.exchange.capital(one.detail) || "It failed; see the log",
        canceled: `${of} · canceled after ${F.si(one.rows)} rows`,
      }[one.state]);
      D.attr(more, "title", more.textContent);
      D.attr(more, "data-tone", one.state === "failed" ? "bad" : null);
    });
  };
  H.acts["hist-job"] = async (el) => {
    el.disabled = true;
    await H.order(el.dataset.what, { job: el.dataset.job }, el.dataset.what === "export_cancel" ? "Export canceled" : "Export forgotten");
    el.disabled = false;
  };

  // ---------- holes ----------
  // Only trades and candles are to be had again; a hole without a number is not over yet.
  H.fetchable = (hole) => hole.id > 0 && hole.state !== "filled" && hole.symbol !== "" && ["trades", "candles", "all"].includes(hole.what) && !H.simulated(hole.venue);
  H.missed = (hole) => hole.state === "open" || hole.state === "partly filled";
  H.fetchButton = (cls = "vs-btn is-sm") => D.button("Fetch", "hist-fetch", cls);
  H.fetchOf = (button, hole) => {
    Object.assign(button.dataset, { venue: hole.venue, gap: String(hole.id) });
    D.attr(button, "aria-label", `Fetch what ${H.label(hole.venue)} still has of ${hole.symbol || "it"} from ${H.moment(hole.from)}`);
    D.attr(button, "title", "Fetch what the venue still has");
    button.disabled = Boolean(H.fixed()) || asked.has(button.dataset.gap);
  };
  const asked = new Set();
  H.acts["hist-fetch"] = async (el) => {
    const { venue, gap } = el.dataset;
    if (asked.has(gap)) return;
    asked.add(gap);
    el.disabled = true;
    const answer = await H.order("gap_backfill", { gap: Number(gap) });
    asked.delete(gap);
    if (answer.ok) D.toast(`${H.label(venue)} was asked for what it still has`, "The calendar shows it, marked as fetched later, once it is there.", "info");
    H.again();
  };
  const HOLE = { open: "is-warn", filled: "is-ok", "partly filled": "is-info", "not recorded": "" };
  const holes = (s) => {
    const host = D.host("holes");
    if (!host || !s.holes || V.state.hpart !== "holes") return;
    D.table(host, s.holes.map((hole) => [
      { text: H.moment(Math.floor(hole.from / 1000) * 1000), cls: "" }, { text: H.length(hole.to - hole.from), cls: "n" },
      {
        cls: "name",
        draw(td) {
          if (!td.firstElementChild) td.append(D.make("span", "vs-named", D.make("i", "swatch"), D.make("span", "")));
          H.swatch(td.firstElementChild.firstElementChild, hole.venue);
          D.text(td.firstElementChild.lastElementChild, H.label(hole.venue));
        },
      },
      hole.symbol || "all symbols", hole.what === "all" ? "everything" : hole.what, {
        cls: "wide reason",
        draw(td) {
          if (!td.firstElementChild) td.append(D.make("span", ""));
          D.text(td.firstElementChild, hole.reason);
          D.attr(td.firstElementChild, "title", hole.reason);
        },
      },
      {
        draw(td) {
          if (!td.firstElementChild) td.append(D.make("span", "vs-tag"));
          V.exchange.tag(td.firstElementChild, HOLE[hole.state], !hole.id ? "goes on" : hole.state === "open" ? "not filled" : hole.state);
        },
      },
      { text: hole.filled ? H.many(hole.filled, { trades: "trade", candles: "candle" }[hole.what] || "record") : "–", cls: "n", tone: hole.filled ? "" : "mut" },
      {
        cls: "n acts",
        draw(td) {
          if (!td.firstElementChild) td.append(H.fetchButton());
          td.firstElementChild.hidden = !H.fetchable(hole);
          H.fetchOf(td.firstElementChild, hole);
        },
      },
    ]));
  };

  // ---------- what is deleted next ----------
  const due = () => D.make("div", "del", ...[0, 1, 2].map(() => D.make("span", "", D.make("b", ""), D.make("small", ""))));
  const deletions = (s) => {
    const host = D.host("deletions");
    if (!host || !s.retention) return;
    const els = D.pool(host, s.retention.next.length, due);
    s.retention.next.forEach((one, i) => {
      const texts = [[one.date, H.label(one.venue)], [F.bytes(one.bytes), many(one.files, "file")], [one.due === null ? "next" : `in ${H.about(one.due - s.at)}`, one.why]];
      texts.forEach((pair, k) => pair.forEach((text, n) => D.text(els[i].children[k].children[n], text)));
      D.attr(els[i].children[2], "data-tone", one.due === null ? "warn" : null);
      D.attr(els[i], "title", one.due === null ? "At the next look" : `At ${H.moment(Math.floor(one.due / 1000) * 1000)} UTC`);
    });
  };

  // What is wrong with the store is said on every page.
  H.warn = () => {
    const chip = document.getElementById("shell-store"), store = ((V.store.answer || {}).engine || {}).store;
    if (!chip) return;
    chip.classList.toggle("is-on", Boolean(store));
    D.put("store.word", store ? { full: "Disk full", failed: "Recording failed" }[store.state] : "");
    D.attr(chip, "title", store ? V.exchange.capital(store.detail || "See History") : null);
  };

  // ---------- all ----------
  H.again = () => {
    const s = H.stream();
    if (s) s.shownAt = "";
    V.refresh();
  };
  H.update = (parts) => {
    const s = H.stream();
    if (!D.host("calendar")) return; // the page is not shown
    if (document.body.dataset.hpart !== V.state.hpart) document.body.dataset.hpart = V.state.hpart;
    const head = document.querySelector(".vs-hist-head");
    if (head) head.classList.toggle("is-gone", Boolean(V.link.gone()));
    if (!s || !s.head) return;
    alarm(s);
    if (s.shownAt !== `${parts.mark(s)}/${s.at}/${V.state.hpart}`) {
      s.shownAt = `${parts.mark(s)}/${s.at}/${V.state.hpart}`;
      figures(s);
      recorder(s);
      jobs(s);
      holes(s);
      deletions(s);
    }
    for (const part of H.parts) part(s, parts);
  };
})();
