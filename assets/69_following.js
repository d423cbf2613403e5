/* The off-canvas of live venues: switches, followed symbols, what is fetched at which interval. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const OFFERED = 40; // suggestions at once
  const EVERY = [0, 1, 5, 15, 30, 60, 300, 900, 3600];
  const BOOK = { SYNCED: ["live", "synced"], BUFFERING: ["resyncing", "resyncing"], STALE: ["stale", "stale"], EMPTY: ["off", "no book yet"] };
  const period = (s) => (s === 0 ? "never" : s % 3600 === 0 ? `${s / 3600} h` : s % 60 === 0 ? `${s / 60} m` : `${s} s`);

  const make = (one) => {
    const id = one.id;
    const flip = D.button("", "venue", "vs-switch", { venue: id });
    flip.setAttribute("role", "switch");
    flip.setAttribute("aria-label", `${one.label}, connected for every browser`);
    const mark = D.make("i", "swatch");
    mark.style.setProperty("--c", `var(--vs-venue-${one.colour})`);
    const head = D.make("header", "", mark, D.make("h3", "", one.label), D.make("span", "state", D.make("i", "vs-dot"), D.make("span", "")), flip);
    const say = D.make("p", "say", D.make("span", ""), D.make("span", "vs-next"), D.make("span", ""));
    const field = document.createElement("input"), list = document.createElement("datalist");
    list.id = `venue-list-${id}`;
    Object.assign(field, { type: "text", autocomplete: "off", spellcheck: false, placeholder: "Add a symbol" });
    field.setAttribute("list", list.id);
    field.setAttribute("aria-label", `Symbol to follow at ${one.label}`);
    const offer = () => suggest(id, field, list);
    field.addEventListener("focus", offer);
    field.addEventListener("input", offer);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") V.venues.add(id);
    });
    const add = D.make("div", "add", D.make("span", "vs-inp", field), list, D.button("Add", "add-symbol", "vs-btn", { venue: id }), D.make("p", "error"));
    add.lastElementChild.setAttribute("role", "alert");
    const more = D.make("div", "more", D.make("ul", "syms"), add, D.make("h4", "", "Fetched regularly"), D.make("ul", "polls"));
    const el = D.make("article", "vs-venue", head, say, more);
    el.dataset.id = id;
    return el;
  };

  const suggest = (id, field, list) => {
    const known = ((V.store.streams.listing || {}).lists || {})[id] || [], rows = V.store.streams.venues;
    const mine = new Set(rows && rows.rows ? (rows.rows.find((x) => x.id === id) || { symbols: [] }).symbols.map((x) => x.symbol) : []);
    const text = field.value.trim().toUpperCase();
    const free = known.filter((x) => !mine.has(x));
    const found = [...free.filter((x) => x.startsWith(text)), ...free.filter((x) => text && !x.startsWith(text) && x.includes(text))].slice(0, OFFERED);
    const key = found.join();
    if (list.dataset.was === key) return;
    list.dataset.was = key;
    list.replaceChildren(...found.map((x) => {
      const option = document.createElement("option");
      option.value = x;
      return option;
    }));
  };
  V.venues.add = (id) => {
    const field = document.querySelector(`.vs-venue[data-id="${id}"] input`), symbol = field ? field.value.trim().toUpperCase() : "";
    if (!symbol) {
      if (field) field.focus();
      return;
    }
    field.dataset.asked = symbol;
    const error = field.closest(".add").querySelector(".error");
    D.text(error, "");
    V.command("add_symbol", { venue: id, symbol }, (why) => {
      D.text(error, why);
      if (why) return;
      if (field.value.trim().toUpperCase() === symbol) field.value = "";
      delete field.dataset.asked;
    });
  };

  const symbols = (host, one, row) => {
    const els = D.pool(host, row.symbols.length, () => {
      const x = D.button(D.icon("x"), "remove-symbol", "vs-btn is-bare is-icon is-sm");
      return D.make("li", "", D.make("i", "vs-dot"), D.make("b", ""), D.make("span", "vs-mut"), x);
    });
    row.symbols.forEach((s, i) => {
      const [dot, name, said, x] = els[i].children, [state, word] = BOOK[s.state] || ["off", s.state];
      dot.className = V.dot(state);
      D.text(name, s.symbol);
      D.text(said, s.waiting ? "waits for a snapshot" : word);
      D.attr(name, "title", `the venue's own name: ${s.native}`);
      Object.assign(x.dataset, { venue: one.id, symbol: s.symbol });
      D.attr(x, "aria-label", `Stop following ${s.symbol} at ${one.label}`);
      D.attr(x, "title", "Stop following, for every browser");
    });
  };

  const polls = (host, one, row, now) => {
    const els = D.pool(host, row.polls.length, () => {
      const select = document.createElement("select");
      return D.make("li", "", D.make("b", ""), D.make("span", "vs-sel is-sm", select), D.make("span", "vs-mut last"), D.make("span", "vs-mut next"), D.make("span", "error"));
    });
    row.polls.forEach((p, i) => {
      const [name, box, last, next, error] = els[i].children, select = box.firstElementChild;
      D.text(name, p.endpoint);
      D.attr(name, "title", p.call);
      const choices = [...new Set([...EVERY, p.interval_s])].sort((a, b) => a - b), key = choices.join();
      if (select.dataset.was !== key) {
        select.dataset.was = key;
        select.replaceChildren(...choices.map((x) => {
          const option = D.make("option", "", x ? `every ${period(x)}` : "never");
          option.value = String(x);
          return option;
        }));
      }
      Object.assign(select.dataset, { poll: p.endpoint, venue: one.id });
      D.attr(select, "aria-label", `How often ${p.endpoint} is fetched from ${one.label}`);
      if (document.activeElement !== select && select.value !== String(p.interval_s)) select.value = String(p.interval_s);
      D.text(last, p.last ? `${F.left(now - p.last)} ago` : "not yet");
      D.until(next, p.interval_s ? p.next : null, { before: "next in ", over: "now" });
      if (!p.interval_s || !p.next) D.text(next, "");
      D.text(error, p.error);
    });
  };

  V.venues.follow = () => {
    const host = D.host("venues"), a = V.store.answer, s = V.store.streams.venues;
    if (!host || !a || !document.body.classList.contains("is-off-open") || V.state.off !== "venues") return;
    const key = a.venues.map((one) => one.id).join();
    if (host.dataset.was !== key) {
      host.dataset.was = key;
      host.replaceChildren(...a.venues.map(make));
    }
    a.venues.forEach((one, i) => {
      const el = host.children[i], [head, say, more] = el.children;
      const row = s && s.rows ? s.rows.find((x) => x.id === one.id) : null;
      const [state, , words] = V.venues.says(one), [, , told, flip] = head.children, off = state === "off";
      told.firstElementChild.className = V.dot(state);
      D.text(told.lastElementChild, state);
      D.attr(flip, "aria-checked", String(!off));
      el.dataset.state = state;
      const [front, next, back] = say.children;
      const clock = row && !F.none(row.offset_ms) ? `; its clock ${row.offset_ms > 0 ? "+" : ""}${F.group(row.offset_ms, 1)} ms, ${F.group(row.round_trip_ms, 1)} ms there and back` : "";
      if (off) D.text(front, "Off: nothing is asked of it.");
      else if (state === "reconnecting") D.text(front, `Since ${F.time(one.since)} UTC; `);
      else if (state === "connecting") D.text(front, "Opening its connections.");
      else D.text(front, row ? `${row.streams[0]} of ${row.streams[1]} connections open, ${F.group(row.frames_per_s)} frames/s${clock}` : words);
      D.until(next, state === "reconnecting" ? one.next_try : null, { before: "next try in ", over: "trying now" });
      if (state !== "reconnecting") D.text(next, "");
      D.text(back, state === "reconnecting" && one.detail ? `: ${one.detail}` : "");
      if (more.hidden !== (off || !row)) more.hidden = off || !row;
      if (off || !row) return;
      const field = more.querySelector("input");
      if (field.dataset.asked && row.symbols.some((x) => x.symbol === field.dataset.asked)) {
        field.value = "";
        delete field.dataset.asked;
      }
      symbols(more.children[0], one, row);
      polls(more.children[3], one, row, a.now);
    });
  };
})();
