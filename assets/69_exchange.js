/* The Exchange page: figures, clients, rejects, stages, the book, balances. Forms are in 69_exchange_forms.js, keys
   and snippets in 69_exchange_keys.js, orders in 69_exchange_orders.js, the profile in 69_exchange_profile.js. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const SILENT_MS = 4000; // rows come each second
  const WAIT_MS = 10_000; // for the engine's answer to a command
  const X = (V.exchange = { acts: {}, counted: {}, parts: [], streams: new Set(["exchange", "exchange_book", "exchange_latency", "exchange_stages", "profile"]) });
  const PHASE = (X.PHASE = { trading: "is-ok", continuous: "is-ok", auction: "is-info", halted: "is-warn", closed: "" });

  X.stream = () => V.store.streams.exchange || null;
  X.account = () => ((X.stream() || {}).account) || null;
  X.phase = (symbol) => ((((X.stream() || {}).lists || {}).symbols || []).find(([name]) => name === symbol) || [])[1] || "";
  X.capital = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");
  X.word = (text) => String(text || "").replace(/_/g, " ");
  X.tag = (el, cls, text) => {
    const whole = `vs-tag ${cls || ""}`.trim();
    if (el.className !== whole) el.className = whole;
    D.text(el, text);
  };
  // An exact decimal as text, with thousands apart; its digits are never changed.
  X.grouped = (text) => {
    if (!text) return "–";
    const [whole, rest] = text.replace("-", "−").split(".");
    return whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",") + (rest === undefined ? "" : `.${rest}`);
  };
  // A decimal without the zeros at its end, but with so many places at least.
  X.trimmed = (text, least = 2) => {
    if (!text || !text.includes(".")) return X.grouped(text);
    const [whole, rest] = text.split(".");
    return X.grouped(`${whole}.${rest.replace(/0+$/, "").padEnd(least, "0")}`);
  };

  // What is typed, as the plain decimal that is sent, or why it is none: commas only part thousands, nothing is guessed.
  X.plain = (typed) => {
    const text = typed.trim();
    const plain = /^[1-9]\d{0,2}(,\d{3})+(\.\d*)?$/.test(text) ? text.replace(/,/g, "") : text;
    if (plain.includes(",")) return { text: "", why: `Write ${/^\d+,\d+$/.test(text) ? text.replace(",", ".") : "0.5"} with a point` };
    if (!/^(\d+\.?\d*|\.\d+)$/.test(plain)) return { text: "", why: text ? "is a plain number, as 0.5" : "" };
    return { text: plain.replace(/\.$/, "").replace(/^0+(?=\d)/, "").replace(/^\./, "0."), why: "" };
  };
  X.places = (text) => (text.split(".")[1] || "").length;
  // Why a field cannot be sent as it is; "" when it can. `places` = decimals of its step, `most` = the largest number.
  X.lacks = (label, typed, places = null, most = Infinity) => {
    const { text, why } = X.plain(typed);
    if (why) return why.startsWith("Write") ? why : `${label} ${why}`;
    if (!text) return `Enter ${/^[aeiou]/i.test(label) ? "an" : "a"} ${label.toLowerCase()}`;
    if (!/[1-9]/.test(text)) return `${label} must be above 0`;
    if (Number(text) > most) return `${label} is too large`;
    if (places !== null && X.places(text.includes(".") ? text.replace(/0+$/, "") : text) > places)
      return `${label} goes in steps of ${places ? `0.${"0".repeat(places - 1)}1` : "1"}`;
    return "";
  };
  // A refusal in the words of the forms.
  X.why = (text) => {
    const step = /^(\w+): '.*' is not a multiple of ([\d.]+)$/.exec(text || ""), large = /^(?:(\w+): )?.*(passes int64|not that large)/.exec(text || "");
    if (step) return `${X.capital(step[1])} goes in steps of ${step[2]}`;
    if (large) return `${X.capital(large[1] || "it")} is too large`;
    return X.capital(text);
  };

  // The difference of two exact decimals, as text.
  X.minus = (a, b) => {
    const places = Math.max(...[a, b].map((text) => (text.split(".")[1] || "").length));
    const units = (text) => BigInt((text.split(".")[0] || "0") + (text.split(".")[1] || "").padEnd(places, "0"));
    const digits = String(units(a) - units(b)).padStart(places + 1, "0");
    return places ? `${digits.slice(0, -places)}.${digits.slice(-places)}` : digits;
  };

  // ---------- commands ----------
  // One at a time: the answer to a command would be lost to the next one's.
  const queue = [];
  let waits = null;
  const next = () => {
    if (waits || !queue.length) return;
    const { name, args, tell } = (waits = queue.shift());
    const answer = (value) => {
      if (!waits || waits.tell !== tell) return;
      clearTimeout(waits.timer);
      waits = null;
      tell(value);
      next();
    };
    waits.timer = setTimeout(() => answer({ ok: false, lost: true, why: "No answer came within 10 s. It may have been done all the same: look before you send it again." }), WAIT_MS);
    V.command(name, args, (why, result) => answer({ ok: !why, lost: false, why: why || "", result: result || {} }));
  };
  X.ask = (name, args) => new Promise((tell) => {
    queue.push({ name, args, tell });
    next();
  });
  // The engine's word as a toast where nothing beside the button can say it.
  X.order = async (name, args, done = "") => {
    const answer = await X.ask(name, args);
    if (!answer.ok) D.toast(answer.lost ? "No answer" : "The exchange refused", X.why(answer.why));
    else if (done) V.say(done);
    return answer;
  };
  // A button that asks once more before it does what cannot be undone.
  const asked = new WeakMap(); // of buttons that ask: what they said before, and what makes them forget it
  X.twice = (el, words) => {
    if (asked.has(el)) return true;
    asked.set(el, { was: el.textContent, timer: setTimeout(() => X.unsure(el), 4000) });
    el.classList.add("is-sure");
    el.textContent = words;
    return false;
  };
  // As it was before it asked: it was answered, or the button is another thing's now.
  X.unsure = (el) => {
    const { was, timer } = asked.get(el) || {};
    if (!asked.delete(el)) return;
    clearTimeout(timer);
    el.classList.remove("is-sure");
    el.textContent = was;
  };

  // ---------- what a panel says ----------
  const OFF = {
    off: ["plug", "The exchange is off", "No client can connect in this start; its books trade all the same. Set exchange = on, or VENUESCOPE_EXCHANGE=on, and start again.", "Off"],
    starting: ["refresh", "The exchange is starting", "Its kernels, books and doors are being made ready.", "Starting"],
    failed: ["warn", "The exchange is not serving", "Pages, the simulator and live venues are not affected.", "Not serving"],
  };
  const TELLS = new Set(["connect", "clients", "faults"]); // the one panel of a view that says all of it
  // Why it does not serve, with the setting that changes it.
  const trouble = (detail) => {
    const taken = /^port (\d+)(?: or (\d+))? on \S+ (?:is in use|cannot be used: .*address already in use)/i.exec(detail);
    const port = taken && ((/\('[^']*', (\d+)/.exec(detail) || [])[1] || taken[1]); // the one of the two that could not be bound
    const text = taken ? `Exchange port ${port} is in use; choose another with ${port === taken[2] ? "order_port" : "exchange_port"}` : X.capital(detail);
    return text ? `${text}${/[.!?]$/.test(text) ? "" : "."} ` : "";
  };
  // Whether orders can be given at all: without a door the engine still takes them, an exchange that is off has no desk.
  X.trades = () => ["serving", "failed"].includes(((X.stream() || {}).head || {}).state);
  const TRADES = new Set(["ticket", "my-orders", "balances", "exchange-book", "phases"]); // the engine can do these without a door
  X.judge = (panel, stream, s) => {
    if (!X.streams.has(stream) || stream === "profile") return null;
    const x = X.stream();
    if (!x || !x.head || !s) return null;
    const { state, detail } = x.head, name = panel.dataset.panel;
    if (state === "serving" && !x.load && ["clients", "rejects"].includes(name)) return ["loading", null, null]; // asked for now
    if (state === "serving" || (state === "failed" && TRADES.has(name))) return null;
    if (name === "exchange-book" && s.bids && s.bids.length) return null; // it trades without clients
    const [sign, title, more, word] = OFF[state] || OFF.off;
    return [state === "failed" ? "error" : "off", null, TELLS.has(name) ? [sign, title, `${trouble(detail)}${more}`, null] : [sign, word, "", null]];
  };
  X.late = (stream, s) => {
    const x = X.stream();
    if (!["exchange", "exchange_book"].includes(stream) || !s || F.none(s.age_ms) || V.state.paused) return "";
    return stream === "exchange" && x.head && x.head.state === "serving" && s.age_ms > SILENT_MS ? `No figures for ${F.age(s.age_ms)}` : "";
  };
  const EMPTY = {
    clients: ["exchange", "No client is connected", "Copy a program from the Trade view and run it.", ["Show the programs", "set", { key: "exview", value: "trade" }]],
    rejects: ["empty", "Nothing was rejected", "Refusals are counted here by the dialect's own code.", null],
    "exchange-rates": ["empty", "No order came yet", "Rates are drawn from the first second on.", null],
    "exchange-latency": ["empty", "No order came over a socket", "Answers to orders over sockets are measured; REST is not.", null],
    "exchange-stages": ["empty", "No order came over a socket", "Each stage is measured of orders over sockets; REST is not.", null],
    "exchange-book": ["empty", "No book yet", "The symbol has no book at the built-in exchange.", null],
    ticket: ["plug", "No account yet", "An account comes with its first key, and with money to trade.", ["Create a key", "ex-first-key", {}]],
    balances: ["plug", "No account yet", "New accounts come with money of every asset.", null],
    "profile-flame": ["latency", "No profile yet", "See where the engine's thread spends its time. It goes on working meanwhile, a little slower.", ["Profile 10 s", "ex-profile", {}]],
    "profile-table": ["latency", "No profile yet", "Functions are listed here with their own time.", null],
  };
  const LISTS = {
    open: ["empty", "No open order", "Orders of this account rest here, whichever client placed them."],
    done: ["empty", "No ended order", "Filled, canceled and refused orders are listed here."],
    fills: ["empty", "No trade yet", "Trades of this account are listed here."],
  };
  X.nothing = (name) => {
    if (name === "my-orders") return [...LISTS[V.state.exlist], null];
    const taken = (V.store.streams.profile || {}).profile;
    if (name.startsWith("profile") && taken && taken.state === "running") return ["latency", "A profile is being taken", `Until ${F.time(taken.ends)} UTC; the engine goes on working.`, null];
    return EMPTY[name] || ["empty", "Nothing to show", "The exchange has no rows for this panel.", null];
  };
  X.empty = (panel, s) => {
    const x = X.stream(), a = X.account();
    switch (panel.dataset.panel) {
      case "clients": return !x.load || !x.load.clients.length;
      case "rejects": return !x.load || !x.load.rejects.length;
      case "exchange-book": return !s.bids || (!s.bids.length && !s.asks.length);
      case "exchange-stages": return !s.rows || !s.rows.length;
      case "ticket": case "balances": return !a;
      case "my-orders": return !a || !{ open: a.open, done: a.ended, fills: a.fills }[V.state.exlist].length;
      case "profile-flame": case "profile-table": return !s.profile || s.profile.state !== "done";
      default: return false;
    }
  };
  const many = (n, word) => `${F.group(n)} ${n === 1 ? word : `${word}s`}`;
  Object.assign(X.counted, {
    // The engine tells of so many, and counts the rest.
    clients: (s) => (s.head.clients > s.load.clients.length ? `${F.group(s.load.clients.length)} of ${many(s.head.clients, "client")}: the first that connected` : many(s.head.clients, "client")),
    rejects: (s) => many(s.head.rejected, "call") + " refused",  // logins and questions too: not a share of orders
    "exchange-rates": (s) => `${many(s.head.orders, "order")}, ${many(s.head.fills, "fill")} since the start`,
    "exchange-latency": (s) => many(s.n, "sample"),
    "exchange-stages": (s) => many(s.rows.length, "stage"),
    "exchange-book": (s) => many(s.n, "level"),
    "my-orders": (s) => (s.account ? (V.state.exlist === "open" && s.account.open_count > s.account.open.length ? `newest ${s.account.open.length} of ${F.group(s.account.open_count)}` : `${many({ open: s.account.open, done: s.account.ended, fills: s.account.fills }[V.state.exlist].length, V.state.exlist === "fills" ? "trade" : "order")}${V.state.exlist === "open" ? "" : ", the newest 50"}`) : ""),
    balances: (s) => (s.account ? many(s.account.balances.length, "asset") : ""),
    faults: (s) => `${s.lists.faults.length} active`,
    phases: (s) => many(s.lists.symbols.length, "symbol"),
    keys: (s) => (s.lists.keys_count > s.lists.keys.length ? `newest ${s.lists.keys.length} of ${F.group(s.lists.keys_count)} keys` : many(s.lists.keys_count, "key")),
    connect: (s) => many(s.lists.keys_count, "key"),
    ticket: () => "",
    "profile-flame": (s) => (s.profile && s.profile.state === "done" ? `${many(s.profile.calls, "call")} of ${F.group(s.profile.functions)} functions` : ""),
    "profile-table": (s) => (s.profile && s.profile.state === "done" ? `${s.profile.rows.length} of ${F.group(s.profile.functions)} functions` : ""),
  });

  // ---------- figures ----------
  const rate = (x) => (F.none(x) ? "–" : x >= 1e4 ? F.si(x) : F.group(x, x > 0 && x < 100 ? 1 : 0));
  const WORD = { off: "Off", starting: "Starting", serving: "Serving", failed: "Not serving" };
  const figures = (s) => {
    const h = s.head, on = h.state === "serving", late = X.late("exchange", s), dot = D.host("exchange:dot");
    if (dot) dot.className = V.dot(V.link.gone() ? "disconnected" : { serving: late ? "stale" : "live", starting: "resyncing", failed: "error" }[h.state] || "off");
    D.put("exchange.state", late || WORD[h.state] || h.state, h.state === "failed" ? "bad" : late ? "warn" : "");
    D.put("exchange.where", on ? `${h.url}${h.order_url ? ` · orders also on ${h.order_url}` : ""}` : trouble(h.detail));
    D.put("exchange.clients", on ? F.group(h.clients) : "–");
    D.put("exchange.clients.side", h.cut_slow || h.refused ? [h.cut_slow ? `${F.group(h.cut_slow)} cut as slow` : "", h.refused ? `${F.group(h.refused)} refused` : ""].filter(Boolean).join(", ") : on ? "now" : "");
    for (const [name, total] of [["orders", h.orders], ["fills", h.fills]]) {
      D.put(`exchange.${name}`, on ? rate(h[`${name}_per_s`]) : "–");
      D.put(`exchange.${name}.unit`, on ? "/s" : "");
      D.put(`exchange.${name}.side`, on ? F.si(total) : "");
    }
    D.put("exchange.acks", on ? rate(h.acks_per_s) : "–");
    D.put("exchange.acks.unit", on ? "/s" : "");
    D.put("exchange.acks.side", on ? `${F.group(h.waiting)} waiting` : "");
    D.put("exchange.rejected", on ? F.group(h.rejected) : "–", h.rejected ? "warn" : "");
    D.put("exchange.rejected.side", on ? "calls" : "");
    D.put("exchange.trades", on ? (h.trades < 1e7 ? F.group(h.trades) : F.si(h.trades)) : "–");
    D.put("exchange.trades.side", on ? "all, since start" : "");
    const rows = ((V.store.streams.exchange_stages || {}).rows || []).find((row) => row.stage === "ack");
    const unit = F.unit("exchange-facts", rows ? rows.p99 : null, true);
    for (const key of ["p50", "p99"]) {
      D.put(`exchange.${key}`, on && rows ? F.three(F.inUnit(rows[key], unit)) : "–");
      D.put(`exchange.${key}.unit`, on ? (rows ? `${unit}, ${F.window(V.state.window)}` : "sockets only") : ""); // orders of this page pass none
    }
  };

  // ---------- clients ----------
  // Refusals in few words, by the dialect's own code.
  X.refusal = (code) => ((V.specs || {}).refusals || {})[code] || "";
  const codes = (list, dialect) => list.slice(0, 2).map(([code, n], i) => `${[code, i ? "" : X.refusal(`${dialect} ${code}`)].filter(Boolean).join(" ")} × ${F.group(n)}`).join(", ") + (list.length > 2 ? `, ${list.length - 2} more` : "");
  const whole = (list, dialect) => list.map(([code, n]) => `${[code, X.refusal(`${dialect} ${code}`)].filter(Boolean).join(" ")} × ${F.group(n)}`).join(", ");
  const DEEP = 1 << 20; // bytes: a client that lets so much wait does not keep up
  const state = (c) => ({
    draw(td) {
      const slow = c.queue_bytes > DEEP;
      if (!td.firstElementChild) td.append(D.make("span", "vs-tag"));
      X.tag(td.firstElementChild, slow ? "is-warn" : "", slow ? "slow" : c.messages_per_s > 0 ? "busy" : "idle");
      D.attr(td, "title", slow ? "More than 1 MB waits for it: it does not read as fast as it is sent to" : null);
    },
  });
  const SORTS = Object.fromEntries(["since", "messages_per_s", "orders", "in_flight", "queue_bytes", "sent_bytes", "conflated"].map((key) => [key, (c) => (key === "since" ? -c[key] : c[key])]));
  const HEADS = ["", "", "", "", "since", "messages_per_s", "orders", "in_flight", "queue_bytes", "sent_bytes", "conflated", "", ""];
  // A press on a figure's head sorts by it, the most first.
  const sorting = (host) => {
    const now = V.state.exsort in SORTS ? V.state.exsort : "messages_per_s";
    if (host.dataset.sorted === now) return;
    host.dataset.sorted = now;
    [...host.closest("table").querySelectorAll("th")].forEach((th, i) => {
      const key = HEADS[i];
      if (!key) return;
      if (!th.firstElementChild) th.replaceChildren(D.button(th.textContent, "set", "vs-sort", { key: "exsort", value: key }));
      D.attr(th, "aria-sort", key === now ? "descending" : null);
    });
  };
  const clients = (s, { n }) => {
    const host = D.host("clients");
    if (!host || !s.load) return;
    const by = SORTS[V.state.exsort] || SORTS.messages_per_s;
    const list = [...s.load.clients].sort((a, b) => by(b) - by(a) || b.messages_per_s - a.messages_per_s || b.orders - a.orders || (a.id < b.id ? -1 : 1));
    sorting(host);
    D.table(host, list.map((c) => [
      { text: c.account || "–", cls: "name", tone: c.account ? "" : "mut" }, c.dialect, { text: c.use, cls: "vs-sec" }, { text: c.address, cls: "vs-sec" },
      n(F.span((s.at - c.since) / 1000)), n(rate(c.messages_per_s)), n(F.group(c.orders)), n(F.group(c.in_flight), c.in_flight ? "" : "mut"),
      n(F.bytes(c.queue_bytes), c.queue_bytes > DEEP ? "warn" : c.queue_bytes ? "" : "mut"), { cls: "n vs-hide-l", draw: (td) => (D.text(td, c.use === "REST" ? F.NONE : F.bytes(c.sent_bytes)), D.attr(td, "title", c.use === "REST" ? "Calls by REST are answered at once: nothing waits, and what is sent is not counted" : null)) },
      { text: F.group(c.conflated), cls: "n vs-hide-l", tone: c.conflated ? "warn" : "mut" },
      state(c), { cls: "wide", tone: c.rejects.length ? "" : "mut", draw: (td) => (D.text(td, c.rejects.length ? codes(c.rejects, c.dialect) : "none"), D.attr(td, "title", c.rejects.length ? whole(c.rejects, c.dialect) : null)) },
    ]));
  };
  const rejects = (s) => {
    const host = D.host("rejects");
    if (!host || !s.load) return;
    const list = s.load.rejects, top = Math.max(1, ...list.map(([, n]) => n));
    const rows = D.pool(host, list.length, () => D.make("div", "", D.make("span", "vs-sec"), D.make("span", "vs-meter", D.make("i", "")), D.make("span", "vs-num")));
    list.forEach(([code, n], i) => {
      const [name, meter, count] = rows[i].children, width = `${((n / top) * 100).toFixed(1)}%`, words = X.refusal(code);
      D.text(name, words ? `${code}  ${words}` : code);
      D.attr(name, "title", words ? `${code}: ${words}` : code);
      if (meter.firstElementChild.style.width !== width) meter.firstElementChild.style.width = width;
      D.text(count, F.group(n));
    });
  };
  const stages = (parts) => {
    const host = D.host("exchange-stages"), s = V.store.streams.exchange_stages;
    if (!host || !s || !s.rows || s.tabled === parts.mark(s)) return;
    s.tabled = parts.mark(s);
    const known = s.rows.filter((row) => row.n > 0), unit = F.unit("exchange-stages", known.length ? Math.max(...known.map((row) => row.max)) : null, true);
    const low = Math.log10(Math.max(0.01, Math.min(...known.map((row) => row.p50)) * 0.7)), high = Math.log10(Math.max(1, ...known.map((row) => row.p999)) * 1.4);
    const at = (us) => Math.max(0, Math.min(100, ((Math.log10(Math.max(0.001, us)) - low) / (high - low)) * 100));
    D.table(host, s.rows.map((row) => [
      { text: row.label, cls: "name" }, { text: row.what, cls: "vs-sec vs-hide-s" }, parts.n(F.group(row.n)),
      ...["p50", "p95", "p99", "p999", "max"].map((key) => parts.n(F.none(row[key]) ? "–" : F.three(F.inUnit(row[key], unit)), F.none(row[key]) ? "mut" : "")),
      {
        cls: "bar",
        draw(td) {
          if (!td.firstElementChild) td.append(D.make("div", "vs-reach", D.make("i", "")));
          const i = td.firstElementChild.firstElementChild;
          i.style.left = row.n ? `${at(row.p50).toFixed(1)}%` : "0";
          i.style.width = row.n ? `${Math.max(1.5, at(row.p999) - at(row.p50)).toFixed(1)}%` : "0";
        },
      },
    ]));
    D.put("sub.exchange-stages", `Orders over sockets, REST is not measured; ${unit} throughout, last ${F.window(V.state.window)}`);
    const grid = host.closest(".row3"), lines = String(Math.max(4, s.rows.length)); // as high as what is in it
    if (grid && grid.style.getPropertyValue("--rows") !== lines) grid.style.setProperty("--rows", lines);
    if (s.rows.length) parts.options("part", s.rows.map((row) => [row.stage, row.label]), V.state.part);
    const one = V.store.streams.exchange_latency;
    if (one && one.what) D.put("sub.exchange-latency", X.capital(one.what));
    D.put("unit.exchange_latency", F.unit("exchange_latency", null));
  };

  // ---------- book ----------
  const rung = () => {
    const el = D.make("button", "l", D.make("i", ""), D.make("span", "p"), D.make("span", ""), D.make("span", "mine"));
    el.type = "button";
    el.dataset.act = "ex-price";
    return el;
  };
  // One tab stop for the whole ladder; arrows go through it.
  const rove = (asks, bids, to = null) => {
    const all = [...asks.children, ...bids.children], now = to || all.find((el) => el === document.activeElement) || bids.firstElementChild;
    for (const el of all) D.attr(el, "tabindex", el === now ? "0" : "-1");
    if (asks.parentElement.dataset.roves) return;
    asks.parentElement.dataset.roves = "1";
    asks.parentElement.addEventListener("keydown", (event) => {
      const list = [...asks.children, ...bids.children], at = list.indexOf(event.target);
      const next = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: list.length - 1 }[event.key];
      if (at < 0 || next === undefined || !list[next]) return;
      event.preventDefault();
      rove(asks, bids, list[next]);
      list[next].focus();
    });
  };
  const book = (parts) => {
    const s = V.store.streams.exchange_book, asks = D.host("exbook:a"), bids = D.host("exbook:b"), x = X.stream();
    if (!asks || !bids || !s || !s.bids || !s.asks) return;
    const room = asks.clientHeight || 160, key = `${parts.mark(s)}/${x ? x.rev : 0}/${room}`;
    if (s.climbed === key) return;
    s.climbed = key;
    const { price_decimals: k, size_decimals: z } = s, n = Math.max(4, Math.min(16, Math.floor(room / 21)));
    const phase = X.phase(s.symbol), tag = D.host("exbook:phase");
    if (tag) X.tag(tag, PHASE[phase], ["", "trading", "continuous"].includes(phase) ? "" : phase);
    D.put("exbook.price", `Price, ${s.quote || ""}`);
    D.put("exbook.size", `Size, ${s.base || ""}`);
    D.put("exbook.mine", "Mine");
    D.put("sub.exchange-book", s.symbol ? `${s.symbol}, matched here` : "");
    const mine = new Map(), own = { buy: new Set(), sell: new Set() };
    for (const order of (X.account() || { open: [] }).open) {
      if (order.symbol !== s.symbol || !order.price) continue;
      const at = `${order.side}/${Number(order.price)}`;
      mine.set(at, (mine.get(at) || 0) + Number(order.size) - Number(order.filled || 0));
      own[order.side].add(Math.round(Number(order.price) * 10 ** k));
    }
    const top = Math.max(1, ...s.bids.slice(0, n).map(([, q]) => q), ...s.asks.slice(0, n).map(([, q]) => q));
    const fill = (host, rows, side, reverse) => {
      // Own orders further out than what is shown: the nearest of them takes the last row.
      const sign = side === "buy" ? -1 : 1, last = rows.length ? rows[Math.min(n, rows.length) - 1][0] : 0;
      const outside = [...own[side]].filter((p) => (p - last) * sign > 0).sort((a, b) => (a - b) * sign);
      const list = rows.slice(0, outside.length ? n - 1 : n);
      if (outside.length) list.push([outside[0], 0]);
      const count = list.length, els = D.pool(host, count, rung);
      for (let i = 0; i < count; i++) {
        const at = reverse ? count - 1 - i : i, [p, q] = list[at], [bar, price, size, held] = els[i].children;
        const edge = outside.length > 0 && at === count - 1, far = outside.length - 1;
        const width = `${((q / top) * 46).toFixed(1)}%`, text = F.scaled(p, k), amount = mine.get(`${side}/${p / 10 ** k}`);
        if (bar.style.width !== width) bar.style.width = width;
        els[i].classList.toggle("is-edge", edge);
        D.text(price, text);
        D.text(size, edge ? `mine, ${side === "buy" ? "below" : "above"}${far ? `, ${far} more` : ""}` : F.scaled(q, z));
        D.text(held, amount ? F.group(amount, z) : "");
        els[i].dataset.price = text;
        els[i].dataset.side = side;
        D.attr(els[i], "title", edge ? "Your nearest order beyond these levels; press to take its price into the ticket" : "Take this price into the ticket");
      }
    };
    fill(asks, s.asks, "sell", true);
    fill(bids, s.bids, "buy", false);
    rove(asks, bids);
    const [bid, ask] = [s.bids[0], s.asks[0]];
    D.put("exbook.last", F.none(s.last) ? "–" : F.scaled(s.last, k));
    D.put("exbook.spread", bid && ask ? `spread ${F.scaled(ask[0] - bid[0], k)} · ${F.group(((ask[0] - bid[0]) / ((ask[0] + bid[0]) / 2)) * 1e4, 3)} bp` : "one side is empty");
  };

  // ---------- balances, phases ----------
  const MONEY = new Set(["USDT", "USDC", "USD"]), MOST = 6;
  // So many decimals of each asset always, never rounded up; points in line over all of them.
  const places = (asset) => (MONEY.has(asset) ? 2 : MOST);
  X.money = (asset, text) => {
    const [whole, rest = ""] = text.split(".");
    return X.grouped(`${whole}.${rest.slice(0, places(asset)).padEnd(places(asset), "0")}`);
  };
  const money = (asset, text) => X.money(asset, text) + F.filled(places(asset), MOST);
  const balances = (s) => {
    const host = D.host("balances"), a = s.account;
    if (!host || !a) return;
    if (!host.firstElementChild) host.append(D.make("div", "heads", D.make("span", ""), D.make("span", "", "free"), D.make("span", "", "in orders")), D.make("div", "rows"), X.faucet());
    D.put("sub.balances", `Account ${a.name}`);
    const rows = D.pool(host.children[1], a.balances.length, () => D.make("div", "", D.make("b", ""), D.make("span", "vs-num"), D.make("span", "vs-num")));
    a.balances.forEach(([asset, free, reserved], i) => {
      const [name, amount, held] = rows[i].children;
      D.text(name, asset);
      D.text(amount, money(asset, free));
      D.text(held, money(asset, reserved));
      D.attr(held, "data-tone", Number(reserved) ? null : "mut");
      D.attr(rows[i], "title", `${asset}: ${X.grouped(free)} free, ${X.grouped(reserved)} reserved by open orders`);
    });
  };
  const phases = (s) => {
    const host = D.host("phases");
    if (!host || !s.lists) return;
    const rows = D.pool(host, s.lists.symbols.length, () => D.make("div", "", D.make("b", ""), D.make("span", "vs-tag"), D.button("Halt", "ex-halt", "vs-btn is-sm")));
    s.lists.symbols.forEach(([symbol, phase], i) => {
      const [name, tag, button] = rows[i].children, halted = phase === "halted";
      D.text(name, symbol);
      X.tag(tag, PHASE[phase], phase);
      D.text(button, halted ? "Resume" : "Halt");
      Object.assign(button.dataset, { symbol, halted: halted ? "1" : "" });
      D.attr(button, "aria-label", `${halted ? "Resume" : "Halt"} trading of ${symbol}`);
    });
  };
  X.acts["ex-halt"] = async (el) => {
    el.disabled = true;
    await X.order("exchange_halt", { symbol: el.dataset.symbol, halted: !el.dataset.halted }, `${el.dataset.symbol} ${el.dataset.halted ? "resumed" : "halted"}`);
    el.disabled = false;
  };

  // To the ticket, from wherever one is.
  X.ticket = () => {
    const until = Date.now() + 3000;
    const seek = () => {
      const size = document.querySelector('[data-host="ticket"] input[aria-label="Size"]');
      if (size && size.offsetParent) size.focus();
      else if (Date.now() < until) setTimeout(seek, 50);
    };
    V.set({ exview: "trade" });
    if (!D.host("ticket")) document.getElementById("rail-exchange").click();
    seek();
  };

  // ---------- all ----------
  // What the link to the server changes, also while no poll comes: old figures are dimmed, nothing can be sent.
  X.linked = () => {
    const head = document.querySelector(".vs-ex-head"), s = X.stream(), gone = Boolean(V.link.gone());
    if (!head || head.classList.contains("is-gone") === gone) return;
    head.classList.toggle("is-gone", gone);
    if (s && s.head) figures(s);
    X.update(X.last);
  };
  let view = "", list = "";
  X.update = (parts) => {
    const here = Boolean(D.host("ticket")); // the page is shown
    if (!here || !parts) return;
    X.last = parts;
    if (document.body.dataset.exview !== V.state.exview) document.body.dataset.exview = V.state.exview;
    if (view !== V.state.exview || list !== D.turn) {
      [view, list] = [V.state.exview, D.turn];
      requestAnimationFrame(() => {
        window.dispatchEvent(new Event("resize"));
        V.link.redraw();
      });
    }
    const s = X.stream();
    book(parts);
    stages(parts);
    if (s && s.head && s.lists && s.shownAt !== `${parts.mark(s)}/${s.at}`) {
      s.shownAt = `${parts.mark(s)}/${s.at}`;
      figures(s);
      clients(s, parts);
      rejects(s);
      balances(s);
      phases(s);
    }
    for (const part of X.parts) part(s, parts);
  };
})();
