/* Keys of the built-in exchange, and programs to connect with. A secret is held in this page's memory alone, until
   it is reloaded: never in the address, the browser's storage or a log. */
(() => {
  "use strict";
  const V = window.venuescope;
  const D = V.dom, F = V.format, X = V.exchange;
  const secrets = new Map(); // API key -> secret, of keys made in this page
  const draft = { account: "", label: "", trade: true };
  const chosen = { key: "" };
  const short = (key) => (key.length > 16 ? `${key.slice(0, 6)}…${key.slice(-4)}` : key);

  const copy = async (text, el) => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "vs-vh";
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    const was = el.dataset.word || el.textContent;
    el.dataset.word = was;
    D.text(el, done ? "Copied" : "Press Ctrl+C");
    V.say(done ? "Copied" : "Not copied");
    setTimeout(() => D.text(el, was), 1500);
  };

  const create = async (account, label, trade) => {
    const answer = await X.ask("exchange_create_key", { account, label, trade });
    window.dash_clientside.set_props("shell-toast", { data: null }); // the answer held the secret
    if (answer.ok && answer.result.api_key) {
      secrets.set(answer.result.api_key, answer.result.secret);
      chosen.key = answer.result.api_key;
      V.set({ account: answer.result.account });
    }
    X.update(X.last);
    return answer;
  };

  // ---------- programs ----------
  const MARK = /\{\{(url|socket|key|secret)\}\}/g;
  const WORDS = { python: /^(import|from|as|def|async|await|with|return|if|else|while|not|for|in|pass|print)$/, shell: /^(curl|openssl|printf|sed|awk|cut|date)$/ };
  // Words, texts and remarks in colours of their own: spans with text, never markup from data.
  const coloured = (text, language) => {
    const out = [], words = WORDS[language] || WORDS.python;
    for (const [piece] of text.matchAll(/"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|#[^\n]*|[A-Za-z_]\w*|[^A-Za-z_"'#]+|["'#]/g)) {
      const cls = /^["']./.test(piece) ? "s" : /^#/.test(piece) ? "c" : words.test(piece) ? "k" : "";
      out.push(cls ? D.make("span", cls, piece) : piece);
    }
    return out;
  };
  const text = (snippet, s, key) => {
    const socket = s.head.order_url || s.head.url.replace(/^http/, "ws");
    const values = { url: s.head.url, socket, key: key ? key.api_key : "API KEY", secret: key && secrets.has(key.api_key) ? secrets.get(key.api_key) : "SECRET" };
    return snippet.text.replace(MARK, (_, name) => values[name]);
  };
  const build = (host) => {
    const c = { host };
    c.tabs = D.make("div", "vs-tabs");
    c.tabs.setAttribute("role", "tablist");
    c.tabs.setAttribute("aria-label", "Client library");
    const select = document.createElement("select");
    select.setAttribute("aria-label", "API key of the program");
    select.addEventListener("change", () => {
      chosen.key = select.value;
      X.update(X.last);
    });
    c.select = select;
    c.fresh = D.button("New key", "ex-first-key", "vs-btn is-sm");
    c.copy = D.button("Copy", "ex-copy", "vs-btn is-sm is-primary");
    c.note = D.make("span", "vs-note-text");
    c.line = D.make("div", "vs-keyline", D.make("span", "vs-sel is-sm", select), c.fresh, c.note, c.copy);
    c.code = D.make("pre", "vs-code", D.make("code", ""));
    c.code.tabIndex = 0;
    host.replaceChildren(c.tabs, c.line, c.code);
    return c;
  };
  let pane = null;
  X.parts.push((s) => {
    const host = D.host("connect"), list = (V.specs && V.specs.snippets) || [];
    if (!host || !s || !s.head || !s.lists || !list.length) return;
    if (!pane || pane.host !== host || !pane.tabs.isConnected) pane = build(host);
    const snippet = list.find((one) => one.id === V.state.snippet) || list[0];
    const tabs = D.pool(pane.tabs, list.length, () => {
      const el = D.button("", "set", "", { key: "snippet" });
      el.setAttribute("role", "tab");
      return el;
    });
    list.forEach((one, i) => {
      D.text(tabs[i], one.label);
      tabs[i].dataset.value = one.id;
      D.attr(tabs[i], "aria-selected", String(one === snippet));
    });
    const keys = s.lists.keys, mine = keys.filter((one) => one.account === (X.account() || {}).name);
    const key = keys.find((one) => one.api_key === chosen.key) || mine.find((one) => secrets.has(one.api_key)) || mine[0] || keys[0] || null;
    pane.select.parentElement.hidden = !keys.length;
    X.fill(pane.select, keys.map((one) => [one.api_key, `${short(one.api_key)} · ${one.account}${one.label ? ` · ${one.label}` : ""}${one.trade ? "" : " · read only"}`]), key ? key.api_key : "");
    D.text(pane.fresh, keys.length ? "New key" : "Create a key");
    pane.fresh.classList.toggle("is-primary", !keys.length);
    pane.copy.hidden = !keys.length;
    const has = key && secrets.has(key.api_key);
    D.text(pane.note, !keys.length ? "There is no key yet: one press makes it, and puts it in here." : has ? "The secret is in it, until this page is reloaded." : "Fill in its secret: it is not kept here.");
    pane.note.dataset.tone = has ? "warn" : "";
    D.put("sub.connect", `${snippet.needs}; then run it as it stands`);
    const words = text(snippet, s, key);
    if (pane.code.firstElementChild.textContent !== words) pane.code.firstElementChild.replaceChildren(...coloured(words, snippet.language));
    pane.words = words;
  });
  Object.assign(X.acts, {
    "ex-copy": (el) => pane && copy(pane.words, el),
    "ex-copy-secret": (el) => copy(el.previousElementSibling.textContent, el),
    "ex-first-key": async (el) => {
      el.disabled = true;
      const answer = await create((X.account() || { name: "main" }).name, "", true);
      el.disabled = false;
      if (!answer.ok) D.toast("No key was made", answer.why);
      else V.say("A key was made");
    },
    "ex-known": () => {
      form.shown = "";
      X.update(X.last);
    },
  });

  // ---------- keys ----------
  let form = null;
  const make = (host) => {
    const el = document.createElement("form"), f = { el, host, shown: "" };
    el.className = "vs-form is-key";
    el.noValidate = true;
    f.account = X.field("Account", draft.account, null, { inputMode: "text", placeholder: "main", maxLength: 40 });
    f.label = X.field("Label", draft.label, null, { inputMode: "text", placeholder: "what it is for", maxLength: 40 });
    const accounts = document.createElement("datalist");
    accounts.id = "exchange-accounts";
    f.accounts = accounts;
    f.account.input.setAttribute("list", accounts.id);
    f.trade = X.switched("May trade", draft.trade, (on) => (draft.trade = on));
    f.send = D.make("button", "vs-btn is-primary", "Create key");
    f.send.type = "submit";
    f.said = D.make("p", "vs-said full", "");
    f.said.setAttribute("role", "status");
    const secret = D.make("code", ""), done = D.button("I have it", "ex-known", "vs-btn is-sm");
    f.secret = secret;
    f.box = D.make("div", "vs-secret full", D.make("p", "", ""), D.make("div", "line", secret, D.button("Copy", "ex-copy-secret", "vs-btn is-sm is-primary"), done));
    f.box.hidden = true;
    el.append(f.account.el, f.label.el, D.make("div", "vs-line full", f.trade.el, f.send), f.said, f.box, accounts);
    for (const key of ["account", "label"]) f[key].input.addEventListener("input", () => (draft[key] = f[key].input.value));
    el.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (f.send.disabled) return;
      f.send.disabled = true;
      const answer = await create(draft.account.trim() || "main", draft.label.trim(), draft.trade);
      f.send.disabled = false;
      f.said.dataset.tone = "bad";
      D.text(f.said, X.capital(answer.why));
      if (answer.ok) f.shown = answer.result.api_key;
      X.update(X.last);
    });
    host.replaceChildren(el);
    return f;
  };
  X.parts.push((s) => {
    const host = D.host("key-form"), list = D.host("key-list");
    if (!host || !s || !s.lists) return;
    if (!form || form.host !== host || !form.el.isConnected) form = make(host);
    const names = s.lists.accounts.join();
    if (form.accounts.dataset.was !== names) {
      form.accounts.dataset.was = names;
      form.accounts.replaceChildren(...s.lists.accounts.map((name) => Object.assign(document.createElement("option"), { value: name })));
    }
    const shown = form.shown && secrets.has(form.shown);
    if (form.box.hidden === Boolean(shown)) form.box.hidden = !shown;
    if (shown) {
      D.text(form.box.firstElementChild, `Secret of ${short(form.shown)}. It is not shown again; the programs under Trade have it until this page is reloaded.`);
      D.text(form.secret, secrets.get(form.shown));
    } else D.text(form.secret, "");
    const keys = [...s.lists.keys].sort((a, b) => b.created - a.created);
    const rows = D.pool(list, keys.length, () => D.make("div", "", D.make("code", ""), D.make("span", "vs-sec"), D.make("span", "vs-tag"), D.make("span", "vs-num vs-mut"), D.button("Revoke", "ex-revoke", "vs-btn is-sm is-danger")));
    keys.forEach((key, i) => {
      const [name, who, tag, used, revoke] = rows[i].children;
      if (revoke.dataset.of !== key.api_key) {
        X.unsure(revoke); // the row is another key's now
        revoke.dataset.of = key.api_key;
      }
      D.text(name, short(key.api_key));
      D.attr(name, "title", key.api_key);
      D.text(who, `${key.account}${key.label ? ` · ${key.label}` : ""}`);
      X.tag(tag, key.trade ? "is-info" : "", key.trade ? "trades" : "reads");
      D.text(used, key.used === null ? "not used" : `${F.age(s.at - key.used)} ago`);
      D.attr(used, "title", key.used === null ? "Not used since the start" : `Last used at ${F.time(key.used)} UTC`);
      D.attr(revoke, "aria-label", `Revoke the key ${short(key.api_key)} of ${key.account}`);
    });
  });
  X.acts["ex-revoke"] = async (el) => {
    const key = el.dataset.of;
    if (!X.twice(el, "Revoke?")) return;
    X.unsure(el);
    el.disabled = true;
    const answer = await X.order("exchange_revoke_key", { api_key: key }, "Key revoked");
    el.disabled = false;
    if (answer.ok) secrets.delete(key);
  };
})();
