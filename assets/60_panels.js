/* What every panel says about itself: its state, its strip, its footer. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const MARKET = new Set(["depth", "impact", "candles", "trades", "metrics", "book_map", "latency", "stages", "distribution", "latency_map"]);
  const OLD_MS = 10_000; // what is older has no green dot beside it
  const SILENT_MS = 3000; // the matching engine's figures come each second
  const OF_ALL = new Set(["throughput", "prices", "mids", "indexed"]); // streams of every source shown
  const AILING = { stale: "stale", reconnecting: "reconnecting", error: "failed" };
  const at = (ms) => `${F.time(ms)} UTC`;
  const DOT = { live: "", stale: "is-stale", reconnecting: "is-stale", connecting: "is-sync", resyncing: "is-sync", ended: "is-off", loading: "is-off", error: "is-error", paused: "is-paused", past: "is-past", off: "is-off", disconnected: "is-error", compiling: "is-sync" };
  V.dot = (state) => `vs-dot ${DOT[state] || ""}`.trim();

  const windowWord = () => ({ 60: "minute", 300: "5 minutes", 900: "15 minutes", 3600: "hour", 14400: "4 hours" })[V.state.window];

  // What an empty panel says: what was asked, and the one thing to do about it.
  const nothing = (name, stream) => {
    const a = V.store.answer, symbol = (a && a.market && a.market.symbol) || "This symbol", far = V.state.window >= 3600;
    const wider = far ? null : ["Show 1 h", "set", { key: "window", value: "3600" }];
    const connect = a && a.venues && a.venues.length ? ["Connect a venue", "venues", {}] : null;
    const on = Boolean(a && a.venues && a.venues.some((one) => one.state !== "off"));
    if (stream.startsWith("exchange") || stream === "profile") return V.exchange.nothing(name);
    if (stream === "limits" && on) return ["limits", "No call has been made yet", "Budgets, endpoints and waits appear here with the first call.", null];
    if (stream === "limits") return ["limits", "No venue is connected, so nothing is throttled", "Budgets appear here with the first call to a venue.", name === "limits-strip" || name === "windows" ? connect : null];
    if (stream === "prices") return ["market", "No book to compare", `No source shown has a book of ${symbol}.`, on ? null : connect];
    if (stream === "mids") return ["empty", "Nothing to compare yet", `Mids are compared once two live venues have ${symbol}.`, on ? null : connect];
    if (stream === "indexed") return ["empty", `No trades in the last ${windowWord()}`, `No source shown has traded ${symbol} since.`, wider];
    if (stream === "health" && ["streams", "clocks"].includes(name)) return ["plug", "No venue is connected", "Connections, clocks and snapshots of live markets are listed here.", connect];
    if (stream === "candles") return ["empty", `No candles in the last ${windowWord()}`, `${symbol} has not traded since.`, wider];
    if (stream === "trades") return ["empty", `No trades in the last ${windowWord()}`, `${symbol} has not traded since.`, null];
    if (stream === "impact" && a && a.market && a.market.size_unit !== a.market.base) return ["empty", "Not known for contracts", "The venue counts contracts here, and what one is worth is not published with the book.", null];
    if (stream === "impact") return ["empty", "No mid to compare with", `One side of the book of ${symbol} is empty.`, null];
    if (stream === "book_map") return ["empty", "No book was seen yet", `What rests in the book of ${symbol} is drawn from the first synced second on.`, null];
    if (stream === "depth") return ["empty", "The book is empty", `${symbol} has no resting orders.`, null];
    if (stream === "latency" || stream === "distribution" || stream === "latency_map") return ["empty", `No samples in the last ${windowWord()}`, "No event with a venue's time came in.", wider];
    if (stream === "events" && a && a.past) return ["empty", "Nothing was said then", "Events of that time are listed here where they were recorded.", null];
    if (stream === "events") return ["empty", name === "limit-events" ? "Nothing was limited" : name === "venue-events" ? "No venue has said anything" : "Nothing has happened", name === "limit-events" ? "Throttles, corrections and bans are listed here." : "Connects, gaps, throttles and errors are listed here.", null];
    if (stream === "matching") return ["health", "The matching engine is starting", "Its books are filled and their past is made first.", null];
    if (stream === "health") return ["health", "No malformed frames", "Frames that do not match a venue's format are kept here, the newest 20.", null];
    if (stream === "stages") return ["empty", "No samples yet", "Stages are measured as messages pass.", null];
    if (["messages", "orders"].includes(name) && a && a.past && !a.past.recorded.includes("counters")) return ["empty", "Not recorded", `How many ${name} there were then is not known; trades are counted from what is replayed.`, null];
    if (["messages", "orders", "trades"].includes(name)) return ["empty", `No ${name} in the last ${windowWord()}`, name === "messages" ? "Messages come from venues and replays; none is shown here." : "No shown source had any.", name === "messages" && !on ? connect : null];
    return ["empty", "Nothing to show", "The engine has no rows for this panel.", null];
  };

  const isEmpty = (panel, s) => {
    const chart = V.charts[panel.dataset.chart];
    if (chart) return chart.empty(s);
    const stream = panel.dataset.streams.split(" ")[0];
    switch (stream) {
      case "depth": return V.charts.depth.empty(s);
      case "limits": return panel.dataset.part === "endpoints" ? !s.endpoints || !s.endpoints.length : !s.venues || !s.venues.length;
      case "exchange": case "exchange_book": case "exchange_stages": case "profile": return V.exchange.empty(panel, s);
      case "impact": return !s.rows || !s.rows.some((row) => row.buy || row.sell);
      case "prices": return !s.rows || !s.rows.length;
      case "funding": return !s.funding;
      case "trades": return !s.rows || !s.rows.t.length;
      case "matching": return !s.symbols || !s.symbols.length;
      case "stages": return !s.rows || !s.rows.length;
      case "throughput": return V.charts.throughput.empty(s);
      case "health": return ["bad_frames", "streams", "venues"].includes(panel.dataset.part) && !(s[panel.dataset.part] || []).length;
      case "events": return !V.live.events(panel.dataset.panel, s).length;
      default: return false;
    }
  };

  const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

  // The source that drawn rows are of, where it brings nothing new for now; null while it does.
  V.ailing = (one) => {
    const a = V.store.answer, found = a && a.sources.find((x) => x.id === one.id || one.id.startsWith(`${x.id} `));
    return found && found.shown && found.state in AILING ? found : null;
  };
  // Of a panel that draws all sources: those that ail, and whether none is left that does not.
  const ailing = (panel, stream, s) => {
    if (!OF_ALL.has(stream)) return [[], false];
    const chart = V.charts[panel.dataset.chart];
    const list = (chart && chart.legend ? chart.legend(s) : stream === "prices" ? s.rows : s.series) || [], found = new Map();
    for (const one of list) {
      const source = V.ailing(one);
      if (source) found.set(source.id, source);
    }
    return [[...found.values()], found.size > 0 && list.every(V.ailing)];
  };
  const SHORT = 3; // sources that a strip names
  const said = (sources) => {
    const words = sources.slice(0, SHORT).map((one) => `${one.label} ${AILING[one.state]} since ${at(one.since)}`);
    const title = words.join(", ") + (sources.length > SHORT ? `, and ${sources.length - SHORT} more` : "");
    return ["stale", title, `What is drawn of ${sources.length > 1 ? "them" : "it"} is from before.`, null];
  };

  // The state of one panel: [state, strip, overlay]; a strip is over data, an overlay is instead of it.
  const judge = (panel) => {
    const a = V.store.answer, stream = panel.dataset.streams.split(" ")[0], s = V.store.streams[stream];
    const market = MARKET.has(stream);
    const gone = V.link.gone();
    if (gone && !s) return ["disconnected", null, ["plug", "No answer from the server", `Asking since ${at(gone)}; this page goes on by itself.`, null]];
    if (!a) return ["loading", null, null];
    const engine = a.engine || {};
    if (engine.state === "failed") return ["error", null, ["warn", "The engine could not start", engine.detail || "See the log.", null]];
    if (engine.state === "compiling" && (!s || stream !== "health")) return ["compiling", null, null];
    const own = stream === "history" ? V.history.judge(panel, s) : stream === "alerts" ? V.alerts.judge(panel, s) : V.exchange.judge(panel, stream, s);
    if (own) return own;
    const shown = a.sources.filter((one) => one.shown);
    if (!V.exchange.streams.has(stream) && !shown.length && (!s || !["health", "events", "limits", "matching", "funding"].includes(stream))) {
      const first = a.sources[0];
      return ["off", null, ["plug", "No source is shown", "Every source is switched off in this browser.", first ? [`Show ${first.label}`, "show", { source: first.id }] : null]];
    }
    if (!s) return ["loading", null, null];
    if (gone) return ["disconnected", null, null];
    const source = market ? V.store.primary() : null;
    const since = source && source.since ? at(source.since) : "";
    const over = source && source.state === "ended";
    const last = source ? at(source.now) : ""; // by the replay's own clock
    const book = stream === "depth" || stream === "impact";
    if (source && book && !over && source.state !== "reconnecting" && s.state !== "SYNCED" && (s.state === "BUFFERING" || source.state === "resyncing"))
      return ["resyncing", null, ["sync", `${source.label}: the book is being rebuilt`, `${source.detail ? sentence(source.detail) + " " : ""}Nothing is drawn until it is right again.`, null]];
    const empty = isEmpty(panel, s);
    const again = source && source.run === "replay" ? ["Play again", "replay", {}] : null;
    const why = source && source.detail ? sentence(source.detail) : "";
    if (source && source.state === "error" && empty) return ["error", null, ["warn", `${source.label} failed`, `${why ? why + " " : ""}Other sources are not affected.`, again]];
    if (source && source.state === "loading" && empty) return ["loading", null, null];
    if (over && (empty || (book && s.state !== "SYNCED"))) return ["ended", null, ["refresh", `The replay ended at ${last}`, "There is nothing of it to show here.", ["Play again", "replay", {}]]];
    if (empty) return ["empty", null, nothing(panel.dataset.panel, stream)];
    if (source && source.state === "error") return ["error", ["error", `${source.label} failed at ${since}`, why, again], null];
    if (source && source.state === "ended") return ["ended", ["ended", `The replay ended at ${last}`, source.detail || "", ["Play again", "replay", {}]], null];
    if (source && source.state === "reconnecting") return ["stale", ["stale", `Reconnecting since ${since}`, why, null, V.venues.nextTry(source)], null];
    if (source && (source.state === "stale" || (book && s.state === "STALE"))) return ["stale", ["stale", `Stale since ${since}`, source.detail || "", null], null];
    if (stream === "matching" && s.age_ms > SILENT_MS) return ["stale", ["stale", `No figures since ${at(s.ts)}`, "The built-in exchange gives none; see Tasks.", null], null];
    const late = V.exchange.late(stream, s);
    if (late) return ["stale", ["stale", late, "The engine gives none; see Health.", null], null];
    const [some, all] = ailing(panel, stream, s);
    if (all) return ["stale", said(some), null];
    return [V.state.paused ? "paused" : "live", some.length ? said(some) : null, null];
  };

  // A strip takes room from the chart below it, which is told, or its time axis would be cut off.
  let room = 0;
  const resized = (V.resized = () => {
    cancelAnimationFrame(room);
    room = requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
  });
  // Words that a narrow panel can spare stand apart in its title, so that what matters of it is not cut off.
  const titled = (text) => D.make("b", "", ...text.split(/( since| UTC)/).filter(Boolean).map((part) => (/^ (since|UTC)$/.test(part) ? D.make("span", "vs-spare", part) : part)));
  const strip = (host, what) => {
    const key = what ? JSON.stringify(what) : "";
    if (!host || host.dataset.was === key) return;
    if (Boolean(host.dataset.was) !== Boolean(key)) resized();
    host.dataset.was = key;
    host.replaceChildren();
    if (!what) return;
    const [state, title, more, act, until] = what;
    const dot = D.make("i", V.dot(state));
    const note = D.make("div", `vs-note is-${state}`, dot, titled(title), D.make("span", "vs-sec", more));
    if (until) {
      const next = D.make("span", "vs-next");
      note.insertBefore(next, note.lastElementChild);
      D.until(next, until, { before: "next try in ", over: "trying now" });
    }
    note.title = [title, more].filter(Boolean).join(": ");
    if (act) note.append(D.button(act[0], act[1], "vs-btn is-sm is-bare", act[2]));
    host.append(note);
  };
  V.strip = strip;
  const overlay = (host, what) => {
    const key = what ? JSON.stringify(what) : "";
    if (!host || host.dataset.was === key) return;
    host.dataset.was = key;
    host.replaceChildren();
    if (!what) return;
    const [sign, title, more, act, code] = what;
    const mark = sign === "sync" ? D.make("i", "vs-dot is-sync is-big") : D.icon(sign);
    const box = D.make("div", "vs-state", mark, D.make("b", "", title), D.make("p", "", more));
    // One thing to do about it, or a few to choose from.
    const acts = act ? (Array.isArray(act[0]) ? act : [act]) : [];
    if (acts.length) box.append(D.make("div", acts.length > 1 ? "row is-many" : "row", ...acts.map(([word, name, data]) => D.button(word, name, "vs-btn is-sm", data))));
    if (code) box.append(D.make("code", "vs-cmd", code));
    host.append(box);
  };

  const WORDS = { loading: "waiting", off: "off", compiling: "compiling", empty: "", live: "", paused: "paused", stale: "stale", resyncing: "resyncing", ended: "ended", error: "error", disconnected: "disconnected" };
  // States in which the rows held are not what the panel is about.
  const ALONE = new Set(["off", "compiling", "loading", "ended"]);
  const many = (n, word, words = `${word}s`) => `${F.group(n)} ${n === 1 ? word : words}`;
  // Events of one rate over the window, all sources: rows are per second, one a step.
  const within = (s, rate) => {
    const t = s.rows.t, step = t.length > 1 ? (t[1] - t[0]) / 1000 : 1;
    const lists = s.series.map((one) => s.rows[`${one.id}/${rate}`] || []);
    return F.group(Math.round(lists.flat().reduce((sum, x) => sum + (x || 0), 0) * step));
  };
  const counted = {
    depth(s) {
      const all = s.levels ? s.levels[0] + s.levels[1] : 0, sent = s.b && s.a ? s.b.p.length + s.a.p.length : all;
      // Where levels are joined to groups, their number says nothing of how many levels are drawn.
      return !s.levels ? "" : sent < all && !(s.far || s.step > 1) ? `${F.group(sent)} of ${many(all, "level")}` : many(all, "level");
    },
    impact: (s) => many(s.rows.length, "amount"),
    candles: (s) => (s.rows ? `${many(s.rows.t.length, "candle")}, ${many(s.n, "trade")}` : ""),
    latency: (s) => many(s.n, "sample"),
    stages: (s) => (s.rows ? many(s.rows.length, "stage") : ""),
    distribution: (s) => many(s.n, "sample"),
    latency_map: (s) => `${many(s.rows.c.reduce((n, [, ...counts]) => n + counts.reduce((sum, x) => sum + x, 0), 0), "sample")}, ${s.step} s columns`,
    throughput: (s) => (F.none(s.n) ? "–, not recorded" : `${F.group(s.n)} messages and orders`),
    messages: (s) => (F.none(s.n) ? "–, not recorded" : `${within(s, "messages")} messages`),
    orders: (s) => (F.none(s.n) ? "–, not recorded" : `${within(s, "orders")} orders`),
    trades: (s) => `${within(s, "trades")} trades`,
    tape: (s) => `${many(s.seen, "trade")} since opened`,
    book_map: (s) => (s.rows ? `${many(s.rows.t.length, "column")} of ${s.step} s${V.charts.book_map.row(s)}` : ""),
    metrics: (s) => (s.rows ? (V.state.window > 900 ? `${F.group(s.rows.t.length)} of ${many(s.rows.t.length * 10, "second")}` : many(s.rows.t.length, "second")) : ""),
    events: (s) => many((s.list || []).length, "event"),
    health: () => "",
    tasks: (s) => many(s.tasks.length, "task"),
    sources: (s) => many(s.sources.length, "source"),
    rings: (s) => `${F.group(s.rings.length)} rings, ${F.bytes(s.rings.reduce((n, r) => n + r.bytes, 0))}`,
    queues: (s) => many(s.queues.length, "queue"),
    matching: (s) => many(s.symbols.length, "symbol"),
    load: (s) => many(s.figures.at(-1).n, "batch", "batches"),
    "limit-events": (s) => many(V.live.events("limit-events", s).length, "event"),
    "venue-events": (s) => many(V.live.events("venue-events", s).length, "event"),
    endpoints: (s) => many(s.endpoints.length, "endpoint"),
    limits: (s) => `${many(s.venues.length, "budget")}, ${s.step || 1} s buckets`,
    windows: (s) => many(s.venues.reduce((n, v) => n + v.windows.length, 0), "window"),
    "limits-strip": (s) => `${Math.min(5, s.venues.length)} of ${many(s.venues.reduce((n, v) => n + v.windows.length, 0), "window")}`,
    streams: (s) => many(s.streams.filter((x) => x.stream).length, "connection"),
    clocks: (s) => many(s.venues.length, "market"),
    prices: (s) => `${s.rows.filter((x) => !x.why).length} of ${many(s.rows.length, "book")} compared`,
    mids: (s) => many(s.series.length, "venue"),
    indexed: (s) => many(s.series.length, "line"),
    funding: () => "1 rate",
    ladder: (s) => (s.levels ? many(s.levels[0] + s.levels[1], "level") : ""),
    ticket: (s) => many(s.lists.symbols.length, "symbol"),
    frames: (s) => many((s.bad_frames || []).length, "frame"),
  };
  const count = (name, stream, s) => {
    try {
      return (counted[name] || V.exchange.counted[name] || V.history.counted[name] || V.alerts.counted[name] || counted[stream] || (() => ""))(s);
    } catch {
      return ""; // rows of that part have not come yet
    }
  };
  // Past a quarter of an hour, rows of seconds are thinned out on their way here.
  const thinned = (how) => (V.state.window > 900 ? how : "");
  const notes = {
    depth: (s) => V.charts.depth.note || (s.seq ? `sequence ${F.group(s.seq)}` : ""),
    candles: (s) => (s.interval ? `${s.interval >= 60 ? s.interval / 60 + " m" : s.interval + " s"} candles; ${V.chart.styled()}${s.seam ? `; older than ${F.time(s.seam).slice(0, 5)} UTC from the venue's own candles` : ""}` : ""),
    latency: (s) => `${s.step || 1} s buckets${V.latencyFew(s)}`,
    metrics: () => thinned("the last second of each 10"),
    throughput: () => thinned("means of 10 s; hatched is simulated"),
    totals: () => thinned("of means of 10 s"),
    mids: () => thinned("the last second of each 10; live books alone"),
    indexed: (s) => (s.step ? `${s.step >= 60 ? s.step / 60 + " m" : s.step + " s"} closes; dashes are simulated` : ""),
    samples: (s) => `${s.step || 1} s buckets`,
    tape: (s) => (s.skipped ? `${many(s.skipped, "trade")} not listed: more than ${V.specs.tape_rows} between two refreshes` : ""),
    "exchange-rates": (s) => `means of ${s.step || 1} s`,
    "exchange-latency": (s) => `${s.step || 1} s buckets${V.latencyFew(s)}`,
    latency_map: (s) => [s.from ? `counts are kept since ${F.time(s.from)} UTC` : "", s.rows && V.latencyUnder(s) ? `${many(V.latencyUnder(s), "sample")} below 8 ns not drawn` : "", "values known to 0.8 %"].filter(Boolean).join("; "),
    stages: () => `${F.unit("stages", null)} throughout`,
    prices: (s) => (s.rows ? V.live.between(s) : ""),
    impact: (s) => (V.impact.ends(s) ? "> : the known book ends before that" : ""),
  };

  // A panel's remark: what its rows tell and what the stream says, else what stands there always.
  const remark = (panel, stream, s) => {
    const name = panel.dataset.panel, tell = notes[name] || (name === "ladder" ? null : notes[stream]);
    return [s && tell && tell(s), s && s.note].filter(Boolean).join("; ") || panel.dataset.note || "";
  };

  // While the page looks at the past, a panel whose rows are of now says so beside its title.
  const ofNow = (panel, stream) => {
    const past = V.store.answer && V.store.answer.past, on = Boolean(past && past.now.includes(stream));
    const title = panel.querySelector("header h2"), tag = panel.querySelector("header .vs-of-now");
    if (!title || on === Boolean(tag)) return;
    if (tag) return tag.remove();
    const made = D.make("span", "vs-tag is-info vs-of-now", "now");
    made.title = "Of now, not of the past that is replayed";
    title.after(made);
  };

  const written = new WeakMap();
  V.panels = {
    // Whether its rows are of the one market that is chosen.
    ofMarket: (panel) => MARKET.has(panel.dataset.streams.split(" ")[0]),
    all: () => [...document.querySelectorAll("section[data-panel]")],
    // Brings every panel's state, strip and footer up to date.
    update() {
      for (const panel of V.panels.all()) {
        const name = panel.dataset.panel, stream = panel.dataset.streams.split(" ")[0];
        const [state, note, instead] = judge(panel);
        if (panel.dataset.state !== state) panel.dataset.state = state;
        D.attr(panel, "aria-busy", state === "loading" || state === "compiling" ? "true" : null);
        strip(D.host(`note:${name}`), note);
        overlay(D.host(`state:${name}`), instead);
        ofNow(panel, stream);
        const s = V.store.streams[stream];
        const foot = panel.lastElementChild;
        const cells = foot.children;
        // What is not asked for while it is not seen grows older all the same.
        const unasked = s && V.store.answer ? Math.max(0, V.store.answer.now - s.at) : 0;
        const age = s && s.age_ms !== null && s.age_ms !== undefined ? s.age_ms + unasked + (V.link.late() ? Date.now() - V.link.at : 0) : null;
        const timeless = panel.dataset.timeless, watched = stream === "alerts" && s ? V.alerts.age(s) : "";
        const word = WORDS[state] || "";
        const aged = (stream === "history" || (stream === "alerts" && !V.alerts.age(s)) || V.exchange.streams.has(stream)) && state === "live" && (age === null || age > OLD_MS); // nothing new, though nothing is wrong
        // A past that is paused has no age: its clock stands.
        const past = V.store.answer && V.store.answer.past, stands = past && past.state === "paused" && !past.now.includes(stream) && (state === "live" || state === "empty");
        const says = stands ? {
          dot: V.dot("past"),
          age: `as of ${at(past.at)}`,
          n: s ? count(name, stream, s) : "",
          lost: s ? `${F.group(s.lost || 0)} lost` : "0 lost",
          note: remark(panel, stream, s),
        } : {
          dot: V.dot(aged || state === "disconnected" ? "off" : state === "empty" ? (age === null ? "off" : "live") : state),
          age: !s || (ALONE.has(state) && word) ? word || "waiting" : watched ? (name === "alert-firings" && watched === "watched" && age !== null ? `newest ${F.age(age)}` : watched) : timeless ? word || timeless : [word, age === null ? "no data" : F.age(age)].filter(Boolean).join(age === null ? ", " : " "),
          n: s && !["off", "compiling"].includes(state) ? count(name, stream, s) : "",
          lost: timeless ? "" : s ? `${F.group(s.lost || 0)} lost` : "0 lost",
          note: ["off", "compiling"].includes(state) ? "" : remark(panel, stream, s),
        };
        const old = written.get(panel) || {};
        if (old.dot !== says.dot) cells[0].firstElementChild.className = says.dot;
        if (old.age !== says.age) D.text(cells[0].lastElementChild, says.age);
        if (old.n !== says.n) D.text(cells[1], says.n);
        if (old.lost !== says.lost) {
          D.text(cells[2], says.lost);
          cells[2].dataset.tone = s && s.lost ? "warn" : "";
        }
        if (old.note !== says.note) {
          const told = says.note ? says.note.split(/(?=; )/) : []; // a part that does not fit is left out, never cut
          if (!cells[3].firstElementChild) D.text(cells[3], "");
          const parts = D.pool(cells[3], told.length, () => D.make("span", ""));
          told.forEach((text, i) => D.text(parts[i], text));
          cells[3].title = says.note;
        }
        written.set(panel, says);
      }
      // Figures beside the panels that are of the chosen source are as old as what the panels draw.
      const source = V.store.primary(), old = source && source.state in AILING ? "1" : null;
      for (const el of document.querySelectorAll(".vs-tiles, .p-latency .vs-facts")) D.attr(el, "data-old", old);
      V.exchange.linked();
    },
  };
})();
