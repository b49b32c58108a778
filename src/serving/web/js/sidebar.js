// The list of chats: find, rename, delete, bring in and take out.

import { $, announce, confirmed, element, iconButton, saveAs, tell } from "./dom.js";
import { runningIn, stop } from "./answers.js";
import { allChats, forget, keep } from "./store.js";
import { exported, hasWords, readExport, titleOf } from "./tree.js";

const MOST_IMPORT = 64 << 20;  // bytes of a file
const DAY = 86400000;
let current = null;     // id of the chat that is shown
let chosen = () => {};  // called with the chat to show; null: a new one

function ageOf(chat) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (chat.changed >= midnight) return "Today";
  if (chat.changed >= midnight - DAY) return "Yesterday";
  if (chat.changed >= midnight - 6 * DAY) return "This week";
  return new Date(chat.changed).toLocaleDateString("en", { month: "long", year: "numeric" });
}

async function kept(promise) {
  try {
    await promise;
  } catch (failure) { tell("The browser cannot keep this: " + failure.message, true); }
}

function rename(chat, item) {
  const field = element("input", { type: "text", value: titleOf(chat), maxLength: 200,
                                   "aria-label": "Name of the chat" });
  const end = async (save) => {
    if (!field.isConnected || field.dataset.over) return;
    field.dataset.over = "1";
    if (save && field.value.trim()) {
      chat.title = field.value.trim();
      await kept(keep(chat));
    }
    drawChats();
    $("chats").querySelector(`[data-id="${chat.id}"] a`)?.focus();
  };
  field.onkeydown = (event) => {
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") { event.stopPropagation(); end(false); }
  };
  field.onblur = () => end(true);
  item.replaceChildren(field);
  field.select();
}

async function erase(chat) {
  if (!await confirmed(`Delete the chat “${titleOf(chat)}”?`, "Delete")) return;
  stop(chat);
  await kept(forget(chat));
  announce("Deleted");
  if (chat.id === current) chosen(null);
  else drawChats();
  $("search").focus();
}

function fileName(chat) {
  return titleOf(chat).replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40).replace(/^-|-$/g, "") || "chat";
}

function row(chat) {
  const item = element("li", { "data-id": chat.id });
  const link = element("a", { href: "#chat/" + chat.id, title: titleOf(chat) }, titleOf(chat));
  if (chat.id === current) link.setAttribute("aria-current", "page");
  if (runningIn(chat)) link.append(element("span.dot", { title: "An answer comes in" }));
  item.append(link,
              iconButton("edit", "Rename", () => rename(chat, item)),
              iconButton("download", "Export", () => saveAs(fileName(chat) + ".json",
                                                            exported([chat]))),
              iconButton("delete", "Delete", () => erase(chat)));
  return item;
}

export function drawChats() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = allChats().filter((chat) => !words.length || hasWords(chat, words));
  const made = [];
  let age = "";
  for (const chat of found) {
    if (ageOf(chat) !== age) {
      age = ageOf(chat);
      made.push(element("li.age", { role: "presentation" }, age));
    }
    made.push(row(chat));
  }
  $("chats").replaceChildren(...made);
  $("no-chats").hidden = found.length > 0;
  $("no-chats").textContent = words.length ? "No chat has these words." : "No chats yet.";
}

export function setCurrentChat(id) {
  current = id;
  drawChats();
}

async function bringIn(file) {
  if (file.size > MOST_IMPORT) throw new Error("the file has more than 64 MiB");
  const chats = readExport(await file.text());
  if (!chats.length) throw new Error("the file has no chats");
  for (const chat of chats) await keep(chat);
  return chats;
}

export function startSidebar(onChosen) {
  chosen = onChosen;
  $("search").oninput = drawChats;
  $("search").onkeydown = (event) => {
    if (event.key === "Enter") $("chats").querySelector("a")?.click();
  };
  // Up and down among the chats.
  $("chats").onkeydown = (event) => {
    const links = [...$("chats").querySelectorAll("a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.tagName !== "A") return;
    event.preventDefault();
    links[links.indexOf(event.target) + step]?.focus();
  };
  $("import").onclick = () => $("import-file").click();
  $("import-file").onchange = async () => {
    const [file] = $("import-file").files;
    $("import-file").value = "";
    if (!file) return;
    try {
      const chats = await bringIn(file);
      chosen(chats[0]);
      tell(chats.length === 1 ? "1 chat was brought in." : chats.length + " chats were brought in.");
    } catch (failure) { tell("Nothing was brought in: " + failure.message + ".", true); }
  };
  $("export").onclick = () => {
    const day = new Date().toISOString().slice(0, 10);
    saveAs(`pelton-chats-${day}.json`, exported(allChats()));
  };
}
