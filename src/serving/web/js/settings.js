// What the user set, and the requests' fields and headers that follow from it. Kept in this
// browser's localStorage; the key only until the tab is closed, unless the user wants it kept.

import { $ } from "./dom.js";

const STORE = "pelton.settings", KEY = "pelton.key";
// Number fields of the dialog and the requests' fields that they are for.
const NUMBERS = { temperature: "temperature", "top-p": "top_p", "top-k": "top_k", "min-p": "min_p",
                  "repetition-penalty": "repetition_penalty", seed: "seed",
                  "max-tokens": "max_tokens" };
const KEPT = [...Object.keys(NUMBERS), "system"];
const CHECKS = ["keep-key", "show-thoughts", "plain-text"];

let values = {};  // id of a field → its text or whether it is ticked; also model and theme
let onKey = () => {};

export const setting = (name) => values[name];

export function set(name, value) {
  values[name] = value;
  try {
    localStorage.setItem(STORE, JSON.stringify(values));
  } catch { /* a full or forbidden store only means that a reload forgets */ }
}

function keepKey() {
  const key = $("key").value.trim();
  const [holds, other] = $("keep-key").checked ? [localStorage, sessionStorage]
                                               : [sessionStorage, localStorage];
  try {
    other.removeItem(KEY);
    if (key) holds.setItem(KEY, key);
    else holds.removeItem(KEY);
  } catch { /* as above */ }
}

export function headers() {
  const made = { "Content-Type": "application/json" };
  const key = $("key").value.trim();
  if (key) made.Authorization = "Bearer " + key;
  return made;
}

// Fields of a chat request that the user set.
export function requestFields() {
  const fields = {};
  for (const [id, name] of Object.entries(NUMBERS)) {
    const value = $(id).valueAsNumber;
    if (Number.isFinite(value) && $(id).checkValidity()) fields[name] = value;
  }
  return fields;
}

export const systemMessage = () => $("system").value.trim();

export function applyTheme() {
  const theme = values.theme ?? "";
  document.documentElement.className = theme;
  $("theme-choice").value = theme;
}

export function isDark() {
  return values.theme ? values.theme === "dark"
                      : matchMedia("(prefers-color-scheme: dark)").matches;
}

function show() {
  for (const id of KEPT) $(id).value = values[id] ?? "";
  for (const id of CHECKS) $(id).checked = !!values[id];
}

// `keyChanged` is called when requests bring another key.
export function startSettings(keyChanged) {
  onKey = keyChanged;
  try {
    const read = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    if (read && typeof read === "object") values = read;
    $("key").value = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
  } catch { values = {}; }
  if (values.theme !== "dark" && values.theme !== "light") values.theme = "";
  show();
  applyTheme();
  for (const id of KEPT) $(id).onchange = () => set(id, $(id).value);
  for (const id of CHECKS) {
    $(id).onchange = () => {
      set(id, $(id).checked);
      if (id === "keep-key") keepKey();
    };
  }
  $("key").onchange = () => {
    keepKey();
    onKey();
  };
  $("theme-choice").onchange = () => {
    set("theme", $("theme-choice").value);
    applyTheme();
  };
  $("defaults").onclick = () => {
    for (const id of KEPT) set(id, "");
    for (const id of ["show-thoughts", "plain-text"]) set(id, false);
    show();
  };
}
