/* The form that makes a rule, chosen or typed. What is typed lives here, so that it outlives every refresh. */
(() => {
  "use strict";
  const V = window.venuescope;
  const D = V.dom, X = V.exchange, A = V.alerts;
  const draft = { by: "choose", metric: "spread_bp", symbol: "", venue: "", above: true, threshold: "", seconds: "5", webhooks: [], text: "", stage: "", id: "", said: "", tone: "", busy: false };
  let form = null;

  const slashed = (symbol) => symbol.replace("-", "/");
  const long = (seconds) => (seconds <= 0 ? "" : seconds % 60 === 0 ? ` for ${seconds / 60} m` : ` for ${seconds} s`);
  const looked = () => ((V.store.answer || {}).market || {}).symbol || "BTC-USDT";
  // The sentence of a rule, as the engine writes it.
  A.sentence = (rule) => {
    const m = A.metric(rule.metric), of = m.ofSymbol ? `${slashed(rule.symbol)} ${m.words}` : rule.stage ? `${m.words} of ${rule.stage}` : m.words;
    return `${of} on ${rule.venue || "any venue"} ${rule.above ? "above" : "below"} ${rule.threshold}${m.unit ? ` ${m.unit}` : ""}${long(rule.for_s)}`;
  };
  A.examples = () => {
    const symbol = looked(), rule = (metric, threshold, for_s) => ({ metric, symbol: A.metric(metric).ofSymbol ? symbol : "", venue: "", above: true, threshold, for_s });
    return [rule("spread_bp", "5", 5), rule("p99_ms", "250", 10), rule("stale_s", "10", 2)];
  };
  const decimal = (text) => (/^-?\d{1,15}(\.\d{1,12})?$/.test(text) ? text : null);
  // The rule that is chosen, or {why}.
  const rule = () => {
    const m = A.metric(draft.metric), threshold = draft.threshold.replace(/[,\s]/g, ""), seconds = draft.seconds.trim();
    const symbol = draft.symbol.trim().toUpperCase().replace(/\//g, "-");
    if (m.ofSymbol && !symbol) return { why: "Choose a symbol", at: "symbol" };
    if (threshold === "") return { why: "Type the threshold", at: "threshold", calm: true };
    if (decimal(threshold) === null) return { why: `${draft.threshold} is not a number such as ${m.example}`, at: "threshold" };
    if (!/^\d{1,6}(\.\d{1,3})?$/.test(seconds)) return { why: "For how long is a number of seconds, 0 or more", at: "seconds" };
    return { metric: draft.metric, symbol: m.ofSymbol ? symbol : "", venue: draft.venue, above: draft.above, threshold, for_s: Number(seconds), ...(draft.metric === "p99_ms" && draft.stage ? { stage: draft.stage } : {}) };
  };
  const set = (changes) => {
    Object.assign(draft, { said: "", tone: "" }, changes);
    show();
  };
  const clear = () => set({ id: "", threshold: "", text: "", stage: "" });
  // Whether there was an edit to leave.
  A.leave = () => {
    if (!draft.id || !form || !form.el.isConnected) return false;
    clear();
    if (document.activeElement === form.threshold.input) form.threshold.input.value = ""; // what is typed into is left alone by `show`
    return true;
  };

  const build = (host) => {
    const el = document.createElement("form"), f = { el, host };
    el.className = "vs-form is-alert";
    el.noValidate = true;
    f.by = D.make("div", "vs-seg is-full full", ...[["choose", "Choose"], ["type", "Type a sentence"]].map(([value, text]) => {
      const button = D.make("button", "", text);
      button.type = "button";
      button.dataset.by = value;
      button.addEventListener("click", () => set({ by: value, text: value === "type" && !draft.text && !rule().why ? A.sentence(rule()) : draft.text }));
      return button;
    }));
    f.by.setAttribute("role", "group");
    f.by.setAttribute("aria-label", "How the rule is made");
    f.metric = X.choice("What", [], draft.metric);
    f.symbol = X.field("Symbol", draft.symbol, null, { inputMode: "text", placeholder: "BTC-USDT", maxLength: 40 });
    f.names = document.createElement("datalist");
    f.names.id = "alert-symbols";
    f.symbol.input.setAttribute("list", f.names.id);
    f.venue = X.choice("Venue", [], draft.venue);
    f.sides = D.make("div", "vs-seg is-full", ...[[true, "Above"], [false, "Below"]].map(([above, text]) => {
      const button = D.make("button", "", text);
      button.type = "button";
      button.addEventListener("click", () => set({ above }));
      return button;
    }));
    f.sides.setAttribute("role", "group");
    f.sides.setAttribute("aria-label", "Above or below the threshold");
    f.side = D.make("div", "vs-field", D.make("span", "", "Fires when it is"), f.sides);
    f.threshold = X.field("Threshold", draft.threshold, "bp", { maxLength: 20 });
    f.seconds = X.field("For at least", draft.seconds, "s", { maxLength: 10 });
    f.chosen = D.make("div", "vs-form is-part full", f.metric.el, f.symbol.el, f.venue.el, f.side, f.threshold.el, f.seconds.el, f.names);
    f.text = document.createElement("textarea");
    Object.assign(f.text, { rows: 3, maxLength: 200, spellcheck: false, placeholder: "BTC/USDT spread on any venue above 5 bp for 5 s" });
    f.text.setAttribute("aria-label", "The rule as a sentence");
    f.such = D.make("div", "vs-presets", D.make("span", "vs-lab", "Such as"));
    f.typed = D.make("div", "vs-alert-typed full", D.make("label", "vs-field", D.make("span", "", "The rule as a sentence"), f.text), f.such);
    f.hooks = D.make("div", "vs-alert-hooks");
    f.hooks.setAttribute("role", "group");
    f.hooks.setAttribute("aria-label", "Webhooks that are told");
    f.tells = D.make("div", "vs-field full", D.make("span", "", "Told besides this page"), f.hooks);
    f.says = D.make("p", "vs-alert-says full", "");
    f.said = D.make("p", "vs-said full", "");
    f.said.setAttribute("role", "status");
    f.send = D.make("button", "vs-btn is-primary", "Make this rule");
    f.send.type = "submit";
    f.cancel = D.make("button", "vs-btn", "Cancel");
    f.cancel.type = "button";
    f.cancel.addEventListener("click", clear);
    el.append(f.by, f.chosen, f.typed, f.tells, f.says, D.make("div", "vs-alert-send full", f.send, f.cancel), f.said);
    f.metric.select.addEventListener("change", () => set({ metric: f.metric.select.value, stage: "" }));
    f.venue.select.addEventListener("change", () => set({ venue: f.venue.select.value }));
    for (const key of ["symbol", "threshold", "seconds"]) f[key].input.addEventListener("input", () => set({ [key]: f[key].input.value }));
    f.text.addEventListener("input", () => set({ text: f.text.value }));
    f.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      send();
    });
    el.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    host.replaceChildren(el);
    return f;
  };
  const fill = (input, value) => {
    if (document.activeElement !== input && input.value !== value) input.value = value;
  };
  const show = () => {
    const s = A.stream();
    if (!form || !form.el.isConnected || !s || !s.metrics) return;
    const typing = draft.by === "type", m = A.metric(draft.metric), fixed = A.fixed(), now = rule();
    for (const button of form.by.children) D.attr(button, "aria-pressed", String(button.dataset.by === draft.by));
    form.chosen.hidden = typing;
    form.typed.hidden = !typing;
    X.fill(form.metric.select, s.metrics.map(([name, label]) => [name, label]), draft.metric);
    X.fill(form.venue.select, [["", "Any venue"], ...A.venues()], draft.venue);
    const symbols = [...new Set(((V.store.answer || {}).sources || []).flatMap((one) => one.symbols || []))].sort().slice(0, 200), key = symbols.join();
    if (form.names.dataset.was !== key) {
      form.names.dataset.was = key;
      form.names.replaceChildren(...symbols.map((name) => Object.assign(document.createElement("option"), { value: name })));
    }
    if (!draft.symbol && document.activeElement !== form.symbol.input) draft.symbol = looked();
    fill(form.symbol.input, m.ofSymbol ? draft.symbol : "");
    form.symbol.input.disabled = !m.ofSymbol;
    form.symbol.input.placeholder = m.ofSymbol ? "BTC-USDT" : "of the whole venue";
    fill(form.threshold.input, draft.threshold);
    form.threshold.input.placeholder = m.example;
    D.text(form.threshold.unit, m.unit || (m.ofSymbol ? (draft.symbol.toUpperCase().split(/[-/]/)[1] || "").slice(0, 6) : ""));
    fill(form.seconds.input, draft.seconds);
    fill(form.text, draft.text);
    [...form.sides.children].forEach((button, i) => D.attr(button, "aria-pressed", String(draft.above === (i === 0))));
    const examples = A.examples().map(A.sentence);
    const such = D.pool(form.such, examples.length + 1, () => {
      const button = D.make("button", "is-quote", "");
      button.type = "button";
      button.addEventListener("click", () => set({ text: button.textContent }));
      return button;
    });
    examples.forEach((text, i) => D.text(such[i + 1], text));
    draft.webhooks = draft.webhooks.filter((name) => s.webhooks.some((one) => one.name === name));
    const hooks = D.pool(form.hooks, Math.max(1, s.webhooks.length), () => {
      const button = D.make("button", "vs-chip is-hook", "");
      button.type = "button";
      button.addEventListener("click", () => button.dataset.name && set({ webhooks: draft.webhooks.includes(button.dataset.name) ? draft.webhooks.filter((x) => x !== button.dataset.name) : [...draft.webhooks, button.dataset.name] }));
      return button;
    });
    if (!s.webhooks.length) {
      hooks[0].dataset.name = "";
      hooks[0].disabled = true;
      D.text(hooks[0], "No webhook yet");
      D.attr(hooks[0], "aria-pressed", null);
    }
    s.webhooks.forEach((one, i) => {
      hooks[i].dataset.name = one.name;
      hooks[i].disabled = false;
      D.text(hooks[i], one.name);
      D.attr(hooks[i], "aria-pressed", String(draft.webhooks.includes(one.name)));
    });
    form.says.hidden = typing;
    D.text(form.says, now.why && !now.calm ? now.why : A.reads(A.sentence(now.why ? { ...draft, symbol: draft.symbol.trim().toUpperCase().replace(/\//g, "-"), threshold: "…", for_s: Number(draft.seconds) || 0 } : now)));
    D.attr(form.says, "data-tone", now.why ? (now.calm ? "mut" : "bad") : null);
    for (const name of ["symbol", "threshold", "seconds"]) D.attr(form[name].input, "aria-invalid", !typing && now.at === name && !now.calm ? "true" : null);
    D.text(form.el.closest(".vs-panel").querySelector("h2"), draft.id ? "Edit rule" : "New rule");
    D.text(form.send, draft.id ? "Save the rule" : "Make this rule");
    form.cancel.hidden = !draft.id;
    form.send.disabled = draft.busy || Boolean(fixed) || (typing ? !draft.text.trim() : Boolean(now.why));
    D.text(form.said, draft.said || fixed);
    D.attr(form.said, "data-tone", draft.said ? draft.tone : fixed ? "mut" : "");
    D.put("sub.alert-form", draft.id ? "Changes a rule that is there" : "");
  };
  const send = async () => {
    const now = rule(), typing = draft.by === "type", editing = draft.id;
    if (form.send.disabled || draft.busy) return;
    set({ busy: true });
    const args = { ...(typing ? { text: draft.text.trim().replace(/\s+/g, " ") } : now), webhooks: [...draft.webhooks] };
    const answer = await X.ask(editing ? "alert_change" : "alert_add", editing ? { id: editing, ...args } : args);
    Object.assign(draft, { busy: false });
    if (!answer.ok) return set({ said: X.capital(answer.why), tone: "bad" });
    Object.assign(draft, { id: "", text: "", stage: "", threshold: editing ? "" : draft.threshold });
    set({ said: editing ? "Saved" : "Made; it is watched from now on", tone: "ok" });
    setTimeout(() => draft.tone === "ok" && set({}), 5000);
    V.say(editing ? "Rule saved" : "Rule made");
  };
  A.acts["alert-edit"] = (el) => {
    const found = ((A.stream() || {}).rules || []).find((one) => one.id === el.dataset.id);
    if (!found) return;
    set({ by: "choose", id: found.id, metric: found.metric, symbol: found.symbol || looked(), venue: found.venue, above: found.above, threshold: found.threshold, seconds: String(found.for_s), webhooks: [...found.webhooks], text: found.text, stage: (/^p99 of (\w+) /.exec(found.text) || [])[1] || "" });
    for (const key of ["symbol", "threshold", "seconds"]) form[key].input.value = draft[key];
    form.el.scrollIntoView({ block: "nearest" });
    form.threshold.input.focus();
    form.threshold.input.select();
  };
  A.parts.push(() => {
    const host = D.host("alert:form");
    if (!host) return;
    if (!form || form.host !== host || !form.el.isConnected) form = build(host);
    show();
  });
})();
