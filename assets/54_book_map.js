/* The liquidity heatmap: what rested in the book by time and price, the mid, and what was bought and sold. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format;
  const { token, edges, over, move, clear } = V.chart;
  const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
  const CODE = new Map([...ALPHABET].map((letter, i) => [letter.charCodeAt(0), i]));
  const MOST = ALPHABET.length - 1, DECADES = 5;
  const LARGEST = 20; // px, the bubble of the greatest
  const SEEN = 3.2; // px: smaller bubbles are left out

  const sizeOf = (code, most) => (code ? most * 10 ** (DECADES * ((code - 1) / (MOST - 1) - 1)) : 0);
  const codeOf = (size, most) => (size > 0 ? Math.max(1, Math.min(MOST, 1 + (MOST - 1) * (1 + Math.log10(size / most) / DECADES))) : 0);
  const told = (x) => (x >= 1000 ? F.group(Number(x.toPrecision(2))) : x >= 10 ? F.group(x) : x >= 1 ? F.group(x, 1) : String(Number(x.toPrecision(2))));

  // One column in the rows of the map: sums of finer bins, shares of coarser ones; null where nothing is known, and
  // where a row reaches past the bins that are kept.
  const column = (text, bin, from, { first, count, unit }, most) => {
    const out = new Array(count).fill(null), whole = (row) => (first + row) * unit >= from * bin && (first + row + 1) * unit <= (from + text.length) * bin;
    for (let i = 0; i < text.length; i++) {
      const code = CODE.get(text.charCodeAt(i));
      if (code === undefined) continue;
      const low = (from + i) * bin, size = sizeOf(code, most);
      if (bin <= unit) {
        const row = Math.floor(low / unit) - first;
        if (row >= 0 && row < count && whole(row)) out[row] = (out[row] || 0) + size;
      } else {
        for (let row = Math.ceil(low / unit) - first; row * unit + first * unit < low + bin; row++)
          if (row >= 0 && row < count) out[row] = (size * unit) / bin;
      }
    }
    return out;
  };
  const bubbles = (t, sizes, prices, half, k, most) => {
    const found = { x: [], y: [], size: [], text: [] };
    // Where every column has trades the largest fifth is drawn: all of them would hide the mid.
    const least = [...sizes].sort((a, b) => b - a)[Math.max(6, Math.floor(t.length / 5)) - 1] || 0;
    for (let i = 0; i < t.length; i++) {
      if (sizes[i] < least) continue;
      const wide = sizes[i] ? LARGEST * Math.sqrt(sizes[i] / most) : 0;
      if (wide < SEEN) continue;
      found.x.push(t[i] + half);
      found.y.push(prices[i] / 10 ** k);
      found.size.push(wide);
      found.text.push(sizes[i]);
    }
    return found;
  };

  const held = { key: "", low: 0, high: 0, large: 0 };
  V.charts.book_map = {
    stream: "book_map", hz: 1,
    empty: (s) => !s.market || !s.rows || !s.rows.t.length || !s.raster || !s.rows.bid.some((p) => p !== null),
    shape: (s) => ({ key: `${s.market.price_decimals}`, layout: { yaxis: { hoverformat: `,.${s.market.price_decimals}f` } } }),
    data(s) {
      const r = s.rows, { price_decimals: k, size_decimals: z } = s.market, step = s.step * 1000, half = step / 2;
      const [x0, x1] = edges(s, step), { first, count, unit } = s.raster;
      const place = new Map(r.t.map((t, i) => [t, i]));
      const times = [];
      for (let t = r.t[0]; t < x1; t += step) times.push(t);
      const cells = times.map((t) => {
        const i = place.get(t);
        return i === undefined || !r.z[i] ? null : column(r.z[i], r.bin[i], r.first[i], s.raster, s.most);
      });
      // Colours reach from what is common to what is rare; they stay while that moves little.
      const codes = new Array(MOST + 1).fill(0);
      let all = 0;
      for (const cell of cells)
        if (cell)
          for (const size of cell)
            if (size) {
              codes[Math.round(codeOf(size, s.most))] += 1;
              all += 1;
            }
      const share = (part) => {
        let sum = 0;
        for (let code = 1; code <= MOST; code++) if ((sum += codes[code]) >= all * part) return code;
        return MOST;
      };
      const low = share(0.1) - 6, high = Math.max(share(0.998), low + 12);
      if (held.key !== s.key || Math.abs(low - held.low) > 3 || Math.abs(high - held.high) > 3) Object.assign(held, { key: s.key, low: Math.max(1, low), high });
      const words = new Map();
      const word = (code) => {
        const at = Math.round(code);
        if (!words.has(at)) words.set(at, at ? `${told(sizeOf(at, s.most) / 10 ** z)} ${F.sizeUnit(s.market)}` : "nothing");
        return words.get(at);
      };
      const heat = [], text = [], y = [];
      for (let row = 0; row < count; row++) {
        y.push(((first + row + 0.5) * unit) / 10 ** k);
        const line = [], said = [];
        for (const cell of cells) {
          const code = cell && cell[row] !== null ? codeOf(cell[row], s.most) : null;
          line.push(code);
          said.push(code === null ? "" : word(code));
        }
        heat.push(line);
        text.push(said);
      }
      const mid = times.map((t) => {
        const i = place.get(t);
        return i === undefined || r.bid[i] === null ? null : (r.bid[i] + r.ask[i]) / 2 / 10 ** k;
      });
      const x = times.map((t) => t + half);
      const most = Math.max(1, ...r.bought, ...r.sold);
      if (!(most <= held.large && most >= held.large * 0.4)) held.large = most;
      const traded = (sizes, prices, word_) => {
        const found = bubbles(r.t, sizes, prices, half, k, held.large);
        return { x: found.x, y: found.y, text: found.text.map((size) => `${word_} ${F.scaled(size, z)} ${F.sizeUnit(s.market)}`), size: found.size };
      };
      const up = traded(r.bought, r.bought_at, "bought"), down = traded(r.sold, r.sold_at, "sold");
      const gaps = (s.gaps || []).filter(([, to]) => to > x0), gx = [], gy = [];
      for (const [from, to] of gaps) {
        const a = Math.max(from, x0);
        gx.push(a, a, to, to, a, null);
        gy.push(0, 1, 1, 0, 0, null);
      }
      this.drawn = { market: s.market, gap: gaps.at(-1), low: held.low, high: held.high, most: s.most, times, r };
      return [
        [0, { x, y, z: heat, text, zmin: held.low, zmax: held.high }],
        [1, { x, y: mid }],
        [2, { x, y: mid }],
        [3, { x: up.x, y: up.y, text: up.text, marker: { symbol: "circle", size: up.size, color: token("--vs-up"), line: { width: 1, color: token("--vs-surface-1") } } }],
        [4, { x: down.x, y: down.y, text: down.text, marker: { symbol: "diamond", size: down.size, color: token("--vs-down"), line: { width: 1, color: token("--vs-surface-1") } } }],
        [5, { x: gx, y: gy }],
        [6, { x: [x0, x1], y: [0, 0] }],
      ];
    },
    // What the footer says of the cells: how many prices are one of them, and why that is not what was chosen.
    row(s) {
      const r = s.raster;
      if (!r) return "";
      const { unit, asked, bin, offered, tick } = r, priced = (units) => F.scaled(units, s.market.price_decimals);
      const why = !asked || asked === unit ? "" : asked < unit && unit === bin ? ": no finer ones are kept" : asked < unit && unit === offered[0] * tick ? ": finer ones are too many" : asked > unit && unit === offered.at(-1) * tick ? ": coarser ones are too few" : `: nearest to ${priced(asked)}`;
      return `, rows of ${priced(unit)} ${s.market.quote}${why}`;
    },
    // What the selector offers: prices, by the ticks they are; what was chosen elsewhere stays in it.
    offers(s) {
      const r = s && s.raster, chosen = V.state.rows, ticks = new Set(r ? r.offered.map(String) : []);
      if (chosen) ticks.add(chosen);
      const text = (one) => (r ? F.scaled(Number(one) * r.tick, s.market.price_decimals) : `${one} ticks`);
      return [["", "Rows: auto"], ...[...ticks].sort((a, b) => a - b).map((one) => [one, `Rows: ${text(one)}`])];
    },
    after(gd) {
      const d = this.drawn;
      if (!d) return;
      const { xaxis, yaxis } = gd._fullLayout, k = d.market.price_decimals, scale = 10 ** d.market.size_decimals;
      // The price is the bar's own: columns are seconds old.
      const tag = over("book_map", "last", "vs-price"), now = V.store.answer.market, py = now ? yaxis.d2p(now.last / 10 ** k) : -1;
      V.dom.text(tag, now ? F.scaled(now.last, k) : "");
      if (tag && now) tag.dataset.tone = !F.none(now.change) && now.change < 0 ? "down" : "up";
      move(tag, xaxis._offset + xaxis._length + 1, yaxis._offset + py, py >= 0 && py <= yaxis._length);
      clear(gd, yaxis, py);
      const mark = over("book_map", "gap", "vs-label is-gap"), gap = d.gap;
      V.dom.text(mark, gap ? `gap ${F.group(Math.max(1, Math.round((gap[1] - gap[0]) / 1000)))} s` : "");
      const gx = gap ? xaxis.c2p((gap[0] + gap[1]) / 2) : -1;
      move(mark, xaxis._offset + gx, yaxis._offset + yaxis._length - 20, gx > 0 && gx < xaxis._length);
      V.dom.put("book_map.low", told(sizeOf(d.low, d.most) / scale));
      V.dom.put("book_map.high", `${told(sizeOf(d.high, d.most) / scale)} ${F.sizeUnit(d.market)}, log`);
    },
  };
})();
