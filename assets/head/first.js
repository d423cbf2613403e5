/* Runs in the head, before anything is painted: the theme and the colours of up and down. */
(() => {
  "use strict";
  const query = new URLSearchParams(location.search);
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("venuescope") || "{}");
  } catch {
    kept = {};
  }
  const asked = query.get("theme") || kept.theme || "system";
  const light = matchMedia("(prefers-color-scheme: light)").matches;
  document.documentElement.dataset.bsTheme =
    asked === "light" || asked === "dark" ? asked : light ? "light" : "dark";
  if ((query.get("colours") || kept.updown) === "classic") document.documentElement.dataset.vsUpdown = "classic";
})();
