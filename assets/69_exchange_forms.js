/* Forms of the Exchange page: the order ticket, the faucet, faults. What is typed lives here, so that it outlives
   every refresh and a visit to another page. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, X = V.exchange;
  const LOCK_MS = 600; // after a press, and half of it after an answer: a double click is one order
  const SAID_MS = 5000; // of good news beside the faucet
  const FAR = 0.02; // a limit this far through the other side is asked for twice
  const TYPES = [["limit", "Limit"], ["market", "Market"], ["stop", "Stop"], ["stop_limit", "Stop limit"], ["take_profit", "Take profit"], ["take_profit_limit", "Take profit limit"]];
  const TIFS = [["gtc", "GTC"], ["ioc", "IOC"], ["fok", "FOK"]];
  const ENDED = { new: "accepted, resting", armed: "accepted, waits for its trigger" }; // an answer's status in words
  const PRICED = new Set(["limit", "stop_limit", "take_profit_limit"]);
  const TRIGGERED = new Set(["stop", "stop_limit", "take_profit", "take_profit_limit"]);

  // ---------- parts of forms ----------
  const field = (X.field = (label, value = "", unit = "", more = {}) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "text", autocomplete: "off", spellcheck: false, inputMode: "decimal", value }, more);
    input.setAttribute("aria-label", label);
    const box = D.make("span", "vs-inp", input, unit === null ? null : D.make("span", "u", unit));
    return { el: D.make("label", "vs-field", D.make("span", "", label), box), input, unit: box.lastElementChild };
  });
  const choice = (X.choice = (label, list, value) => {
    const select = document.createElement("select");
    select.setAttribute("aria-label", label);
    X.fill(select, list, value);
    return { el: D.make("label", "vs-field", D.make("span", "", label), D.make("span", "vs-sel is-full", select)), select };
  });
  X.fill = (select, list, value) => {
    const key = JSON.stringify(list);
    if (select.dataset.was !== key) {
      select.dataset.was = key;
      select.replaceChildren(...list.map(([v, text]) => {
        const option = D.make("option", "", text);
        option.value = v;
        return option;
      }));
    }
    if (document.activeElement !== select && select.value !== value) select.value = value;
  };
  const switched = (X.switched = (label, on, change) => {
    const el = D.make("button", "vs-switch");
    el.type = "button";
    el.setAttribute("role", "switch");
    el.setAttribute("aria-label", label);
    el.setAttribute("aria-checked", String(on));
    el.addEventListener("click", () => {
      el.setAttribute("aria-checked", String(el.getAttribute("aria-checked") !== "true"));
      change(el.getAttribute("aria-checked") === "true");
    });
    return { el: D.make("span", "vs-ctl", el, D.make("span", "", label)), button: el };
  });
  // Buttons in a field's label line.
  const beside = (el, buttons) => {
    const label = el.firstElementChild, line = D.make("span", "vs-labline");
    el.insertBefore(line, label);
    line.append(label, buttons);
  };
  const MOST = 2 ** 41; // ticks or lots of one order
  const ATOMS = 8, MOST_MONEY = 9e10; // an amount has so many decimals, and 64 bits
  const plain = (text) => X.plain(text).text;
  const decimal = (text) => (plain(text) === "" ? null : Number(plain(text)));

  // ---------- ticket ----------
  const ticket = { side: "buy", type: "limit", tif: "gtc", price: "", trigger: "", size: "", post: false, of: "", touched: false, busy: false, locked: 0, sure: "", said: null, saidOf: "" };
  let form = null;
  const market = () => V.store.streams.exchange_book || null;
  const best = (side) => {
    const s = market(), rows = s && (side === "buy" ? s.bids : s.asks);
    return rows && rows.length ? rows[0][0] : null;
  };
  const free = (asset) => {
    const row = ((X.account() || { balances: [] }).balances || []).find(([name]) => name === asset);
    return row ? row[1] : null;
  };
  const build = (host) => {
    const el = document.createElement("form");
    el.className = "vs-form";
    el.noValidate = true;
    const f = { el, host };
    f.account = choice("Account", [], "");
    f.symbol = choice("Symbol", [], "");
    f.sides = D.make("div", "vs-seg is-side is-full full", ...["buy", "sell"].map((side) => {
      const button = D.make("button", side, side === "buy" ? "Buy" : "Sell");
      button.type = "button";
      button.addEventListener("click", () => set({ side }));
      return button;
    }));
    f.sides.setAttribute("role", "group");
    f.sides.setAttribute("aria-label", "Side");
    f.type = choice("Type", TYPES, ticket.type);
    f.tif = choice("Time in force", TIFS, ticket.tif);
    f.price = field("Price", ticket.price);
    f.quick = ["buy", "sell"].map((side) => {
      const button = D.button("", "ex-best", "is-quote", { side });
      button.append(D.make("span", "vs-mut", side === "buy" ? "Bid" : "Ask"), D.make("b", side === "buy" ? "vs-up" : "vs-down", "–"));
      button.title = `Take the best ${side === "buy" ? "bid" : "ask"}`;
      return button;
    });
    f.trigger = field("Trigger price", ticket.trigger);
    f.size = field("Size", ticket.size);
    f.shares = D.make("div", "vs-quotes", ...[25, 50, 100].map((share) => {
      const button = D.button(`${share}%`, "ex-share", "is-quote", { share: String(share) });
      button.title = `${share}% of what is free`;
      return button;
    }));
    f.post = switched("Post only", ticket.post, (on) => set({ post: on }));
    f.value = D.make("span", "vs-num", "–");
    f.free = D.make("span", "vs-num", "–");
    f.send = D.make("button", "vs-btn is-send full", "");
    f.send.type = "submit";
    f.said = D.make("p", "vs-said full", "");
    f.said.setAttribute("role", "status");
    const line = (label, value) => D.make("div", "vs-line full vs-sec", D.make("span", "", label), value);
    f.price.el.classList.add("full");
    f.trigger.el.classList.add("full");
    f.size.el.classList.add("full");
    beside(f.price.el, D.make("div", "vs-quotes", ...f.quick));
    beside(f.size.el, f.shares);
    el.append(f.account.el, f.symbol.el, f.sides, f.type.el, f.tif.el, f.price.el, f.trigger.el, f.size.el,
      D.make("div", "vs-line full", f.post.el, D.make("span", "vs-sec vs-inline", D.make("span", "", "Value"), f.value)), line("Free", f.free), f.send, f.said);
    el.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    el.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.repeat || event.target.tagName === "SELECT")) event.preventDefault(); // a held key is one order
      if ((event.key === "ArrowUp" || event.key === "ArrowDown") && event.target === f.price.input) {
        const s = market(), now = decimal(f.price.input.value);
        if (!s || now === null) return;
        event.preventDefault();
        const units = Math.round(now * 10 ** s.price_decimals) + (event.key === "ArrowUp" ? 1 : -1) * (event.shiftKey ? 10 : 1);
        set({ price: F.scaled(Math.max(1, units), s.price_decimals), touched: true });
      }
    });
    for (const key of ["price", "trigger", "size"]) f[key].input.addEventListener("input", () => set({ [key]: f[key].input.value, ...(key === "price" ? { touched: true } : {}) }));
    f.type.select.addEventListener("change", () => set({ type: f.type.select.value }));
    f.tif.select.addEventListener("change", () => set({ tif: f.tif.select.value }));
    f.account.select.addEventListener("change", () => V.set({ account: f.account.select.value }));
    f.symbol.select.addEventListener("change", () => V.set({ traded: f.symbol.select.value }));
    host.replaceChildren(el);
    return f;
  };
  const set = (changes) => {
    Object.assign(ticket, changes, { sure: "", said: null });
    if (changes.side && !ticket.touched) ticket.price = "";
    show();
  };
  const asks = () => {
    const { side, type, tif, price, trigger, size, post } = ticket, account = X.account(), s = market();
    return {
      account: account ? account.name : "", symbol: s ? s.symbol : "", side, type,
      price: PRICED.has(type) ? plain(price) : "", size: plain(size), trigger: TRIGGERED.has(type) ? plain(trigger) : "",
      tif: PRICED.has(type) ? tif : "", post_only: type === "limit" && tif === "gtc" && post,
    };
  };
  // Why it cannot be sent yet; "" when it can.
  const lacks = () => {
    const s = market();
    if (V.link.gone()) return "Disconnected: nothing can be sent";
    if (!s || !s.symbol || s.symbol !== ticket.of) return "Waiting for the book";
    const phase = X.phase(s.symbol);
    if (["halted", "closed"].includes(phase)) return `${s.symbol} is ${phase}`;
    const k = s.price_decimals, z = s.size_decimals;
    return X.lacks("Size", ticket.size, z, MOST / 10 ** z)
      || (PRICED.has(ticket.type) && X.lacks("Price", ticket.price, k, MOST / 10 ** k))
      || (TRIGGERED.has(ticket.type) && X.lacks("Trigger price", ticket.trigger, k, MOST / 10 ** k)) || "";
  };
  // What was said holds for this symbol in this phase; it goes with either.
  const about = () => {
    const s = market();
    return s ? `${s.symbol}/${X.phase(s.symbol)}` : "";
  };
  const say = (tone, text) => Object.assign(ticket, { said: { tone, text }, saidOf: about() });
  const words = () => {
    const s = market(), verb = ticket.side === "buy" ? "Buy" : "Sell", unit = s ? s.base : "";
    const price = PRICED.has(ticket.type) ? ` at ${X.grouped(plain(ticket.price))}` : ticket.type === "market" ? " at market" : "";
    const when = TRIGGERED.has(ticket.type) ? `, from ${X.grouped(plain(ticket.trigger))}` : "";
    return `${verb} ${X.grouped(plain(ticket.size))} ${unit}${price}${when}`;
  };
  // How far through the other side's best price a limit is, as a share; 0 where it is not.
  const through = () => {
    if (ticket.type !== "limit") return 0;
    const s = market(), other = best(ticket.side === "buy" ? "sell" : "buy"), price = decimal(ticket.price);
    if (!s || other === null || price === null) return 0;
    const at = other / 10 ** s.price_decimals;
    return Math.max(0, ticket.side === "buy" ? price / at - 1 : 1 - price / at);
  };
  // What is free of the asset a market order spends, where that is less than it needs: a sentence, else "".
  const beyond = () => {
    const s = market(), buys = ticket.side === "buy", other = best("sell"), size = decimal(ticket.size);
    if (ticket.type !== "market" || !s || size === null || (buys && other === null)) return "";
    const asset = buys ? s.quote : s.base, needs = buys ? (size * other) / 10 ** s.price_decimals : size, has = free(asset);
    return has !== null && needs > Number(has) ? `It needs about ${F.group(needs, 2)} ${asset}, of which ${X.money(asset, has)} are free.` : "";
  };
  const send = async () => {
    if (ticket.busy || Date.now() < ticket.locked || lacks()) return;
    const far = through(), key = JSON.stringify(asks());
    const doubt = far > FAR ? `The price is ${F.group(far * 100, 1)}% through the market.` : beyond();
    if (doubt && ticket.sure !== key) {
      ticket.sure = key;
      say("warn", `${doubt} Press again to send it all the same.`);
      show();
      return;
    }
    Object.assign(ticket, { busy: true, locked: Date.now() + LOCK_MS, sure: "", said: null });
    show();
    const asked = asks(), was = words();
    const answer = await X.ask("exchange_place", asked);
    Object.assign(ticket, { busy: false, locked: Math.max(ticket.locked, Date.now() + LOCK_MS / 2) });
    if (answer.ok) {
      const { order_id: id, status, filled, sentence } = answer.result;
      const bad = status === "rejected" || status === "expired";
      const part = Number(filled) > 0 && status !== "filled" ? `, ${filled} filled` : "";
      say(bad ? "bad" : "ok", (!ENDED[status] && X.capital(sentence)) || `${was}: ${ENDED[status] || X.word(status)}${part}; order ${id}`);
      if (!bad) ticket.size = ""; // the same order again is typed again
    } else say(answer.lost ? "warn" : "bad", X.why(answer.why));
    show();
    setTimeout(show, Math.max(0, ticket.locked - Date.now()) + 20);
  };
  const show = () => {
    const s = market(), x = X.stream();
    if (!form || !form.el.isConnected || !x || !x.lists) return;
    const account = X.account();
    X.fill(form.account.select, x.lists.accounts.map((name) => [name, name]), account ? account.name : "");
    X.fill(form.symbol.select, x.lists.symbols.map(([name]) => [name, name]), s && s.symbol ? s.symbol : "");
    if (s && s.symbol && s.bids && ticket.of !== s.symbol) Object.assign(ticket, { of: s.symbol, price: "", trigger: "", touched: false, sure: "" });
    if (ticket.said && ticket.saidOf !== about()) ticket.said = null;
    const mine = best(ticket.side);
    // The best price of the own side, until the field is entered or a size is typed: then it stands still.
    if (!ticket.touched && document.activeElement !== form.price.input && mine !== null && s.symbol === ticket.of && (!ticket.price || !ticket.size)) ticket.price = F.scaled(mine, s.price_decimals);
    [...form.sides.children].forEach((button, i) => D.attr(button, "aria-pressed", String(["buy", "sell"][i] === ticket.side)));
    for (const key of ["price", "trigger", "size"]) {
      const { input, unit } = form[key];
      if (input.value !== ticket[key]) input.value = ticket[key];
      D.text(unit, s ? (key === "size" ? s.base : s.quote) || "" : "");
    }
    const priced = PRICED.has(ticket.type);
    for (const [el, seen] of [[form.price.el, priced], [form.trigger.el, TRIGGERED.has(ticket.type)]]) if (el.hidden === seen) el.hidden = !seen;
    if (form.tif.select.disabled === priced) form.tif.select.disabled = !priced;
    const postable = ticket.type === "limit" && ticket.tif === "gtc";
    if (form.post.button.disabled === postable) form.post.button.disabled = !postable;
    D.attr(form.post.button, "aria-checked", String(ticket.post && postable));
    form.quick.forEach((button) => D.text(button.lastElementChild, s && s.bids ? F.scaled(best(button.dataset.side), s.price_decimals) : "–"));
    const size = decimal(ticket.size), at = priced ? decimal(ticket.price) : best(ticket.side === "buy" ? "sell" : "buy") === null || !s ? null : best(ticket.side === "buy" ? "sell" : "buy") / 10 ** s.price_decimals;
    D.text(form.value, size === null || at === null || !s ? "–" : `${priced ? "" : "about "}${F.group(size * at, 2)} ${s.quote}`);
    const asset = s ? (ticket.side === "buy" ? s.quote : s.base) : "", have = free(asset);
    D.text(form.free, have === null ? "–" : `${X.money(asset, have)} ${asset}`); // as among the balances
    const why = lacks(), quiet = ticket.busy || Date.now() < ticket.locked;
    const cls = `vs-btn is-send full ${ticket.side === "buy" ? "is-up" : "is-down"}`;
    if (form.send.className !== cls) form.send.className = cls;
    D.text(form.send, ticket.busy ? "Sending" : why || (ticket.sure ? `Send: ${words()}` : words()));
    const off = Boolean(why) || quiet;
    if (form.send.disabled !== off) form.send.disabled = off;
    D.text(form.said, ticket.said ? ticket.said.text : "");
    form.said.dataset.tone = ticket.said ? ticket.said.tone : "";
  };
  Object.assign(X.acts, {
    "ex-best": (el) => {
      const s = market(), price = best(el.dataset.side);
      if (s && price !== null) set({ price: F.scaled(price, s.price_decimals), touched: true });
    },
    "ex-price": (el) => {
      const s = market(), scale = s ? 10 ** s.price_decimals : 1;
      // A price of the other side is to be taken, one of the own side to be joined: the side stays as it was chosen.
      if (PRICED.has(ticket.type)) set({ price: el.dataset.price, touched: true });
      else if (TRIGGERED.has(ticket.type)) set({ trigger: F.scaled(Math.round(decimal(el.dataset.price) * scale), s.price_decimals) });
      if (form) form.size.input.focus();
    },
    "ex-share": (el) => {
      const s = market(), share = Number(el.dataset.share) / 100;
      if (!s || !s.bids) return;
      const have = Number(free(ticket.side === "buy" ? s.quote : s.base) || 0);
      const ask = best("sell"), at = PRICED.has(ticket.type) ? decimal(ticket.price) : ask === null ? null : ask / 10 ** s.price_decimals;
      const units = ticket.side === "buy" ? (at ? Math.floor(((have * share) / at) * 10 ** s.size_decimals) : 0) : Math.floor(have * share * 10 ** s.size_decimals);
      set({ size: F.scaled(Math.max(0, units), s.size_decimals) });
    },
  });
  X.parts.push(() => {
    const host = D.host("ticket");
    if (!form || form.host !== host || !form.el.isConnected) form = build(host);
    const account = X.account();
    if (account) D.put("sub.ticket", `Account ${account.name}`);
    const beside = D.host("account:orders");
    if (beside) D.put("sub.my-orders", account ? `Account ${account.name}, from whichever client` : "");
    show();
  });

  // ---------- faucet ----------
  X.faucet = () => {
    const a = X.account(), amount = field("Amount", "1000", null), asset = choice("Asset", a.balances.map(([name]) => [name, name]), "USDT");
    const el = document.createElement("form"), button = D.make("button", "vs-btn is-sm", "Deposit");
    el.className = "vs-faucet";
    el.noValidate = true;
    button.type = "submit";
    button.title = "Money from the faucet, for this account";
    const said = D.make("p", "vs-said", "");
    said.setAttribute("role", "status");
    const say = (tone, text) => {
      said.dataset.tone = tone;
      D.text(said, text);
    };
    el.append(said, amount.input.parentElement, asset.select.parentElement, button);
    amount.input.addEventListener("input", () => say("", ""));
    el.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.disabled || !X.account()) return;
      const why = V.link.gone() ? "Disconnected: nothing can be sent" : X.lacks("Amount", amount.input.value, ATOMS, MOST_MONEY);
      say("bad", why);
      if (why) {
        amount.input.focus();
        return;
      }
      button.disabled = true;
      const asked = { account: X.account().name, asset: asset.select.value, amount: plain(amount.input.value) };
      const answer = await X.ask("exchange_faucet", asked);
      say(answer.ok ? "ok" : "bad", answer.ok ? `${X.grouped(asked.amount)} ${asked.asset} deposited` : X.why(answer.why));
      setTimeout(() => (button.disabled = false), LOCK_MS);
      if (answer.ok) setTimeout(() => said.dataset.tone === "ok" && say("", ""), SAID_MS);
    });
    return el;
  };

  // ---------- faults ----------
  const fault = { kind: "", place: "", symbol: "", rate: "100", count: "", seconds: "30", delay: "50" };
  let faults = null;
  const kinds = () => (V.specs && V.specs.faults) || { kinds: [], places: [] };
  const known = (kind) => kinds().kinds.find((one) => one.kind === kind) || { label: X.word(kind), what: "" };
  const make = (host, s) => {
    const el = document.createElement("form"), f = { el, host };
    el.className = "vs-form is-fault";
    el.noValidate = true;
    fault.kind = fault.kind || (kinds().kinds[0] || {}).kind || "";
    f.kind = choice("What goes wrong", kinds().kinds.map((one) => [one.kind, one.label]), fault.kind);
    f.title = D.make("h3", "full", "");
    f.what = D.make("p", "vs-mut full", "");
    f.place = choice("Where", kinds().places, fault.place);
    f.symbol = choice("Symbol", [["", "every symbol"], ...s.lists.symbols.map(([name]) => [name, name])], fault.symbol);
    f.rate = field("Of the occasions", fault.rate, "%");
    f.count = field("At most", fault.count, "times", { placeholder: "no limit" });
    f.seconds = field("For", fault.seconds, "s", { placeholder: "no limit" });
    f.delay = field("Delay", fault.delay, "ms");
    f.send = D.make("button", "vs-btn is-primary", "Start");
    f.send.type = "submit";
    f.said = D.make("p", "vs-said", "");
    f.said.setAttribute("role", "status");
    f.kind.el.classList.add("full", "vs-only-narrow");
    const foot = D.make("div", "vs-line full", f.said, f.send);
    el.append(f.kind.el, f.title, f.what, f.place.el, f.symbol.el, D.make("div", "full vs-row", f.rate.el, f.delay.el, f.count.el, f.seconds.el), foot);
    for (const key of ["kind", "place", "symbol"]) f[key].select.addEventListener("change", () => {
      fault[key] = f[key].select.value;
      D.text(f.said, "");
      look();
    });
    for (const key of ["rate", "count", "seconds", "delay"]) f[key].input.addEventListener("input", () => {
      fault[key] = f[key].input.value;
      D.text(f.said, "");
    });
    el.addEventListener("submit", (event) => {
      event.preventDefault();
      begin();
    });
    host.replaceChildren(el);
    return f;
  };
  const look = () => {
    const one = known(fault.kind), host = D.host("fault-kinds"), list = kinds().kinds, active = X.stream().lists.faults;
    const els = D.pool(host, list.length, () => {
      const el = D.button("", "ex-kind", "");
      el.setAttribute("role", "radio");
      el.append(D.make("span", ""), D.make("b", "vs-tag is-warn"));
      return el;
    });
    list.forEach((each, i) => {
      const n = active.filter((x) => x.kind === each.kind).length;
      els[i].dataset.kind = each.kind;
      D.attr(els[i], "aria-checked", String(each.kind === fault.kind));
      D.text(els[i].firstElementChild, each.label);
      D.text(els[i].lastElementChild, n ? `${n} on` : "");
    });
    if (faults.kind.select.value !== fault.kind) faults.kind.select.value = fault.kind;
    D.text(faults.title, one.label);
    D.text(faults.what, one.what);
    const delay = Boolean(one.delay);
    if (faults.delay.el.hidden === delay) faults.delay.el.hidden = !delay;
    for (const [key, fixed] of [["rate", one.certain], ["count", one.instant], ["seconds", one.instant]]) if (faults[key].input.disabled !== Boolean(fixed)) faults[key].input.disabled = Boolean(fixed);
    faults.seconds.input.placeholder = one.lasting ? "needed" : "no limit";
  };
  const begin = async () => {
    if (faults.send.disabled) return;
    const one = known(fault.kind), number = (text, otherwise) => (text.trim() === "" ? otherwise : decimal(text));
    const [rate, count, seconds, delay] = [number(fault.rate, 100), number(fault.count, 0), number(fault.seconds, 0), number(fault.delay, 0)];
    const comma = ["rate", "count", "seconds", "delay"].map((key) => X.plain(fault[key]).why).find((why) => why.startsWith("Write"));
    const bad = comma || ([rate, count, seconds, delay].includes(null) ? "One of these is not a plain number." : rate > 100 || rate <= 0 ? "Give a share above 0 and up to 100%." : "");
    faults.said.dataset.tone = "bad";
    D.text(faults.said, bad);
    if (bad) return;
    faults.send.disabled = true;
    const args = { kind: fault.kind, budget: fault.place, symbol: fault.symbol, rate: one.certain ? 1 : rate / 100, count: one.instant ? 1 : Math.round(count), duration_s: one.instant ? 0 : seconds, delay_s: one.delay ? delay / 1000 : 0 };
    const answer = await X.ask("exchange_fault", args);
    faults.send.disabled = false;
    faults.said.dataset.tone = answer.ok ? "ok" : "bad";
    D.text(faults.said, answer.ok ? `${one.label}: ordered as number ${answer.result.id}` : X.capital(answer.why));
  };
  const share = (x) => (x >= 1 ? "every time" : `${F.three(x * 100)}%`);
  X.parts.push((s, parts) => {
    const host = D.host("fault-form"), list = D.host("fault-list");
    if (!host || !s || !s.lists) return;
    if (!faults || faults.host !== host || !faults.el.isConnected) {
      faults = make(host, s);
      look();
    }
    if (s.faulted === parts.mark(s)) return;
    s.faulted = parts.mark(s);
    look();
    X.fill(faults.symbol.select, [["", "every symbol"], ...s.lists.symbols.map(([name]) => [name, name])], fault.symbol);
    if (!list.firstElementChild) list.append(D.make("div", "head", D.make("h3", ""), D.button("Stop all", "ex-stop", "vs-btn is-sm", { id: "0" })), D.make("div", "rows"), D.make("p", "vs-mut"));
    const [head, rows, done] = list.children, active = s.lists.faults;
    D.text(head.firstElementChild, active.length ? `${active.length} active` : "Nothing is broken");
    head.lastElementChild.disabled = !active.length;
    const els = D.pool(rows, active.length, () => D.make("div", "", D.make("b", ""), D.make("span", "vs-sec"), D.make("span", "vs-num"), D.make("span", "vs-num vs-left"), D.button("Stop", "ex-stop", "vs-btn is-sm")));
    active.forEach((one, i) => {
      const [name, where, times, left, stop] = els[i].children;
      D.text(name, known(one.kind).label);
      D.text(where, `${one.where}, ${share(one.rate)}`);
      D.attr(where, "title", `${one.where}, ${share(one.rate)}`);
      D.text(times, `${F.group(one.done)} done${one.left === null ? "" : `, ${F.group(one.left)} left`}`);
      D.until(left, one.ends, { form: "m", over: "0:00" });
      if (one.ends === null) D.text(left, "no end");
      stop.dataset.id = String(one.id);
      D.attr(stop, "aria-label", `Stop: ${known(one.kind).label}`);
    });
    D.text(done, s.lists.faults_done.length ? `Since the start: ${s.lists.faults_done.map(([kind, n]) => `${known(kind).label.toLowerCase()} ${F.group(n)}`).join(", ")}.` : "");
  });
  X.acts["ex-kind"] = (el) => {
    fault.kind = el.dataset.kind;
    D.text(faults.said, "");
    look();
  };
  X.acts["ex-stop"] = async (el) => {
    el.disabled = true;
    await X.order("exchange_clear_fault", { id: Number(el.dataset.id) }, "Fault stopped");
    el.disabled = false;
  };
})();
