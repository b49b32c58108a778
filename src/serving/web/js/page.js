// A chat with the server that this page came from, and a view of what that server does. What an
// address says chooses only what is shown; nothing is ever sent but by the user's own hand.

import { modelNames, serverVersion } from "./api.js";
import { answer, anyRunning, runningIn, stop, watchAnswers } from "./answers.js";
import { showRunning, startComposer } from "./composer.js";
import { $, element, tell } from "./dom.js";
import { showLive, startLive } from "./live.js";
import { showAnswer, showChat, shownChat, startMessages } from "./messages.js";
import { applyTheme, isDark, set, setting, startSettings } from "./settings.js";
import { drawChats, setCurrentChat, startSidebar } from "./sidebar.js";
import { chatOf, keep, openStore } from "./store.js";
import { add, newChat, titleOf } from "./tree.js";

const KEEP_MS = 3000;  // an answer that comes in is kept so often
let keeping = 0;

async function keepChat(chat) {
  try {
    await keep(chat);
  } catch (failure) { tell("The browser cannot keep this chat: " + failure.message, true); }
  drawChats();
}

function setTitle() {
  document.title = location.hash === "#live" ? "Live – Pelton" : titleOf(shownChat()) + " – Pelton";
}

// Shows a chat, or with null a new one.
function open(chat) {
  showChat(chat ?? newChat());
  setCurrentChat(chat?.id ?? null);
  showRunning(!!runningIn(shownChat()));
  const hash = chat ? "#chat/" + chat.id : "#new";
  if (location.hash !== hash) history.pushState(null, "", hash);
  showView(false);
  closeSide();
  setTitle();
  if (!matchMedia("(pointer: coarse)").matches) $("question").focus();
}

function showView(live) {
  $("chat").hidden = live;
  $("live").hidden = !live;
  for (const [id, on] of [["to-live", live], ["to-chat", !live]]) {
    if (on) $(id).setAttribute("aria-current", "page");
    else $(id).removeAttribute("aria-current");
  }
  showLive(live);
}

function followAddress() {
  if (location.hash === "#live") {
    showView(true);
    closeSide();
    setTitle();
    return;
  }
  const id = /^#chat\/([0-9a-f]+)$/.exec(location.hash)?.[1];
  const now = shownChat();
  if (now && (id ? now.id === id : location.hash === "#chat")) {
    showView(false);
    setTitle();
  } else {
    open(id ? chatOf(id) ?? null : null);
  }
}

function send(text, files) {
  const chat = shownChat();
  if (runningIn(chat)) return false;
  add(chat, chat.leaf, { role: "user", content: text, ...(files.length && { files }) });
  chat.changed = Date.now();
  answer(chat);
  history.replaceState(null, "", "#chat/" + chat.id);
  setCurrentChat(chat.id);
  setTitle();
  return true;
}

function onAnswer(chat, node, state) {
  if (chat === shownChat()) {
    showAnswer(node, state);
    if (state !== "more") showRunning(state === "begun");
  }
  const now = performance.now();
  if (state !== "more" || now - keeping > KEEP_MS) {
    keeping = now;
    keepChat(chat);
  }
}

async function loadModels() {
  const choice = $("model");
  try {
    const names = await modelNames();
    choice.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    if (!names.includes(setting("model"))) set("model", "");
    choice.value = setting("model") || names[0];
    choice.classList.toggle("only", names.length < 2);
  } catch (failure) {
    choice.replaceChildren(element("option", { value: "" }, "no model"));
    tell(failure.message === "Failed to fetch" ? "The server cannot be reached." : failure.message,
         true);
  }
}

function closeSide() {
  document.body.classList.remove("side-open");
  $("menu").setAttribute("aria-expanded", "false");
}

function toggleSide() {
  const opens = document.body.classList.toggle("side-open");
  $("menu").setAttribute("aria-expanded", String(opens));
  if (opens) $("search").focus();
}

function startDialogs() {
  for (const name of ["settings", "about"]) {
    $("to-" + name).onclick = () => {
      closeSide();
      $(name).showModal();
    };
  }
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {  // beside the box
      if (event.target === dialog) dialog.close();
    });
    for (const closer of dialog.querySelectorAll(".close")) closer.onclick = () => dialog.close();
  }
  $("confirm-yes").onclick = () => $("confirm").close("yes");
  $("settings").addEventListener("close", () => showChat(shownChat()));
}

function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    if (event.key === "Escape" && document.body.classList.contains("side-open")) {
      closeSide();
      $("menu").focus();
    } else if (control && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (getComputedStyle($("menu")).display !== "none") toggleSide();
      $("search").focus();
    } else if (control && event.shiftKey && event.key.toLowerCase() === "o") {
      event.preventDefault();
      open(null);
    }
  });
}

async function start() {
  startSettings(loadModels);
  const kept = openStore((id) => {
    drawChats();
    const now = shownChat();
    if (now.id === id && !runningIn(now) && chatOf(id)) showChat(chatOf(id));
  });
  startMessages((chat) => {
    chat.changed = Date.now();
    keepChat(chat);
  });
  startSidebar(open);
  startComposer(send, () => stop(shownChat()));
  startDialogs();
  startKeys();
  startLive();
  watchAnswers(onAnswer);
  showChat(newChat());
  $("model").onchange = () => set("model", $("model").value);
  $("theme").onclick = () => {
    set("theme", isDark() ? "light" : "dark");
    applyTheme();
  };
  $("new").onclick = () => open(null);
  $("menu").onclick = toggleSide;
  $("shade").onclick = closeSide;
  window.addEventListener("hashchange", followAddress);
  window.addEventListener("beforeunload", (event) => { if (anyRunning()) event.preventDefault(); });
  serverVersion().then((version) => { $("version").textContent = "Version " + version; }, () => {});
  loadModels();
  if (!await kept) tell("This browser keeps nothing: chats are lost when the page is closed.", true);
  followAddress();
  drawChats();
}

start();
