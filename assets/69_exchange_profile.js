/* A profile of the engine's thread: its call tree as bars, whose width is time, and its table. */
(() => {
  "use strict";
  const V = window.venuescope;
  const F = V.format, D = V.dom, X = V.exchange;
  const SECONDS = 10;
  const ROW = 22;
  const NARROW = 0.003; // of the width: what is less is not drawn, and cannot be pressed
  const root = { at: 0, of: "" };

  // Places of the nodes below `top`: [node, depth, from, to], widths as shares of the top's.
  const places = (nodes, top) => {
    const kids = new Map();
    nodes.forEach((node, i) => {
      if (node[2] >= 0) (kids.get(node[2]) || kids.set(node[2], []).get(node[2])).push(i);
    });
    const out = [], whole = nodes[top][3] || 1;
    const put = (i, depth, from) => {
      const width = nodes[i][3] / whole;
      if (width < NARROW) return;
      out.push([i, depth, from, width]);
      let at = from;
      for (const kid of (kids.get(i) || []).sort((a, b) => nodes[b][3] - nodes[a][3])) {
        put(kid, depth + 1, at);
        at += nodes[kid][3] / whole;
      }
    };
    // What leads to it stays above it, so that one can go back.
    const path = [];
    for (let i = nodes[top][2]; i >= 0; i = nodes[i][2]) path.unshift(i);
    path.forEach((i, depth) => out.push([i, depth, 0, 1]));
    put(top, path.length, 0);
    return out;
  };
  const kind = (node) => (node[1] === "" ? "is-c" : /^(site-packages|python)\//.test(node[1]) || node[1].startsWith("<") ? "is-lib" : "is-own");
  const ms = (x) => (x >= 100 ? F.group(x) : F.three(x));
  const flame = (p, key) => {
    const host = D.host("flame");
    if (!host || !p || p.state !== "done" || !p.nodes.length) return;
    if (root.of !== key) Object.assign(root, { at: 0, of: key });
    const want = `${key}/${root.at}/${D.turn}`;
    if (host.dataset.was === want) return;
    host.dataset.was = want;
    const list = places(p.nodes, root.at), total = p.nodes[0][3] || 1;
    const deep = Math.max(...list.map(([, depth]) => depth)) + 1;
    const inner = D.make("div", "inner", ...list.map(([i, depth, from, width]) => {
      const [label, where, , value, own] = p.nodes[i];
      const el = D.button("", "ex-flame", `${kind(p.nodes[i])}${depth < list[list.length - 1][1] && width === 1 && i !== root.at && root.at ? " is-above" : ""}`, { node: String(i) });
      el.append(D.make("span", "", label));
      el.style.left = `${(from * 100).toFixed(3)}%`;
      el.style.width = `${(width * 100).toFixed(3)}%`;
      el.style.top = `${depth * ROW}px`;
      el.title = `${label}${where ? `\n${where}` : ""}\n${ms(value)} ms with calls, ${F.three((value / total) * 100)}% of busy time\n${ms(Math.max(0, own))} ms itself`;
      el.setAttribute("aria-label", `${label}, ${F.three((value / total) * 100)}%`);
      return el;
    }));
    inner.style.height = `${deep * ROW}px`;
    const keys = D.make("div", "vs-keys", ...[["is-own", "this project"], ["is-lib", "libraries"], ["is-c", "written in C"]].map(([cls, words]) => D.make("span", "", D.make("i", cls), words)));
    const box = D.make("div", "vs-scroll", inner);
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Call tree");
    host.replaceChildren(box, keys);
  };
  X.acts["ex-flame"] = (el) => {
    root.at = Number(el.dataset.node);
    X.update(X.last);
  };
  X.acts["ex-profile"] = async (el) => {
    el.disabled = true;
    const answer = await X.order("profile", { seconds: SECONDS }, "Profiling");
    if (!answer.ok) el.disabled = false;
    setTimeout(() => (el.disabled = false), 1500);
  };
  X.parts.push((_, parts) => {
    const s = V.store.streams.profile, host = D.host("profile:act");
    if (!host || !s) return;
    const p = s.profile;
    if (!host.firstElementChild) host.append(D.button(`Profile ${SECONDS} s`, "ex-profile", "vs-btn is-sm"));
    const button = host.firstElementChild, runs = Boolean(p && p.state === "running");
    if (runs) {
      button.disabled = true;
      D.until(button, p.ends, { before: "Profiling, ", over: "Profiling" });
    } else if (button.dataset.until) {
      D.until(button, null);
      D.text(button, `Profile ${SECONDS} s`);
      button.disabled = false;
    }
    if (s.tabled === parts.mark(s) && s.rooted === root.at) return;
    Object.assign(s, { tabled: parts.mark(s), rooted: root.at });
    if (!p || p.state !== "done") return;
    D.put("sub.profile-flame", `${F.time(p.started)} to ${F.time(p.ends)} UTC: busy ${F.three(p.busy_s)} of ${F.three(p.took_s)} s (${F.group((p.busy_s / p.took_s) * 100)}%)`);
    flame(p, String(p.started));
    D.table(D.host("profile-table"), p.rows.map(([name, where, calls, , own, all, share]) => [
      { text: name, cls: "name fn" }, { cls: "vs-sec fn", draw: (td) => (D.text(td, where ? where.split("/").slice(-2).join("/") : "C"), D.attr(td, "title", where || "written in C")) }, parts.n(F.group(calls)), parts.n(F.group(own, 1)), parts.n(share ? `${F.group(share * 100, 1)}%` : "–", share ? "" : "mut"), parts.n(F.group(all, 1), "mut"),
    ]));
  });
})();
