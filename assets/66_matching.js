/* The matching engine on the Health page: how full its books are, and what its turns did in the last minute. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const PHASES = { continuous: "is-ok", auction: "is-info", halted: "is-warn" };
  const FULL = 0.8;
  const LONG = 1e7; // counts from here on would push the other columns aside

  const total = (list, key) => list.reduce((sum, one) => sum + one[key], 0);
  const tag = (phase) => ({
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("span", "vs-tag"));
      td.firstElementChild.className = `vs-tag ${PHASES[phase] || ""}`.trim();
      D.text(td.firstElementChild, phase);
    },
  });
  const line = (values, colour, zero) => ({
    cls: "mini",
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("div", "vs-mini"));
      D.spark(td.firstElementChild, values, { colour, zero, fill: zero, w: 96, h: 18 });
    },
  });

  const books = (s, { n, bar }) => {
    const row = (one, name, last) => {
      const share = one.slots ? one.used / one.slots : 0;
      return [
        { text: name, cls: "name" }, n(F.group(one.resting)), n(F.group(one.waiting), one.waiting ? "" : "mut"),
        n(F.group(one.bid_levels)), n(F.group(one.ask_levels)), n(F.group(one.far), one.far ? "" : "mut"),
        bar(share, share >= 1 ? "is-bad" : share >= FULL ? "is-warn" : ""), n(`${F.group(share * 100, 1)}%`),
        { text: F.group(one.slots), cls: "n vs-hide-l", tone: "mut" }, { text: one.most === null ? F.NONE : F.group(one.most), cls: "n vs-hide-l", tone: "mut" }, last,
      ];
    };
    const list = s.symbols.map((one) => ({ ...one, far: one.far_bid_levels + one.far_ask_levels }));
    const rows = list.map((one) => row(one, one.symbol, tag(one.phase)));
    if (list.length > 1) {
      const all = Object.fromEntries(["resting", "waiting", "bid_levels", "ask_levels", "far", "used", "slots"].map((key) => [key, total(list, key)]));
      rows.push(row({ ...all, most: null }, "All", ""));
    }
    D.table(D.host("matching"), rows);
  };

  const load = (s, { n }) => {
    D.table(D.host("load"), s.figures.map((one) => {
      const measured = one.total === null;
      const latency = one.unit === "us", unit = F.unit(`load/${one.label}`, latency ? one.max : null, true);
      const value = (x) => (latency ? F.three(F.inUnit(x, unit)) : one.unit ? F.three(x) : measured ? F.group(x) : F.si(x));
      return [
        { text: latency ? `${one.label}, ${unit}` : one.label, cls: "name" },
        n(value(one.last)), n(value(one.p50)), n(measured ? value(one.p99) : F.NONE, measured ? "" : "mut"), n(value(one.max)), n(measured ? F.NONE : one.total < LONG ? F.group(one.total) : F.si(one.total), measured ? "mut" : ""),
        line(one.spark, measured ? "--vs-p99" : "--vs-venue-sim", !measured),
      ];
    }));
  };

  V.live.matching = (parts) => {
    const s = V.store.streams.matching;
    if (!s || !s.engine || s.tabled === parts.mark(s) || !D.host("matching")) return;
    s.tabled = parts.mark(s);
    books(s, parts);
    load(s, parts);
    const { commands, now, memory_bytes: held, resident_bytes: used } = s.engine;
    D.put("matching.sequence", F.group(commands));
    D.put("matching.memory", F.none(used) ? `${F.bytes(held)} set aside` : `${F.bytes(used)} of ${F.bytes(held)}`);
    D.put("matching.now", now ? `${F.millis(now)} UTC` : "–");
  };
})();
