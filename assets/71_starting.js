/* What is said once for all panels while the engine compiles: how far it is, how long it may still take. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom;
  const steps = { done: -1, at: 0 }; // when the newest of them was done, seconds after the start

  // As long for each that is left as those that are done took, in steps that do not pretend to be exact.
  const expected = (done, total, spent) => {
    if (!done) return "a minute or two in all";
    const left = done < total ? (steps.at / done) * total - spent : 0;
    return left > 90 ? `about ${Math.round(left / 60)} min left` : left > 5 ? `about ${Math.ceil(left / 10) * 10} s left` : "nearly there";
  };
  V.starting = () => {
    const host = D.host("starting"), engine = (V.store.answer && V.store.answer.engine) || {};
    if (!host) return;
    if (engine.state !== "compiling" || V.link.gone()) {
      if (host.firstElementChild) host.replaceChildren();
      return;
    }
    if (!host.firstElementChild) {
      const meter = D.make("div", "vs-meter", D.make("i", ""));
      meter.setAttribute("role", "meter");
      meter.setAttribute("aria-label", "Kernels compiled");
      meter.setAttribute("aria-valuemin", "0");
      const row = D.make("div", "vs-line", D.make("b", ""), D.make("span", "vs-sec"));
      host.append(D.make("div", "vs-starting", row, meter, D.make("p", "vs-sec", "After an installation or an update alone: other starts take them from the cache.")));
    }
    const [row, meter] = host.firstElementChild.children;
    const [done, total] = engine.kernels || [0, 0], spent = engine.uptime_s + Math.max(0, Date.now() - V.link.at) / 1000;
    if (steps.done !== done) Object.assign(steps, { done, at: spent });
    D.text(row.children[0], total && done >= total ? "Loading compiled kernels" : `Compiling kernels: ${done} of ${total}`);
    D.text(row.children[1], `${F.span(spent)} so far, ${expected(done, total, spent)}`);
    meter.firstElementChild.style.width = `${(100 * done) / Math.max(1, total)}%`;
    D.attr(meter, "aria-valuenow", String(done));
    D.attr(meter, "aria-valuemax", String(total));
  };
})();
