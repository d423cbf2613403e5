/* Rows of the streams, merged from the polls' deltas. A stream whose key changed, or that is marked `reset`, starts again. */
(() => {
  "use strict";
  const V = window.venuescope;
  const COLUMNS = {
    candles: ["t", "o", "h", "l", "c", "v", "n_trades"],
    latency: ["t", "p50", "p90", "p95", "p99", "p999", "max", "count"],
    latency_map: ["t", "c"],
    metrics: ["t", "bid", "ask", "imbalance"],
    book_map: ["t", "bin", "first", "bid", "ask", "bought", "bought_at", "sold", "sold_at", "z"],
    limits: ["t", "allowed", "throttled", "refused", "waiting"],
    exchange: ["t", "orders", "acks", "rejects", "fills", "messages", "clients"],
    exchange_latency: ["t", "p50", "p90", "p95", "p99", "p999", "max", "count"],
    tiles: ["t", "real", "sim", "p50", "p99", "spread", "throttled", "gaps"],
  };
  const RATES = ["messages", "orders", "trades"];
  const TAPE = 400;
  const EVENTS = 200;

  const place = (t, value) => {
    let lo = 0, hi = t.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (t[mid] < value) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  };
  // Upserts rows by time into columns of equal length.
  const upsert = (rows, fresh, names) => {
    const n = fresh.t ? fresh.t.length : 0;
    for (let i = 0; i < n; i++) {
      const at = fresh.t[i], len = rows.t.length;
      const k = len && at <= rows.t[len - 1] ? place(rows.t, at) : len;
      const there = k < len && rows.t[k] === at;
      for (const name of names) {
        const value = fresh[name] ? fresh[name][i] : null;
        if (there) rows[name][k] = value;
        else if (k === len) rows[name].push(value);
        else rows[name].splice(k, 0, value);
      }
    }
    return n;
  };
  const trim = (rows, keep, names) => {
    if (!keep || !rows.t.length || rows.t[0] >= keep) return;
    const k = place(rows.t, keep);
    for (const name of names) rows[name].splice(0, k);
  };
  // Upserts rows whose columns are not known beforehand: a new one is empty so far. Whether there were any rows.
  const widened = (s, fresh, keep) => {
    for (const key of Object.keys(fresh)) if (!s.rows[key]) s.rows[key] = new Array(s.rows.t.length).fill(null);
    const names = Object.keys(s.rows), n = upsert(s.rows, fresh, names);
    trim(s.rows, keep, names);
    return n > 0;
  };
  // A column for each of the stream's series, of its `field`; what else a series says is kept beside it.
  const lines = (field) => (s, d) => {
    if (!s.rows) Object.assign(s, { rows: { t: [] }, series: [] });
    const fresh = { t: d.t };
    for (const one of d.series) fresh[one.id] = one[field];
    s.series = d.series.map(({ [field]: _, ...one }) => one);
    Object.assign(s, { keep: d.keep, step: d.step });
    return widened(s, fresh, d.keep);
  };
  const sums = (list) => {
    let sum = 0;
    return list.map((x) => (sum += x));
  };

  const merge = {
    depth(s, d) {
      for (const name of ["seq", "ts", "state", "levels", "bid", "ask", "imbalance", "tick", "step", "near", "far", "reach", "span"]) if (name in d) s[name] = d[name];
      for (const side of ["b", "a"])
        if (d[side]) s[side] = { p: sums(d[side].p), q: d[side].q, c: sums(d[side].q) };
      return Boolean(d.b || d.a);
    },
    throughput(s, d) {
      if (!s.rows) Object.assign(s, { rows: { t: [] }, series: [] });
      const fresh = { t: d.t };
      for (const one of d.series || [])
        for (const rate of RATES) fresh[`${one.id}/${rate}`] = one[rate];
      if (d.series && (d.series.length || (d.t && d.t.length))) s.series = d.series.map(({ id, label, colour, run }) => ({ id, label, colour, run }));
      s.keep = d.keep;
      return widened(s, fresh, d.keep);
    },
    mids: lines("bp"),
    studies(s, d) {
      if (!s.rows) s.rows = { t: [] };
      Object.assign(s, { keep: d.keep, tokens: d.tokens });
      if ("profile" in d) s.profile = d.profile;
      return widened(s, { t: d.t, ...d.values }, d.keep) || "profile" in d;
    },
    indexed: lines("close"),
    prices(s, d) {
      s.ages = d.ages;
      if (d.rows) Object.assign(s, { rows: d.rows, found: d.found, decimals: d.decimals });
      return Boolean(d.rows);
    },
    listing(s, d) {
      s.lists = { ...(s.lists || {}), ...(d.lists || {}) };
      return Boolean(d.lists);
    },
    history(s, d) {
      for (const [name, value] of Object.entries(d)) if (!["key", "reset", "age_ms", "n", "lost", "note", "rows"].includes(name)) s[name] = value;
      if (d.calendar) s.rows = d.calendar.order.map(() => null); // its frame changed: all rows come again
      for (const [place, row] of d.rows || []) s.rows[place] = row;
      return Boolean(d.rows || d.calendar || d.head || d.recorder || d.holes || d.jobs || d.retention !== undefined || d.newest);
    },
    trades(s, d) {
      if (!s.rows) Object.assign(s, { rows: { t: [], p: [], q: [], side: [], id: [] }, seen: 0 });
      s.seen += d.n || 0;
      const n = d.t ? d.t.length : 0;
      if (s.taken !== undefined) s.skipped = (s.skipped || 0) + Math.max(0, (d.n || 0) - n - (d.lost || 0)); // a poll carries the newest alone
      s.taken = (s.taken || 0) + n; // number of the newest row: what tells rows apart
      for (const name of Object.keys(s.rows)) {
        s.rows[name].push(...(d[name] || []));
        if (s.rows[name].length > TAPE) s.rows[name].splice(0, s.rows[name].length - TAPE);
      }
      return n > 0;
    },
    events(s, d) {
      s.list = (s.list || []).concat(d.rows || []);
      if (s.list.length > EVENTS) s.list.splice(0, s.list.length - EVENTS);
      return Boolean(d.rows && d.rows.length);
    },
  };
  const whole = (s, d) => {
    let any = false;
    for (const [name, value] of Object.entries(d))
      if (!["key", "reset", "age_ms", "n", "lost", "note"].includes(name)) {
        s[name] = value;
        any = true;
      }
    return any;
  };
  const rows = (name) => (s, d) => {
    const names = COLUMNS[name];
    if (!s.rows) s.rows = Object.fromEntries(names.map((key) => [key, []]));
    for (const [key, value] of Object.entries(d))
      if (!names.includes(key) && !["key", "reset", "age_ms", "n", "lost", "note"].includes(key)) s[key] = value;
    const n = upsert(s.rows, d, names);
    trim(s.rows, d.keep, names);
    return n > 0 || Boolean(d.venues || d.head || d.load || d.lists || "raster" in d || "account" in d);
  };

  const store = { answer: null, streams: {}, rev: 0, epoch: null };
  V.store = store;

  store.clear = () => {
    store.streams = {};
    store.rev += 1;
  };
  // With `again`, the answer was made from cursors older than what is held: rows that are put in place by their
  // time may come twice, rows that are appended may not.
  store.merge = (answer, again = false) => {
    if (store.epoch !== null && answer.epoch !== store.epoch) {
      store.clear();
      V.restarts = (V.restarts || 0) + 1;
    }
    store.epoch = answer.epoch;
    store.answer = answer;
    for (const [name, delta] of Object.entries(answer.streams || {})) {
      let s = store.streams[name];
      if (!s || delta.reset || (delta.key !== undefined && s.key !== delta.key)) {
        s = store.streams[name] = { rev: ++store.rev, key: delta.key };
      }
      for (const key of ["age_ms", "n", "note"]) if (key in delta) s[key] = delta[key];
      if (!again) s.lost = (s.lost || 0) + (delta.lost || 0); // since the stream began, not of this poll alone
      s.at = answer.now;
      s.v = answer.v;
      if (again && !delta.reset && (name === "trades" || name === "events")) continue;
      const join = merge[name] || (COLUMNS[name] ? rows(name) : whole);
      if (join(s, delta)) s.rev = ++store.rev;
      if (answer.market && !["health", "events", "limits", "venues", "listing", "exchange", "exchange_latency", "history", "alerts"].includes(name)) s.market = answer.market;
    }
  };
  // The UTC day of a time, when it is not today.
  V.otherDay = (t) => {
    const day = V.format.none(t) ? "" : V.format.day(t);
    return day === V.format.day(store.answer ? store.answer.now : Date.now()) ? "" : day;
  };
  // The source to look at for a symbol that the present one does not have; null when it has it, or none has.
  V.having = (symbol) => {
    const now = store.primary(), shown = store.answer ? store.answer.sources.filter((one) => one.shown) : [];
    if (!now || now.symbols.includes(symbol)) return null;
    const found = shown.filter((one) => one.symbols.includes(symbol));
    return (found.find((one) => one.run !== "sim") || found[0] || { id: null }).id;
  };
  store.primary = () => {
    const a = store.answer;
    return (a && a.market && a.sources.find((one) => one.id === a.market.source)) || null;
  };
})();
