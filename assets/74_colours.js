/* The user's own colours of up and down: put over the tokens, with text, fills and solids made from them. */
(() => {
  "use strict";
  const V = window.venuescope;
  const D = V.dom, root = document.documentElement;
  const FIRST = { up: "56b4e9", down: "e69f00" }; // what the wells hold before anything was chosen
  const SEEN = 3; // contrast of a graphical object on its ground, WCAG 2.2, 1.4.11
  const READ = 4.5; // of text, 1.4.3
  const APART = 0.14, APART_BLIND = 0.09; // distances in OKLab: black to white is 1

  const rgb = (hex) => [0, 2, 4].map((i) => parseInt(hex.replace("#", "").slice(i, i + 2), 16));
  const hexOf = (c) => "#" + c.map((x) => Math.round(Math.max(0, Math.min(255, x))).toString(16).padStart(2, "0")).join("");
  const linear = (c) => c.map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
  const luminance = (c) => linear(c).reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const mix = (a, b, part) => a.map((x, i) => x + (b[i] - x) * part);
  // `c`, moved as little as need be towards `end` until it stands off `ground` by `least`.
  const until = (c, ground, end, least) => {
    for (let part = 0; part < 1; part += 0.05) {
      const now = mix(c, end, part);
      if (contrast(now, ground) >= least) return now;
    }
    return end;
  };
  // OKLab of linear light: Ottosson 2020, "A perceptual color space for image processing".
  const times = (m, v) => m.map((row) => row.reduce((sum, x, i) => sum + x * v[i], 0));
  const oklab = (light) =>
    times(
      [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]],
      times([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]], light).map(Math.cbrt),
    );
  // Linear light as those without red or green cones see it: Machado, Oliveira and Fernandes 2009, severity 1.
  const BLIND = [
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  ];
  const far = (a, b) => Math.hypot(...oklab(a).map((x, i) => x - oklab(b)[i]));
  // What is wrong with a pair on a panel of that ground, as one sentence; "" for nothing.
  const fault = (up, down, ground) => {
    for (const [word, c] of [["Up", up], ["Down", down]]) {
      const has = contrast(c, ground);
      if (has < SEEN) return `${word} is hard to see on this theme's panels: contrast ${(Math.floor(has * 10) / 10).toFixed(1)}, 3.0 is the least.`;
    }
    const a = linear(up), b = linear(down);
    if (far(a, b) < APART) return "Up and down are hard to tell apart.";
    if (BLIND.some((m) => far(times(m, a), times(m, b)) < APART_BLIND)) return "Up and down are hard to tell apart for a colour-blind reader.";
    return "";
  };

  const NAMES = ["", "-text", "-fill", "-solid"].flatMap((end) => [`--vs-up${end}`, `--vs-down${end}`]).concat("--vs-on-updown");
  const chosen = (way) => rgb(V.state[way] || FIRST[way]);
  const dress = () => {
    const own = V.state.updown === "own";
    for (const name of NAMES) root.style.removeProperty(name);
    if (!own) {
      if (root.dataset.vsUpdown && root.dataset.vsUpdown !== "classic") delete root.dataset.vsUpdown;
      return;
    }
    const dark = V.theme() === "dark", ground = rgb(getComputedStyle(root).getPropertyValue("--vs-surface-1").trim());
    const white = [255, 255, 255], black = [10, 13, 17];
    const pair = { up: chosen("up"), down: chosen("down") };
    // What is written on a filled mark is one colour for both.
    const worst = (on) => Math.min(contrast(pair.up, on), contrast(pair.down, on));
    const on = worst(white) > worst(black) ? white : black;
    for (const [way, c] of Object.entries(pair)) {
      root.style.setProperty(`--vs-${way}`, hexOf(c));
      root.style.setProperty(`--vs-${way}-text`, hexOf(until(c, ground, dark ? white : black, READ)));
      root.style.setProperty(`--vs-${way}-fill`, `rgba(${c.join(", ")}, ${dark ? 0.17 : 0.13})`);
      root.style.setProperty(`--vs-${way}-solid`, hexOf(until(c, on, on === white ? black : white, READ)));
    }
    root.style.setProperty("--vs-on-updown", hexOf(on));
    root.dataset.vsUpdown = `own-${hexOf(pair.up).slice(1)}-${hexOf(pair.down).slice(1)}`; // what was drawn in others is drawn again
  };
  const show = () => {
    const own = V.state.updown === "own", box = document.getElementById("shell-own"), host = D.host("own");
    if (!box || !host) return;
    box.hidden = !own;
    if (!own) return;
    if (!host.children.length)
      for (const [way, word] of [["up", "Up"], ["down", "Down"]]) {
        const well = D.make("input", "vs-well");
        well.type = "color";
        well.dataset.own = way;
        host.append(D.make("label", "vs-own-one", well, D.make("span", "", word), D.make("code", "")));
      }
    for (const well of host.querySelectorAll("[data-own]")) {
      const value = hexOf(chosen(well.dataset.own));
      if (well.value !== value) well.value = value;
      D.text(well.parentElement.lastElementChild, value);
    }
    const ground = rgb(getComputedStyle(root).getPropertyValue("--vs-surface-1").trim());
    D.put("own.word", fault(chosen("up"), chosen("down"), ground), "warn");
  };
  document.addEventListener("change", (event) => {
    const way = event.target.dataset && event.target.dataset.own;
    if (way) V.setText(way, event.target.value);
  });
  V.onState((changed) => {
    if (!["updown", "up", "down", "theme"].some((key) => changed.includes(key))) return;
    dress();
    show();
    V.link.redraw();
  });
  dress();
  V.colours = { fault, show, rgb };
})();
