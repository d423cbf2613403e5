/* The whole page as one picture, in the theme it is seen in, under a line that says what it shows.
   The drawing library is loaded with the first picture. */
(() => {
  "use strict";
  const V = window.venuescope;
  const D = V.dom, F = V.format;
  const HEAD = 44, PAD = 12, SCALE = 2;
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

  const said = (page) => {
    const a = V.store.answer, m = a && a.market, source = V.store.primary();
    const window_s = V.state.window, span = window_s % 3600 ? `${window_s / 60} m` : `${window_s / 3600} h`;
    const when = new Date(V.state.paused && V.pausedAt ? V.pausedAt : V.last.now || Date.now()).toISOString().slice(0, 19);
    const title = page.querySelector("h1");
    return {
      page: title ? title.textContent : "",
      facts: [m ? m.symbol : "", source ? source.label : "", span, V.badge || ""].filter(Boolean),
      at: `${when.replace("T", " ")} UTC`,
      file: ["venuescope", m ? m.source.replace(/\W+/g, "-") : "", m ? m.symbol : "", page.dataset.page, when.replace(/[-:]/g, "").replace("T", "-")].filter(Boolean).join("_"),
    };
  };
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const headed = (canvas, what, scale) => {
    const out = document.createElement("canvas"), g = out.getContext("2d");
    out.width = canvas.width;
    out.height = canvas.height + HEAD * scale;
    g.fillStyle = token("--vs-surface-0");
    g.fillRect(0, 0, out.width, out.height);
    g.drawImage(canvas, 0, HEAD * scale);
    g.scale(scale, scale);
    const width = out.width / scale;
    g.fillStyle = token("--vs-surface-1");
    g.fillRect(0, 0, width, HEAD - 8);
    g.fillStyle = token("--vs-line-1");
    g.fillRect(0, HEAD - 9, width, 1);
    g.textBaseline = "middle";
    const write = (text, x, weight, colour, size = 13) => {
      g.font = `${weight} ${size}px ${token("--vs-font-ui")}`;
      g.fillStyle = token(colour);
      g.fillText(text, x, (HEAD - 8) / 2);
      return g.measureText(text).width;
    };
    let x = PAD;
    x += write(`Venuescope  ${what.page}`, x, 600, "--vs-text-1") + 16;
    g.font = `400 12px ${token("--vs-font-ui")}`;
    const end = width - PAD - g.measureText(what.at).width;
    for (const fact of what.facts) {
      g.font = `500 12px ${token("--vs-font-ui")}`;
      if (x + g.measureText(fact).width + 16 > end) break; // a phone's line is short: what matters most comes first
      x += write(fact, x, 500, "--vs-text-2", 12) + 16;
    }
    write(what.at, end, 400, "--vs-text-2", 12);
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
  const page = async () => {
    const el = document.querySelector("[data-page]");
    if (!el || busy) return;
    busy = true;
    try {
      const what = said(el), { domToCanvas } = await load();
      V.layout.open(false);
      await settled();
      const scale = Math.max(0.5, Math.min(SCALE, MOST / (el.scrollHeight + HEAD), MOST / el.scrollWidth));
      const canvas = await domToCanvas(el, { scale, width: el.offsetWidth, height: el.offsetHeight, backgroundColor: token("--vs-surface-0"), timeout: 10_000, filter: (node) => !(node.classList && (node.classList.contains("vs-act") || node.classList.contains("vs-grip"))) });
      const blob = await new Promise((done) => headed(canvas, what, scale).toBlob(done, "image/png"));
      if (!blob) throw new Error("The browser made no picture of it.");
      const link = document.createElement("a"), url = URL.createObjectURL(blob);
      link.href = url;
      link.download = `${what.file}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      D.toast("The page was saved as a picture", `${link.download}, ${F.bytes(blob.size)}`, "done");
    } catch (error) {
      D.toast("No picture was made", String(error.message || error));
    } finally {
      busy = false;
    }
  };
  V.picture = { page };
})();
