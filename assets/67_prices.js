/* One symbol across venues, and what holding it costs. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const STATE = { SYNCED: "live", STALE: "stale", BUFFERING: "resyncing", EMPTY: "off" };
  const WORD = { SYNCED: "synced", STALE: "stale", BUFFERING: "resyncing", EMPTY: "no book" };
  const STEPS = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

  // Prices of different decimals, their points in one line.
  const scaled = (x, row, s) => F.scaled(Math.round(x / 10 ** (s.decimals - row.price_decimals)), row.price_decimals);
  const price = (x, row, s) => (F.none(x) ? F.NONE : scaled(x, row, s) + F.filled(row.price_decimals, s.decimals));
  const size = (x, row, common, most) => (F.none(x) ? F.NONE : row.size_unit === common ? F.scaled(x, row.size_decimals) + F.filled(row.size_decimals, most) : `${F.scaled(x, row.size_decimals)} ${row.size_unit}`);
  const mid = (row, s) => (F.none(row.mid2) ? F.NONE : F.group(row.mid2 / 2 / 10 ** s.decimals, row.price_decimals + 1) + F.filled(row.price_decimals + 1, s.decimals + 1));

  const venue = (row) => ({
    cls: "name",
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("span", "vs-named", D.make("i", "swatch"), D.make("span", ""), D.make("span", "vs-mut form")));
      const [mark, name, form] = td.firstElementChild.children;
      mark.className = row.run === "sim" ? "swatch is-sim" : "swatch";
      mark.style.setProperty("--c", `var(--vs-venue-${row.colour})`);
      D.text(name, row.label);
      D.text(form, row.same ? "" : row.symbol.split("-").slice(2).join("-").toLowerCase() || "spot");
      D.attr(td, "title", `${row.label} ${row.symbol}: ${row.why ? `left out of the best: ${row.why}` : "compared"}`);
    },
  });
  const bar = (row, top) => ({
    cls: "diff vs-hide-xl",
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("div", "vs-diff", D.make("i", "")));
      const i = td.firstElementChild.firstElementChild, known = !F.none(row.diff_bp);
      const share = known ? Math.max(-1, Math.min(1, row.diff_bp / top)) * 50 : 0;
      i.className = `${row.run === "sim" ? "is-sim" : ""}${known && Math.abs(row.diff_bp) > top ? " is-cut" : ""}`.trim();
      i.style.setProperty("--c", `var(--vs-venue-${row.colour})`);
      i.style.left = `${(share < 0 ? 50 + share : 50).toFixed(1)}%`;
      i.style.width = `${Math.abs(share).toFixed(1)}%`;
    },
  });
  const book = (row) => ({
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("span", "vs-named", D.make("i", "vs-dot"), D.make("span", "")));
      const [dot, word] = td.firstElementChild.children;
      const state = ["stale", "reconnecting", "ended", "error"].includes(row.state) ? row.state : STATE[row.book] || "off";
      dot.className = V.dot(state === "ended" ? "off" : state);
      D.attr(td, "title", `Book ${WORD[row.book] || row.book.toLowerCase()}, source ${row.state}`);
      D.text(word, state === row.state && state !== "live" ? row.state : WORD[row.book] || row.book.toLowerCase());
    },
  });

  let held = 1;
  const table = (s, { n }) => {
    const host = D.host("prices"), bases = s.market ? s.market.base : "";
    if (!host) return;
    const top = Math.max(0.1, ...s.rows.filter((row) => row.run === "live" && !F.none(row.diff_bp)).map((row) => Math.abs(row.diff_bp)));
    if (top > held || top < held * 0.3) held = STEPS.find((x) => x >= top) || top;
    const found = s.found, most = Math.max(...s.rows.filter((row) => row.size_unit === bases).map((row) => row.size_decimals));
    D.table(host, s.rows.map((row, i) => {
      const best = (side) => (found[side] && found[side][1] === i ? " best" : "");
      return [
        venue(row),
        n(size(row.bid_size, row, bases, most), "mut"), { text: price(row.bid, row, s), cls: `n${best("bid")}`, tone: "up" },
        { text: price(row.ask, row, s), cls: `n${best("ask")}`, tone: "down" }, n(size(row.ask_size, row, bases, most), "mut"),
        n(F.none(row.spread_bp) ? "–" : F.group(row.spread_bp, 3)), { text: mid(row, s), cls: "n" },
        n(F.signed(row.diff_bp, 2)), bar(row, held),
        n(F.age(s.ages[i])), book(row),
      ];
    }));
    s.rows.forEach((row, i) => {
      const cls = V.ailing(row) ? "is-out is-old" : row.why ? (row.run === "sim" ? "is-out is-sim" : "is-out") : "";
      if (host.children[i].className !== cls) host.children[i].className = cls;
    });
  };

  const reads = (s) => {
    const f = s.found, d = s.decimals, name = (i) => s.rows[i].label;
    const own = (price, i) => scaled(price, s.rows[i], s); // with the decimals that the source has, as in the table
    const at = (one) => (one ? `${own(one[0], one[1])} ${name(one[1])}` : "–");
    D.put("prices.bid", at(f.bid), f.bid ? "up" : "");
    D.put("prices.ask", at(f.ask), f.ask ? "down" : "");
    const bp = (x, digits = 2) => `${F.group(x, digits)} bp`;
    const crossed = !F.none(f.between) && f.between < 0;
    D.put("prices.between", F.none(f.between) ? "–" : `${F.scaled(f.between, d)} · ${bp(f.between_bp)}${crossed ? ", crossed" : ""}`, crossed ? "warn" : "");
    D.put("prices.apart", F.none(f.apart2) ? "–" : `${F.group(f.apart2 / 2 / 10 ** d, d + (f.apart2 % 2))} · ${bp(f.apart_bp)}`);
    D.attr(document.querySelector('[data-f="prices.apart"]'), "data-more", F.none(f.apart2) ? null : `${name(f.highest)} over ${name(f.lowest)}`);
    const symbol = s.market ? s.market.symbol : "";
    const other = f.symbol && f.symbol !== symbol;
    const basis = !other || F.none(f.basis_bp) ? "" : `; ${bp(f.basis_bp)} over ${symbol}`.replace(/; (?!−)/, "; +");
    D.put("sub.prices", other ? `${f.symbol} is compared${basis}` : `${symbol} at every source shown${s.market ? `, in ${s.market.quote}` : ""}`);
  };

  // The spread between venues in words.
  V.live.between = (s) => {
    const f = s.found;
    if (!f || F.none(f.between)) return "fewer than two live books: nothing is compared";
    const [bid, ask] = [s.rows[f.bid[1]], s.rows[f.ask[1]]], by = F.scaled(Math.abs(f.between), s.decimals);
    if (f.between < 0) return `crossed: ${bid.label} bids ${by} more than ${ask.label} asks`;
    if (bid === ask) return `${bid.label} has the best of both sides`;
    return `${ask.label} asks ${by} more than ${bid.label} bids`;
  };

  const ages = (s) => {
    const host = D.host("prices");
    if (host && s.ages) s.ages.forEach((age, i) => host.children[i] && D.text(host.children[i].children[9], F.age(age)));
  };

  const period = (s) => (s % 3600 ? (s % 60 ? `${s} s` : `${s / 60} m`) : `${s / 3600} h`);
  const funding = () => {
    const panel = document.getElementById("panel-funding");
    if (!panel) return;
    const s = V.store.streams.funding, f = s && s.funding;
    if (panel.hidden !== !f) panel.hidden = !f;
    if (!f) return;
    const signed = (x, digits, unit) => (F.none(x) ? "–" : F.signed(x, digits) + unit);
    D.put("funding.rate.of", f.interval_s ? `Rate for ${period(f.interval_s)}` : "Rate");
    D.put("funding.rate", signed(f.rate_pct, 4, "%"));
    D.put("funding.apr", f.interval_s ? signed(f.apr_pct, 2, "%") : "interval not told", f.interval_s ? "" : "mut");
    D.put("funding.next.of", f.next ? `Next payment, ${F.time(f.next).slice(0, 5)} UTC` : "Next payment");
    D.until(panel.querySelector('[data-f="funding.next"]'), f.next, { form: "m", before: "in ", over: "now" });
    if (!f.next) D.put("funding.next", "–");
    D.put("funding.mark", F.scaled(f.mark, f.decimals));
    D.put("funding.premium", signed(f.premium_bp, 2, " bp"));
  };

  V.live.prices = (parts) => {
    funding();
    const s = V.store.streams.prices;
    if (!s || !s.rows || !D.host("prices")) return;
    if (s.tabled !== parts.mark(s)) {
      s.tabled = parts.mark(s);
      table(s, parts);
      reads(s);
    } else ages(s);
  };
})();
