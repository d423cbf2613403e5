/* Numbers and times as the pages write them: grouped, fixed decimals, true minus, a dash for no data. */
(() => {
  "use strict";
  const V = window.venuescope;
  const NONE = "–";
  const makers = new Map();
  const maker = (decimals) => {
    if (!makers.has(decimals))
      makers.set(decimals, new Intl.NumberFormat("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
    return makers.get(decimals);
  };
  const none = (x) => x === null || x === undefined || !Number.isFinite(x);
  const pad = (x, n = 2) => String(x).padStart(n, "0");

  const group = (x, decimals = 0) => (none(x) ? NONE : maker(decimals).format(x).replace("-", "−"));
  // What is rounded to zero has no sign.
  const signed = (x, decimals = 0) => {
    const text = group(x, decimals);
    return /[1-9]/.test(text) ? (x > 0 ? "+" : "") + text : text.replace("−", "");
  };
  const scaled = (units, decimals) => (none(units) ? NONE : group(units / 10 ** decimals, decimals));
  // Three significant digits.
  const three = (x) => {
    if (none(x)) return NONE;
    const a = Math.abs(x);
    if (a >= 1000) return group(Number(x.toPrecision(3)));
    return group(x, a >= 100 || a === 0 ? 0 : a >= 10 ? 1 : a >= 1 ? 2 : 3);
  };
  const si = (x) => (none(x) ? NONE : x >= 1e6 ? group(x / 1e6, 2) + "M" : x >= 1e4 ? group(x / 1e3, 1) + "k" : group(x));
  const span = (seconds) => {
    const s = Math.floor(seconds);
    return s >= 3600 ? `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}` : `${Math.floor(s / 60)}:${pad(s % 60)}`;
  };
  const age = (ms) => {
    if (none(ms)) return NONE;
    const x = Math.max(0, ms);
    if (x < 10) return group(x, 1) + " ms";
    if (x < 999.5) return group(x) + " ms";
    if (x < 59950) return group(x / 1000, 1) + " s";
    return span(x / 1000);
  };
  const time = (ms) => {
    if (none(ms)) return NONE;
    const d = new Date(ms);
    return `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
  };
  const day = (ms) => new Date(ms).toISOString().slice(0, 10);
  const millis = (ms) => (none(ms) ? NONE : `${time(ms)}.${pad(new Date(ms).getUTCMilliseconds(), 3)}`);
  const bytes = (x) => {
    if (none(x)) return NONE;
    return x >= 1e9 ? group(x / 1e9, 2) + " GB" : x >= 1e6 ? group(x / 1e6, 1) + " MB" : x >= 1e3 ? group(x / 1e3, 1) + " kB" : group(x) + " B";
  };
  // One unit per panel, chosen by its middle, or by the largest it shows, and held until it is clearly wrong.
  const units = {};
  const unit = (panel, us, largest = false) => {
    const now = units[panel], [low, high, from] = largest ? [2000, 9999.5, 9999.5] : [200, 5000, 1000];
    if (none(us)) return now || "ms";
    if (!now || (now === "ms" && us < low) || (now === "µs" && us >= high)) units[panel] = us >= from ? "ms" : "µs";
    return units[panel];
  };
  const inUnit = (us, name) => (none(us) ? null : name === "ms" ? us / 1000 : us);
  // What a size counts: the base, or contracts where the venue trades those.
  const sizeUnit = (market) => (market ? market.size_unit || market.base || "" : "");
  // What is left until something: seconds below a minute, then minutes and seconds.
  const left = (ms) => (none(ms) ? NONE : ms < 59500 ? `${Math.max(0, Math.ceil(ms / 1000 - 0.05))} s` : span(Math.max(0, ms) / 1000));
  // Blanks as wide as the digits (and the point) that a number of fewer decimals lacks, so that points stay in line.
  const filled = (decimals, most) => (decimals >= most ? "" : (decimals ? "" : "\u2008") + "\u2007".repeat(most - decimals));
  // How long something was, in words that no clock shows.
  const length = (s) => (none(s) ? NONE : s < 59.5 ? `${group(s)} s` : s < 3570 ? `${group(s / 60)} min` : `${Number((s / 3600).toFixed(1))} h`);
  // How long a window is, as figures beside it say it.
  const windowed = (s) => ({ 60: "1 m", 300: "5 m", 900: "15 m", 3600: "1 h", 14400: "4 h" })[s] || "";
  V.format = { window: windowed, length, left, filled, sizeUnit, NONE, none, group, signed, scaled, three, si, span, age, time, day, millis, bytes, unit, inUnit };
})();
