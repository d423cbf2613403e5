/* What belongs to this browser tab: symbol, shown sources, window, rate, theme, pause.
   The URL beats what was kept, which beats the default. Tabs don't follow each other. */
(() => {
  "use strict";
  const V = (window.venuescope = window.venuescope || {});
  const STORE = "venuescope";
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const MOVES = ["hz", "flash"]; // what moves is this browser's own wish where its system asks for calm: no link's
  const number = (allowed) => (text) => (allowed.includes(Number(text)) ? Number(text) : undefined);
  const word = (allowed) => (text) => (allowed.includes(text) ? text : undefined);
  const text = (value) => (/^[\w./:-]{1,40}$/.test(value) ? value : undefined);
  const hex = (value) => (value === "" ? "" : /^#?[0-9a-f]{6}$/i.test(value) ? value.replace("#", "").toLowerCase() : undefined);
  // The only spelling of a study's token, undefined for what is none: as `engine/market/studies.py` has it.
  const STUDIES = { most: 6, period: [2, 200], width: [0.5, 5] };
  const within = (value, [least, most]) => value >= least && value <= most;
  const study = (token) => {
    if (token === "vwap" || token === "profile") return token;
    const [, kind, n, w] = /^(sma|ema|bb)-(\d{1,3})(?:-(\d(?:\.\d)?))?$/.exec(token) || [];
    if (!kind || !within(Number(n), STUDIES.period) || (kind === "bb") !== (w !== undefined)) return undefined;
    if (kind !== "bb") return `${kind}-${Number(n)}`;
    return within(Number(w), STUDIES.width) ? `bb-${Number(n)}-${Number(w)}` : undefined;
  };
  const WINDOWS = [60, 300, 900, 3600, 14400];
  // key: [name in the URL (null: not in it), default, reader, kept between visits]
  const FIELDS = {
    symbol: ["symbol", "", text, true],
    source: ["source", "", text, true],
    hidden: ["off", [], (value) => value.split(",").filter(text).slice(0, 32), true],
    window: ["window", 300, number(WINDOWS), true],
    interval: ["interval", 0, number([0, 1, 5, 60, 300, 900, 3600]), true],
    stage: ["stage", "receive", text, true],
    slo: ["slo", "", (value) => (value === "" || (/^\d{1,10}(\.\d{1,3})?$/.test(value) && Number(value) > 0 && Number(value) <= 1e9) ? value : undefined), true],
    budget: ["budget", "", (value) => (value === "" ? "" : text(value)), true],
    health: ["health", "", word(["engine", "venues"]), true],
    account: ["account", "", (value) => (value === "" ? "" : text(value)), true],
    traded: ["ticket", "", text, true],
    part: ["part", "ack", word(["socket", "decode", "wait", "match", "encode", "send", "ack"]), true],
    exview: ["view", "trade", word(["trade", "clients", "control", "profile"]), true],
    exlist: [null, "open", word(["open", "done", "fills"]), true],
    exsort: [null, "messages_per_s", text, true],
    snippet: [null, "ccxt-binance", text, true],
    hzoom: ["zoom", "", word(["90d", "30d", "day", "hour"]), false],
    hat: ["at", 0, (value) => (/^\d{1,13}$/.test(value) ? Number(value) : undefined), false],
    hwhat: ["what", "", (value) => (value === "" ? "" : text(value)), false],
    hpart: ["show", "calendar", word(["calendar", "holes"]), false],
    off: [null, "controls", word(["controls", "venues"]), false],
    hz: ["hz", calm ? 1 : 4, number([1, 2, 4, 10]), true],
    theme: ["theme", "system", word(["dark", "light", "system"]), true],
    updown: ["colours", "safe", word(["safe", "classic", "own"]), true],
    up: ["up", "", hex, true],
    down: ["down", "", hex, true],
    hide: ["hide", [], (value) => value.split(",").filter(text).slice(0, 32), false],
    order: ["order", [], (value) => value.split(",").filter(text).slice(0, 32), false],
    max: ["max", "", (value) => (value === "" ? "" : text(value)), false],
    kiosk: ["kiosk", false, (value) => value === "1", false],
    // The range of time on screen, ms: 0 and 0 the whole window; one below 0 so much before what is newest.
    at0: ["since", 0, (value) => (/^-?\d{1,13}$/.test(value) ? Number(value) : undefined), false],
    at1: ["until", 0, (value) => (/^\d{1,13}$/.test(value) ? Number(value) : undefined), false],
    paused: ["paused", false, (value) => value === "1", false],
    slim: ["rail", false, (value) => value === "slim", true],
    notify: [null, false, (value) => value === "1", true],
    sound: [null, false, (value) => value === "1", true],
    toured: [null, false, (value) => value === "1", true],
    side: ["side", "buy", word(["buy", "sell"]), true],
    tside: ["tape", "", word(["", "buy", "sell"]), true],
    tmin: ["least", "", (value) => (/^(\d{0,9}(\.\d{0,8})?)$/.test(value) ? value : undefined), true],
    flash: ["flash", calm ? "off" : "on", word(["on", "off"]), true],
    span: ["span", "", word(["", "0.1", "0.5", "1", "5"]), true],
    logy: ["logy", "lin", word(["lin", "log"]), true],
    group: ["group", "1", word(["1", "10", "100"]), true],
    rows: ["rows", "", (value) => (value === "" ? "" : /^\d{1,8}$/.test(value) && Number(value) > 0 && Number(value) <= 1e7 ? String(Number(value)) : undefined), true],
    amount: ["amount", "10000", (value) => (/^\d{1,12}(\.\d{1,8})?$/.test(value) ? value : undefined), true],
    studies: ["studies", [], (value) => [...new Set(value.split(",").map(study).filter(Boolean))].slice(0, STUDIES.most), true],
    style: ["style", "candles", word(["candles", "bars", "line"]), true],
    scale: ["scale", "linear", word(["linear", "log", "percent"]), true],
    compare: ["compare", "mids", word(["mids", "indexed"]), true],
  };
  const write = {
    hidden: (value) => value.join(","),
    studies: (value) => value.join(","),
    hide: (value) => value.join(","),
    order: (value) => value.join(","),
    kiosk: () => "1",
    paused: () => "1",
    slim: () => "slim",
    notify: () => "1",
    sound: () => "1",
    toured: () => "1",
  };

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const kept = (() => {
    try {
      return JSON.parse(localStorage.getItem(STORE) || "{}") || {};
    } catch {
      return {};
    }
  })();
  const query = new URLSearchParams(location.search);
  const state = {};
  for (const [key, [name, standard, read, keep]] of Object.entries(FIELDS)) {
    const asked = name && query.has(name) && !(calm && MOVES.includes(key)) ? read(query.get(name)) : undefined;
    const old = keep && kept[key] !== undefined ? read(Array.isArray(kept[key]) ? kept[key].join(",") : String(kept[key] === true ? write[key]() : kept[key])) : undefined;
    state[key] = asked !== undefined ? asked : old !== undefined ? old : standard;
  }

  const listeners = [];
  V.state = state;
  V.study = Object.assign(study, STUDIES);
  V.calm = calm;
  V.onState = (listener) => listeners.push(listener);

  V.address = () => {
    const out = new URLSearchParams();
    for (const [key, [name, standard]] of Object.entries(FIELDS))
      if (name && !same(state[key], standard)) out.set(name, (write[key] || String)(state[key]));
    for (const [name, value] of Object.entries(V.past ? V.past.query() : {})) out.set(name, value);
    const search = out.toString();
    const wanted = location.pathname + (search ? "?" + search : "") + location.hash;
    if (wanted !== location.pathname + location.search + location.hash) history.replaceState(history.state, "", wanted);
  };

  // The address that shows another browser the same: with what is default here, since it may have kept something else.
  V.whole = () => {
    const market = (V.store.answer && V.store.answer.market) || {};
    const out = new URLSearchParams();
    for (const [key, [name, standard, read, stays]] of Object.entries(FIELDS)) {
      const value = (key === "symbol" || key === "source") && market[key] ? market[key] : state[key];
      const words = value === false ? "0" : (write[key] || String)(value);
      const laid = key === "hide" || key === "order"; // kept by each browser too, in a store of their own
      if (name && (stays || laid || !same(value, standard)) && same(read(words), value)) out.set(name, words);
    }
    for (const [name, value] of Object.entries(V.past ? V.past.query(true) : {})) out.set(name, value);
    return `${location.origin}${location.pathname}?${out}${location.hash}`;
  };

  V.set = (changes) => {
    const changed = Object.keys(changes).filter((key) => key in FIELDS && !same(state[key], changes[key]));
    if (!changed.length) return;
    for (const key of changed) state[key] = changes[key];
    try {
      const keep = {};
      for (const [key, [, standard, , stays]] of Object.entries(FIELDS))
        if (stays && !same(state[key], standard)) keep[key] = state[key];
      localStorage.setItem(STORE, JSON.stringify(keep));
    } catch {
      /* storage may be forbidden: the tab still works */
    }
    V.address();
    for (const listener of listeners) listener(changed);
  };

  // Text from the outside (a select, a button's data-value) to a value of the state.
  V.setText = (key, value) => {
    const read = FIELDS[key] && FIELDS[key][2](value);
    if (read !== undefined) V.set({ [key]: read });
  };

  const scheme = matchMedia("(prefers-color-scheme: light)");
  V.theme = () => (state.theme === "system" ? (scheme.matches ? "light" : "dark") : state.theme);
  const dress = () => {
    const root = document.documentElement;
    root.dataset.bsTheme = V.theme();
    if (state.updown === "classic") root.dataset.vsUpdown = "classic";
    else delete root.dataset.vsUpdown;
  };
  dress();
  V.onState((changed) => {
    if (changed.includes("theme") || changed.includes("updown")) dress();
  });
  scheme.addEventListener("change", () => {
    dress();
    for (const listener of listeners) listener(["theme"]);
  });

  V.client = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");
})();
