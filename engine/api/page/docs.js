/* The page of the API's documentation: its theme, its search, and "Try", which calls the route and shows what came. */
"use strict";

const THEMES = ["system", "dark", "light"];
const SHOWN = 200_000; // characters of an answer
const HEADERS = ["content-type", "x-request-id", "ratelimit-remaining", "retry-after"];
const light = window.matchMedia("(prefers-color-scheme: light)");

function wanted() {
  try {
    const kept = localStorage.getItem("venuescope.docs.theme");
    return THEMES.includes(kept) ? kept : "system";
  } catch {
    return "system"; // storage may be closed to us
  }
}

function keep(store, name, value) {
  try {
    store.setItem(name, value);
  } catch { /* then it is forgotten with the page */ }
}

function paint() {
  const theme = wanted();
  const shown = theme === "system" ? (light.matches ? "light" : "dark") : theme;
  document.documentElement.setAttribute("data-bs-theme", shown);
  const button = document.getElementById("theme");
  if (button) button.textContent = `Theme: ${theme}`;
}

paint(); // before anything is drawn
light.addEventListener("change", paint);

function here(text) {
  const socket = location.protocol === "https:" ? "wss" : "ws";
  return text.replaceAll("http://127.0.0.1:8052", location.origin).replaceAll("ws://127.0.0.1:8052", `${socket}://${location.host}`);
}

function target(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-where]")) {
    const value = field.value.trim();
    if (field.dataset.where === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(value));
    else if (value) query.set(field.name, value);
  }
  const rest = query.toString();
  return (path === "/" ? path : `/v1${path}`) + (rest ? `?${rest}` : "");
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command(form) {
  const words = ["curl"];
  const body = form.elements.namedItem("body");
  const accept = document.getElementById("accept").value;
  if (form.dataset.method !== "GET") words.push("-X", form.dataset.method);
  if (accept !== "application/json") words.push("-H", quoted(`Accept: ${accept}`));
  const demanded = "demanded" in document.body.dataset && !("open" in form.dataset);
  if (demanded || document.getElementById("credential").value.trim()) words.push("-H", '"X-Api-Key: $VENUESCOPE_KEY"');
  if (body) words.push("-H", quoted("Content-Type: application/json"), "-d", quoted(body.value));
  words.push(quoted(location.origin + target(form)));
  form.querySelector(".curl code").textContent = words.join(" ");
}

function laid(text, kind) {
  if (!kind.includes("json")) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function hex(bytes) {
  const shown = bytes.slice(0, 512);
  const rows = [];
  for (let at = 0; at < shown.length; at += 16)
    rows.push([...shown.slice(at, at + 16)].map((each) => each.toString(16).padStart(2, "0")).join(" "));
  return rows.join("\n") + (bytes.length > shown.length ? `\n… ${bytes.length - shown.length} bytes more` : "");
}

async function call(form) {
  const outcome = form.querySelector(".outcome");
  const answer = form.querySelector(".answer");
  const button = form.querySelector("[type=submit]");
  const credential = document.getElementById("credential").value.trim();
  const headers = { Accept: document.getElementById("accept").value };
  const body = form.elements.namedItem("body");
  if (credential) headers.Authorization = `Bearer ${credential}`;
  if (body) headers["Content-Type"] = "application/json";
  button.disabled = true;
  outcome.className = "outcome";
  outcome.textContent = "…";
  const began = performance.now();
  try {
    const told = await fetch(target(form), { method: form.dataset.method, headers, body: body ? body.value : undefined, cache: "no-store" });
    const bytes = new Uint8Array(await told.arrayBuffer());
    const took = performance.now() - began;
    const kind = told.headers.get("content-type") || "";
    const status = document.createElement("b");
    status.textContent = `${told.status} ${told.statusText}`;
    const facts = HEADERS.filter((name) => told.headers.has(name)).map((name) => `${name}: ${told.headers.get(name)}`);
    outcome.classList.toggle("bad", !told.ok);
    outcome.replaceChildren(status, ` ${took.toFixed(0)} ms · ${bytes.length.toLocaleString("en")} bytes · ${facts.join(" · ")}`);
    const text = kind.includes("msgpack") ? hex(bytes) : laid(new TextDecoder().decode(bytes), kind);
    answer.textContent = text.length > SHOWN ? `${text.slice(0, SHOWN)}\n… cut here` : text;
    answer.hidden = !text;
  } catch (error) {
    const status = document.createElement("b");
    status.textContent = "no answer";
    outcome.classList.add("bad");
    outcome.replaceChildren(status, ` ${error.message}`);
    answer.hidden = true;
  } finally {
    button.disabled = false;
  }
}

async function copy(button) {
  const text = button.parentElement.querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function find(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (told) => words.every((word) => told.toLowerCase().includes(word));
  for (const row of document.querySelectorAll(".contents li")) row.hidden = !fits(row.dataset.route);
  for (const route of document.querySelectorAll(".route")) route.hidden = !fits(route.querySelector("summary").textContent);
}

function unfold() {
  const found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (found instanceof HTMLDetailsElement) {
    found.open = true;
    found.scrollIntoView();
  }
}

document.addEventListener("DOMContentLoaded", () => {
  paint();
  const credential = document.getElementById("credential");
  try {
    credential.value = sessionStorage.getItem("venuescope.docs.key") || "";
  } catch { /* none is kept */ }
  const forms = [...document.querySelectorAll("form.try")];
  const redo = () => forms.forEach(command);
  credential.addEventListener("input", () => {
    keep(sessionStorage, "venuescope.docs.key", credential.value.trim());
    redo();
  });
  credential.form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("accept").addEventListener("input", redo);
  document.getElementById("theme").addEventListener("click", () => {
    keep(localStorage, "venuescope.docs.theme", THEMES[(THEMES.indexOf(wanted()) + 1) % THEMES.length]);
    paint();
  });
  document.getElementById("find").addEventListener("input", (event) => find(event.target.value));
  for (const code of document.querySelectorAll(".curl code")) code.textContent = here(code.textContent);
  redo(); // a key may be kept, and the browser may keep what was chosen
  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      call(form);
    });
    form.addEventListener("input", () => command(form));
  }
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
  window.addEventListener("hashchange", unfold);
  unfold();
});
