/* What a market order of some amount would pay now: average price and distance from the mid, both sides. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const I = (V.impact = {});
  const QUICK = [["1000", "1k"], ["10000", "10k"], ["100000", "100k"], ["1000000", "1M"]];
  let form = null;

  const read = (text) => {
    const m = /^\s*([\d,]*\.?\d*)\s*([km]?)\s*$/i.exec(text);
    if (!m || !/\d/.test(m[1])) return null;
    const x = Number(m[1].replace(/,/g, "")) * { "": 1, k: 1e3, m: 1e6 }[m[2].toLowerCase()];
    return Number.isFinite(x) && x > 0 && x <= 1e12 ? String(Number(x.toFixed(8))) : null;
  };
  const commit = () => {
    const text = form.input.value.trim(), found = text === "" ? QUICK[1][0] : read(text);
    D.attr(form.input, "aria-invalid", found === null ? "true" : null);
    if (found !== null) V.set({ amount: found });
  };
  const build = (host) => {
    const X = V.exchange, f = { host };
    f.sides = D.make("div", "vs-seg is-side", ...["buy", "sell"].map((side) => {
      const button = D.button(side === "buy" ? "Buy" : "Sell", "set", side, { key: "side", value: side });
      return button;
    }));
    f.sides.setAttribute("role", "group");
    f.sides.setAttribute("aria-label", "Side");
    const made = X.field("Amount", "", "", { placeholder: "any amount", maxLength: 20 });
    Object.assign(f, { input: made.input, unit: made.unit, box: made.input.parentElement });
    f.input.addEventListener("keydown", (event) => event.key === "Enter" && commit());
    f.input.addEventListener("change", commit);
    f.quick = D.make("div", "vs-seg is-quick", ...QUICK.map(([value, text]) => D.button(text, "set", "", { key: "amount", value })));
    f.quick.setAttribute("role", "group");
    f.quick.setAttribute("aria-label", "Amounts");
    f.box.className = "vs-inp is-amount";
    host.replaceChildren(f.sides, f.box, f.quick);
    V.controls();
    return f;
  };
  const grouped = (text) => V.exchange.grouped(text);
  const bp = (walk) => (walk ? F.signed(walk.bp, walk.bp >= 100 ? 1 : walk.bp >= 1 ? 2 : 3) : "–");
  const cells = (walk, on) => {
    const cls = `n${on ? " is-side" : ""}`, tone = walk && walk.exhausted ? "warn" : "";
    const price = { text: walk ? grouped(walk.average) : "–", cls, tone: walk ? "" : "mut" };
    return [price, { text: walk ? (walk.exhausted ? `> ${bp(walk)}` : bp(walk)) : "–", cls, tone: tone || (walk ? "" : "mut") }];
  };
  I.ends = (s) => Boolean(s.rows && s.rows.some((row) => row[V.state.side] && row[V.state.side].exhausted));
  I.update = () => {
    const host = D.host("impact:form"), table = D.host("impact:rows"), s = V.store.streams.impact;
    if (!host) return;
    if (!form || form.host !== host || !form.input.isConnected) form = build(host);
    const m = (V.store.answer || {}).market, unit = m ? m.quote : "";
    D.text(form.unit, unit);
    const amount = V.state.amount, own = F.group(Number(amount), 8).replace(/\.?0+$/, "");
    if (document.activeElement !== form.input && !form.input.hasAttribute("aria-invalid") && form.input.value !== own) form.input.value = own;
    const [paid, bought, , sold] = table.closest("table").querySelectorAll("th"), priced = unit ? `, ${unit}` : "";
    D.text(paid, `Amount${priced}`);
    D.text(bought, `Buy at${priced}`);
    D.text(sold, `Sell at${priced}`);
    if (!s || !s.rows) return;
    const side = V.state.side, mark = `${s.rev}/${D.turn}/${side}/${amount}`;
    if (table.dataset.was === mark) return;
    table.dataset.was = mark;
    const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 8 });
    const quick = new Map(QUICK);
    D.table(table, s.rows.map((row) => [
      { text: quick.get(row.amount) || plain.format(Number(row.amount)), cls: row.own ? "name is-own" : "name" },
      ...cells(row.buy, side === "buy"), ...cells(row.sell, side === "sell"),
    ]));
    const chosen = s.rows.find((row) => row.own) || s.rows[1] || s.rows[0], walk = chosen && chosen[side];
    D.put("impact.average", walk ? grouped(walk.average) : "–");
    D.put("impact.bp", walk ? `${walk.exhausted ? "> " : ""}${bp(walk)} bp` : "–", walk && walk.exhausted ? "warn" : "");
    const of = chosen ? `${quick.get(chosen.amount) || plain.format(Number(chosen.amount))} ${unit}` : "";
    D.put("impact.filled", walk ? `${grouped(walk.filled)} ${m ? m.base : ""} for ${walk.exhausted ? `${grouped(walk.cost)} of ` : ""}${of}` : "–", walk && walk.exhausted ? "warn" : "");
    D.put("impact.levels", walk ? F.group(walk.levels) : "–");

  };
})();
