/* Webhooks: programs that are told of alerts. A secret is held in this page's memory until it is put away: never in the
   address, the browser's storage or a log. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, X = V.exchange, A = V.alerts;
  const TEMPLATES = [["json", "JSON, signed"], ["telegram", "Telegram"], ["twilio", "Twilio SMS"]];
  // Fields of each template beside its name: [key, label, placeholder, secret].
  const FIELDS = {
    json: [["url", "Address", "where your program listens"]],
    telegram: [["token", "Bot token", "123456:ABC…", true], ["chat_id", "Chat", "123456789"]],
    twilio: [["account", "Account SID", "AC…"], ["token", "Auth token", "", true], ["from", "From number", "+15550100"], ["to", "To number", "+15550101"]],
  };
  const VERIFY = [
    "import hashlib, hmac",
    "",
    "def genuine(secret: str, header: str, body: bytes) -> bool:",
    "    # header: Venuescope-Signature of the request",
    "    part = dict(each.split(\"=\", 1) for each in header.split(\",\"))",
    "    made = hmac.new(secret.encode(), part[\"t\"].encode() + b\".\" + body, hashlib.sha256)",
    "    return hmac.compare_digest(made.hexdigest(), part[\"v1\"])",
  ].join("\n");
  const draft = { open: false, name: "", template: "json", more: {}, said: "", tone: "", busy: false };
  const kept = { name: "", secret: "" };
  let pane = null;

  const set = (changes) => {
    Object.assign(draft, { said: "", tone: "" }, changes);
    show();
  };
  const card = () => {
    const acts = D.make("span", "acts", D.button("Test", "hook-test", "vs-btn is-sm"), D.button("Remove", "hook-remove", "vs-btn is-sm is-bare is-remove"));
    return D.make("div", "hook", D.make("div", "l", D.make("b", ""), D.make("span", "vs-tag"), acts), D.make("small", "host"), D.make("small", "n"), D.make("small", "why"));
  };
  const build = (host) => {
    const p = { host };
    p.secret = D.make("div", "vs-secret");
    p.list = D.make("div", "list");
    p.none = D.make("p", "vs-sec", "A webhook is an address that is told of each firing of the rules that name it: your own program, a Telegram chat, a phone by Twilio.");
    p.add = D.make("button", "vs-btn is-sm", "Add a webhook");
    p.add.type = "button";
    p.add.addEventListener("click", () => {
      set({ open: true });
      p.name.input.focus();
    });
    p.form = document.createElement("form");
    p.form.className = "vs-form is-hook";
    p.form.noValidate = true;
    p.name = X.field("Name", draft.name, null, { inputMode: "text", placeholder: "desk", maxLength: 40 });
    p.template = X.choice("What it takes", TEMPLATES, draft.template);
    p.more = D.make("div", "vs-form is-part full");
    p.said = D.make("p", "vs-said full", "");
    p.said.setAttribute("role", "status");
    p.send = D.make("button", "vs-btn is-primary", "Add it");
    p.send.type = "submit";
    p.cancel = D.make("button", "vs-btn", "Cancel");
    p.cancel.type = "button";
    p.cancel.addEventListener("click", () => set({ open: false, name: "", more: {} }));
    p.form.append(p.name.el, p.template.el, p.more, D.make("div", "vs-alert-send full", p.send, p.cancel), p.said);
    p.name.input.addEventListener("input", () => set({ name: p.name.input.value }));
    p.template.select.addEventListener("change", () => set({ template: p.template.select.value }));
    p.form.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    host.replaceChildren(p.secret, p.none, p.list, p.add, p.form);
    return p;
  };
  const fields = () => {
    if (pane.more.dataset.of === draft.template) return;
    pane.more.dataset.of = draft.template;
    pane.more.replaceChildren(...FIELDS[draft.template].map(([key, label, placeholder, secret]) => {
      const made = X.field(label, draft.more[key] || "", null, { inputMode: "text", placeholder, maxLength: key === "url" ? 1000 : 256 });
      if (key === "url") made.el.classList.add("full");
      if (secret) made.input.type = "password";
      made.input.addEventListener("input", () => set({ more: { ...draft.more, [key]: made.input.value } }));
      return made.el;
    }));
  };
  const secret = () => {
    const key = kept.secret ? kept.name : "";
    if (pane.secret.dataset.of === key) return;
    pane.secret.dataset.of = key;
    pane.secret.replaceChildren();
    if (!key) return;
    const done = D.make("button", "vs-btn is-sm is-bare", "Put away");
    done.type = "button";
    done.addEventListener("click", () => {
      Object.assign(kept, { name: "", secret: "" });
      show();
    });
    const code = D.make("code", "", kept.secret), how = D.make("details", "", D.make("summary", "", "How a program checks the signature"), D.make("pre", "vs-code", VERIFY));
    pane.secret.append(D.make("b", "", `Secret of ${key}`), D.make("p", "vs-sec", "It is shown this once. Deliveries are signed with it."), D.make("div", "l", code, D.button("Copy", "ex-copy-secret", "vs-btn is-sm is-primary"), done), how);
  };
  const show = () => {
    const s = A.stream();
    if (!pane || !pane.list.isConnected || !s || !s.webhooks) return;
    const fixed = A.fixed("admin");
    secret();
    pane.none.hidden = s.webhooks.length > 0 || draft.open;
    const els = D.pool(pane.list, s.webhooks.length, card);
    s.webhooks.forEach((one, i) => {
      const [line, host, counts, why] = els[i].children, [name, tag, acts] = line.children;
      D.text(name, one.name);
      X.tag(tag, "", (TEMPLATES.find(([key]) => key === one.template) || [0, one.template])[1].split(",")[0]);
      D.text(host, one.host);
      D.text(counts, [`${F.group(one.delivered)} delivered`, one.waiting ? `${F.group(one.waiting)} waiting` : "", one.failed ? `${F.group(one.failed)} failed` : ""].filter(Boolean).join(" · "));
      D.text(why, one.detail ? X.capital(one.detail) : "");
      D.attr(why, "title", one.detail || null);
      for (const button of acts.children) {
        if (button.dataset.name !== one.name) {
          button.dataset.name = one.name;
          X.unsure(button);
        }
        if (button.disabled !== Boolean(fixed) && !button.dataset.busy) button.disabled = Boolean(fixed);
        D.attr(button, "title", fixed || null);
        D.attr(button, "aria-label", `${button.dataset.act === "hook-test" ? "Test" : "Remove"} the webhook ${one.name}`);
      }
    });
    pane.add.hidden = draft.open;
    pane.add.disabled = Boolean(fixed);
    D.attr(pane.add, "title", fixed || null);
    pane.form.hidden = !draft.open;
    if (!draft.open) return;
    fields();
    X.fill(pane.template.select, TEMPLATES, draft.template);
    if (document.activeElement !== pane.name.input && pane.name.input.value !== draft.name) pane.name.input.value = draft.name;
    pane.send.disabled = draft.busy || Boolean(fixed) || !draft.name.trim() || FIELDS[draft.template].some(([key]) => !(draft.more[key] || "").trim());
    D.text(pane.said, draft.said || fixed);
    D.attr(pane.said, "data-tone", draft.said ? draft.tone : "mut");
  };
  const send = async () => {
    if (pane.send.disabled) return;
    const name = draft.name.trim(), more = {};
    for (const [key] of FIELDS[draft.template]) if ((draft.more[key] || "").trim()) more[key] = draft.more[key].trim();
    set({ busy: true });
    const answer = await X.ask("webhook_add", { name, template: draft.template, ...more });
    window.dash_clientside.set_props("shell-toast", { data: null }); // the answer held the secret
    draft.busy = false;
    if (!answer.ok) return set({ said: X.capital(answer.why), tone: "bad" });
    const signed = Boolean(answer.result.secret) && draft.template === "json";
    if (signed) Object.assign(kept, { name, secret: answer.result.secret });
    delete pane.more.dataset.of;
    set({ open: false, name: "", more: {}, template: "json" });
    if (signed) pane.secret.scrollIntoView({ block: "nearest" });
    V.say(`Webhook ${name} added`);
  };
  Object.assign(A.acts, {
    "hook-test": async (el) => {
      const { name } = el.dataset;
      el.disabled = true;
      el.dataset.busy = "1";
      const answer = await A.order("webhook_test", { name }, "Test sent");
      delete el.dataset.busy;
      el.disabled = false;
      if (!answer.ok) return;
      const { arrived, detail } = answer.result; // arrived is not there while nothing is known
      D.toast(`Test of ${name}${arrived === false ? " failed" : ""}`, X.capital(detail || "It is on its way"), arrived === undefined ? "info" : arrived ? "done" : "warn");
    },
    "hook-remove": async (el) => {
      if (!X.twice(el, "Sure?")) return;
      X.unsure(el);
      el.disabled = true;
      await A.order("webhook_remove", { name: el.dataset.name }, "Webhook removed");
      el.disabled = false;
    },
  });
  A.parts.push(() => {
    const host = D.host("alert:webhooks");
    if (!host) return;
    if (!pane || pane.host !== host || !pane.list.isConnected) pane = build(host);
    show();
  });
})();
