/* Orders and trades of one account: open ones can be changed in their row, and canceled. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, X = V.exchange;
  const STATUS = { new: "", partially_filled: "is-info", filled: "is-ok", rejected: "is-bad", expired: "is-warn", armed: "is-info" };

  const HEADS = {
    open: [["Time, UTC", ""], ["Symbol", ""], ["Side", ""], ["Type", ""], ["Price", "n"], ["Trigger", "n"], ["Size", "n"], ["Filled", "n"], ["State", ""], ["From", "vs-hide-l"], ["", "n"]],
    done: [["Ended, UTC", ""], ["Symbol", ""], ["Side", ""], ["Type", ""], ["Price", "n"], ["Average", "n"], ["Size", "n"], ["Filled", "n"], ["State", ""], ["Why", ""]],
    fills: [["Time, UTC", ""], ["Symbol", ""], ["Side", ""], ["Price", "n"], ["Size", "n"], ["Fee", "n"], ["Role", ""], ["Order", "n"], ["Trade", "n"]],
  };
  const side = (one) => ({ text: one === "buy" ? "▲ Buy" : "▼ Sell", tone: one === "buy" ? "up" : "down" });
  const status = (order) => ({
    draw(td) {
      if (!td.firstElementChild) td.append(D.make("span", "vs-tag"));
      X.tag(td.firstElementChild, STATUS[order.status], X.word(order.status));
    },
  });
  const editing = { id: "", busy: false, why: "" };
  const redraw = () => {
    if (X.stream()) X.stream().listed = "";
    X.update(X.last);
  };
  const input = (label, value) => {
    const el = document.createElement("input");
    Object.assign(el, { type: "text", inputMode: "decimal", autocomplete: "off", value });
    el.setAttribute("aria-label", label);
    return el;
  };
  const edit = (order) => {
    Object.assign(editing, { id: order.id, busy: false, why: "" });
    redraw();
    const row = document.querySelector(`[data-order="${order.id}"]`);
    if (row) row.querySelector("input").select();
  };
  const save = async (tr) => {
    if (editing.busy) return;
    const [price, size] = tr.querySelectorAll("input"), order = found(tr);
    editing.why = !order ? "The order is not open any more" : V.link.gone() ? "Disconnected: nothing can be sent"
      : X.lacks("Price", price.value, X.places(order.price)) || X.lacks("Open size", size.value, X.places(order.size));
    if (editing.why) return redraw();
    editing.busy = true;
    for (const el of tr.querySelectorAll("input, button")) el.disabled = true;
    const asked = { account: X.account().name, order_id: tr.dataset.order, price: X.plain(price.value).text, size: X.plain(size.value).text };
    const answer = await X.ask("exchange_replace", asked);
    editing.busy = false;
    editing.why = answer.ok ? "" : X.why(answer.why);
    if (answer.ok) {
      V.say("Order replaced");
      editing.id = "";
    } else for (const el of tr.querySelectorAll("input, button")) el.disabled = false;
    redraw();
  };
  // A cell that is text, or a field while its order is changed; a field that is typed into is never drawn again.
  const changeable = (order, label, value, start = value) => ({
    cls: "n",
    draw(td) {
      const field = td.querySelector("input");
      if (editing.id === order.id) {
        if (field && field.dataset.of === order.id) return;
        const made = input(`${label} of order ${order.id}`, start);
        made.dataset.of = order.id;
        made.addEventListener("keydown", (event) => {
          if (event.key === "Enter" && !event.repeat) save(td.closest("tr"));
          else if (event.key === "Escape") {
            event.stopPropagation();
            X.acts["ex-leave"]();
          }
        });
        td.replaceChildren(D.make("span", "vs-inp is-cell", made));
        return;
      }
      if (td.firstElementChild) td.replaceChildren();
      D.text(td, X.grouped(value));
    },
  });
  const tools = (order) => ({
    cls: "n acts",
    draw(td) {
      const mode = editing.id === order.id ? "save" : "edit", key = `${mode}/${order.id}`, why = mode === "save" ? editing.why : "";
      td.closest("tr").classList.toggle("is-refused", Boolean(why));
      if (td.dataset.was === key) return D.text(td.querySelector(".vs-why"), why);
      td.dataset.was = key;
      const said = D.make("div", "vs-why", why);
      said.setAttribute("role", "alert");
      const make = (sign, act, label, cls = "vs-btn is-bare is-icon is-sm") => {
        const el = D.button(sign, act, cls, { order: order.id });
        el.setAttribute("aria-label", label);
        el.title = label;
        return el;
      };
      const price = order.price !== "";
      td.replaceChildren(...(mode === "save"
        ? [make("Save", "ex-save", "Replace the order", "vs-btn is-sm is-primary"), make(D.icon("x"), "ex-leave", "Leave it as it is"), said]
        : [price ? make("Change", "ex-edit", `Change price or size of order ${order.id}`, "vs-btn is-bare is-sm") : null, make("Cancel", "ex-cancel", `Cancel order ${order.id}`, "vs-btn is-bare is-sm is-danger")].filter(Boolean)));
    },
  });
  const orders = (s, parts) => {
    const host = D.host("my-orders"), a = s.account, which = V.state.exlist;
    const all = document.querySelector('[data-act="ex-cancel-all"]');
    const idle = !a || a.open_count === 0 || Boolean(V.link.gone()) || !X.trades();
    if (all && all.disabled !== idle) all.disabled = idle;
    if (!host || !a) return;
    const key = `${parts.mark(s)}/${which}/${editing.id}/${V.link.gone() ? "gone" : ""}`;
    if (s.listed === key) return;
    s.listed = key;
    for (const el of document.querySelectorAll('[data-key="exlist"]')) {
      const count = { open: a.open_count, done: a.ended.length, fills: a.fills.length }[el.dataset.value];
      D.text(el, `${{ open: "Open", done: "Done", fills: "Trades" }[el.dataset.value]} ${el.dataset.value !== "open" && count >= 50 ? "50+" : F.group(count)}`);
    }
    if (host.dataset.which !== which) {
      host.dataset.which = which;
      const head = D.make("thead", "", D.make("tr", "", ...HEADS[which].map(([text, cls]) => {
        const th = D.make("th", cls, text);
        th.scope = "col";
        return th;
      })));
      const table = D.make("table", "vs-tab", head, D.make("tbody", ""));
      const box = D.make("div", "vs-scroll", table);
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "Orders and trades");
      host.replaceChildren(box);
    }
    const body = host.querySelector("tbody"), { n } = parts;
    const time = (t) => ({ text: V.otherDay(t) ? `${V.otherDay(t).slice(5)} ${F.time(t)}` : F.time(t), cls: "vs-sec" });
    if (which === "fills") {
      D.table(body, a.fills.map((f) => [
        time(f.t), { text: f.symbol, cls: "name" }, side(f.side), n(X.grouped(f.price)), n(X.grouped(f.size)), n(`${X.trimmed(f.fee)} ${f.fee_asset}`),
        { text: f.maker ? "maker" : "taker", cls: "vs-sec" }, n(f.order, "mut"), n(f.id, "mut"),
      ]));
      return;
    }
    if (which === "done") {
      D.table(body, a.ended.map((o) => [
        time(o.updated), { text: o.symbol, cls: "name" }, side(o.side), X.word(o.kind), n(X.grouped(o.price)), n(X.grouped(o.average)),
        n(X.grouped(o.size)), n(X.grouped(o.filled)), status(o), { text: o.reason || "–", cls: "wide", tone: o.reason ? "" : "mut" },
      ]));
      return;
    }
    if (editing.id && !a.open.some((o) => o.id === editing.id) && !editing.busy) editing.id = "";
    // The row that is being changed stands where it stood: the others move round it.
    const list = [...a.open], held = body.querySelector("tr[data-order] input");
    if (held) {
      const was = [...body.children].indexOf(held.closest("tr")), now = list.findIndex((o) => o.id === editing.id);
      if (now >= 0 && was >= 0 && was < list.length && now !== was) list.splice(was, 0, ...list.splice(now, 1));
    }
    D.table(body, list.map((o) => [
      time(o.created), { text: o.symbol, cls: "name" }, side(o.side), X.word(o.kind), changeable(o, "Price", o.price), n(X.grouped(o.trigger), o.trigger ? "" : "mut"),
      changeable(o, "Open size", o.size, X.minus(o.size, o.filled || "0")), n(X.grouped(o.filled), Number(o.filled) ? "" : "mut"), status(o), { text: o.dialect || "unknown", cls: "vs-sec vs-hide-l" }, tools(o),
    ]));
    [...body.children].forEach((tr, i) => {
      if (tr.dataset.order !== list[i].id) tr.dataset.order = list[i].id;
    });
  };
  const found = (el) => (X.account() || { open: [] }).open.find((o) => o.id === el.dataset.order);
  Object.assign(X.acts, {
    "ex-edit": (el) => found(el) && edit(found(el)),
    "ex-save": (el) => save(el.closest("tr")),
    "ex-leave": () => {
      if (editing.busy) return;
      Object.assign(editing, { id: "", why: "" });
      redraw();
    },
    "ex-cancel": async (el) => {
      const account = X.account();
      if (!account || el.disabled) return;
      el.disabled = true;
      await X.order("exchange_cancel", { account: account.name, order_id: el.dataset.order }, "Order canceled");
      el.disabled = false;
    },
    "ex-cancel-all": async (el) => {
      const account = X.account();
      if (!account || !account.open_count || !X.twice(el, `Cancel all ${F.group(account.open_count)}?`)) return;
      X.unsure(el);
      el.disabled = true;
      for (const [symbol] of X.stream().lists.symbols) {
        const answer = await X.order("exchange_cancel_all", { account: account.name, symbol });
        if (!answer.ok) break;
      }
      V.say("All orders canceled");
      X.stream().listed = "";
    },
  });

  X.parts.push((s, parts) => {
    if (s && s.head) orders(s, parts);
  });
})();
