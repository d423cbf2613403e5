/* A page, or one panel of it, as a picture in the theme it is seen in, under a line that says what it shows: a picture
   sent to somebody else has no address, no bar and no clock beside it. Header, figures, legend and footer are in it as
   they are on screen. The drawing library is loaded with the first picture. */
(() => {
  "use strict";
  const V = window.venuescope;
  const D = V.dom, F = V.format;
  const HEAD = 44, LINE = 22, PAD = 12, SCALE = 2;
  const NARROW = 620; // px: below it the line above becomes two, so that market and time are both there
  const ALONE = { position: "static", margin: "0", inset: "auto", transform: "none" }; // a panel, wherever it stands on the page
  const MOST = 16_000; // px: canvases of browsers end there

  let library = null;
  const load = () =>
    (library =
      library ||
      new Promise((done, failed) => {
        const el = document.createElement("script");
        el.src = "/assets/vendor/modern-screenshot.js";
        el.onload = () => done(window.modernScreenshot);
        el.onerror = () => {
          library = null;
          failed(new Error("The picture's library could not be loaded."));
        };
        document.head.append(el);
      }));

  // A picture has only what is written into it, fonts too. The library would look for them itself, by way of a <base>
  // that the content policy of this server forbids.
  const embedded = new Map(); // address -> data URL
  const embed = async (url) => {
    if (!embedded.has(url)) {
      const answer = await fetch(url), blob = answer.ok ? await answer.blob() : null;
      if (!blob) return url;
      embedded.set(url, await new Promise((done) => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.onerror = () => done(url);
        reader.readAsDataURL(blob);
      }));
    }
    return embedded.get(url);
  };
  const fonts = async () => {
    const out = [];
    for (const sheet of document.styleSheets)
      for (const rule of sheet.cssRules) {
        if (!(rule instanceof CSSFontFaceRule)) continue;
        let css = rule.cssText;
        for (const [whole, , address] of [...css.matchAll(/url\((["']?)([^"')]+)\1\)/g)])
          if (!address.startsWith("data:")) css = css.replace(whole, `url("${await embed(new URL(address, sheet.href || location.href).href)}")`);
        out.push(css);
      }
    return out.join("\n");
  };

  // What a picture says of itself; a panel of no single market names none.
  const said = (el, panel = null) => {
    const a = V.store.answer, m = a && a.market, source = V.store.primary();
    const window_s = V.state.window, span = window_s % 3600 ? `${window_s / 60} m` : `${window_s / 3600} h`;
    const when = new Date(V.state.paused && V.pausedAt ? V.pausedAt : V.last.now || Date.now()).toISOString().slice(0, 19);
    const title = el.querySelector("h1"), market = !panel || V.panels.ofMarket(panel);
    return {
      page: panel ? panel.dataset.title : title ? title.textContent : "",
      facts: [m && market ? m.symbol : "", source && market ? source.label : "", span, V.badge || ""].filter(Boolean),
      at: `${when.replace("T", " ")} UTC`,
      file: ["venuescope", m ? m.source.replace(/\W+/g, "-") : "", m ? m.symbol : "", panel ? panel.dataset.panel : el.dataset.page, when.replace(/[-:]/g, "").replace("T", "-")].filter(Boolean).join("_"),
    };
  };
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const headed = (canvas, what, scale, head) => {
    const out = document.createElement("canvas"), g = out.getContext("2d");
    out.width = canvas.width;
    out.height = canvas.height + head * scale;
    g.fillStyle = token("--vs-surface-0");
    g.fillRect(0, 0, out.width, out.height);
    g.drawImage(canvas, 0, head * scale);
    g.scale(scale, scale);
    const width = out.width / scale, two = head > HEAD, first = two ? 17 : (HEAD - 8) / 2, second = two ? first + LINE : first;
    g.fillStyle = token("--vs-surface-1");
    g.fillRect(0, 0, width, head - 8);
    g.fillStyle = token("--vs-line-1");
    g.fillRect(0, head - 9, width, 1);
    g.textBaseline = "middle";
    const font = (weight, size) => (g.font = `${weight} ${size}px ${token("--vs-font-ui")}`);
    const write = (text, x, y, weight, colour, size = 12) => {
      font(weight, size);
      g.fillStyle = token(colour);
      g.fillText(text, x, y);
      return g.measureText(text).width;
    };
    font(400, 12);
    const at = g.measureText(what.at).width, end = width - PAD - at;
    let x = PAD + write(`Venuescope  ${what.page}`, PAD, first, 600, "--vs-text-1", 13) + 16;
    if (two) x = PAD;
    for (const fact of what.facts) {
      font(500, 12);
      if (x + g.measureText(fact).width + 16 > end) break; // what matters most comes first
      x += write(fact, x, second, 500, "--vs-text-2") + 16;
    }
    write(what.at, end, second, 400, "--vs-text-2");
    return out;
  };
  // Charts follow their panels a moment later: a picture taken in between would cut them off.
  const settled = async () => {
    const charts = () => [...document.querySelectorAll("[data-page] .js-plotly-plot")].filter((gd) => gd._fullLayout && gd.clientWidth);
    for (let i = 0; i < 60; i++) {
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 16)));
      if (charts().every((gd) => Math.abs(gd._fullLayout.width - gd.clientWidth) < 2 && Math.abs(gd._fullLayout.height - gd.clientHeight) < 2)) return;
    }
  };
  let busy = false;
  const take = async (el, panel = null) => {
    if (!el || busy) return;
    busy = true;
    try {
      const what = said(el, panel), { domToCanvas } = await load();
      if (!panel) V.layout.open(false);
      await settled();
      const head = el.offsetWidth < NARROW ? HEAD + LINE : HEAD;
      const scale = Math.max(0.5, Math.min(SCALE, MOST / (el.scrollHeight + head), MOST / el.scrollWidth));
      const canvas = await domToCanvas(el, { scale, width: el.offsetWidth, height: el.offsetHeight, backgroundColor: panel ? null : token("--vs-surface-0"), timeout: 10_000, font: { cssText: await fonts() }, style: panel ? ALONE : null, filter: (node) => !(node.classList && (node.classList.contains("vs-act") || node.classList.contains("vs-grip"))) });
      const blob = await new Promise((done) => headed(canvas, what, scale, head).toBlob(done, "image/png"));
      if (!blob) throw new Error("The browser made no picture of it.");
      const link = document.createElement("a"), url = URL.createObjectURL(blob);
      link.href = url;
      link.download = `${what.file}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      D.toast(`${panel ? panel.dataset.title : "The page"} was saved as a picture`, `${link.download}, ${F.bytes(blob.size)}`, "done");
    } catch (error) {
      D.toast("No picture was made", String(error.message || error));
    } finally {
      busy = false;
    }
  };
  V.picture = { page: () => take(document.querySelector("[data-page]")), panel: (name) => ((el) => take(el, el))(document.getElementById(`panel-${name}`)) };
})();
