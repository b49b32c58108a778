// The messages of the chat that is shown: drawn once, then each only as far as it changes.

import { announce, $, copy, confirmed, element, iconButton, tell } from "./dom.js";
import { MarkdownView } from "./markdown.js";
import { setting } from "./settings.js";
import { answer, runningIn, stop } from "./answers.js";
import { add, choose, remove, shown, siblings } from "./tree.js";

const MOST_SPOKEN = 2000;  // characters of an answer that a screen reader is told at once
const NEAR_END = 80;  // pixels: so far from it one still reads along
let chat = null;
let rows = new Map();   // id of a node → Row
let kept = () => {};    // called with a chat that changed
let following = true;   // the end of the list, as it grows

const count = (n) => n.toLocaleString("en");
const seconds = (ms) => (ms / 1000).toFixed(ms < 9950 ? 1 : 0) + " s";

function speedOf(node) {
  const { tokens, firstMs, writeMs, prompt, cached } = node.stats ?? {};
  const parts = [];
  if (node.ending === "stopped") parts.push("stopped");
  if (node.ending === "length") parts.push("cut at the longest answer");
  if (tokens) {
    parts.push(count(tokens) + (tokens === 1 ? " token" : " tokens"));
    const speed = 1000 * (tokens - 1) / writeMs;
    if (tokens > 1 && writeMs > 0) parts.push(speed.toFixed(speed < 100 ? 1 : 0) + " tokens/s");
  }
  if (firstMs) parts.push("first after " + seconds(firstMs));
  if (node.model && $("model").options.length > 1) parts.push(node.model);
  const title = prompt ? `Prompt: ${count(prompt)} tokens, ${count(cached)} of them from the cache`
                       : "";
  return element("span.speed", { title }, parts.join(" · "));
}

class Row {
  constructor(node) {
    this.node = node;
    const mine = node.role === "user";
    this.text = element(mine ? "div.text" : "div.text.markdown");
    this.below = element("div.below");
    this.error = element("div.error", { hidden: true });
    this.box = element("article.message." + node.role,
                       { "aria-label": mine ? "You" : "Answer", tabIndex: -1 });
    if (mine) {
      this.text.textContent = node.content;
      for (const file of node.files ?? []) this.box.append(fileView(file));
    } else {
      this.#addThoughts();
    }
    this.box.append(this.text, this.error, this.below);
    this.update();
  }

  #addThoughts() {
    this.thoughtsHead = element("summary");
    this.thoughtsText = element("div.markdown");
    this.thoughts = element("details.thoughts", { hidden: true }, this.thoughtsHead,
                            this.thoughtsText);
    this.thoughtsHead.onclick = () => { this.touched = true; };
    this.box.append(this.thoughts);
  }

  // What the node has got since.
  update() {
    const runs = runningIn(chat) === this.node;
    this.box.classList.toggle("running", runs);
    this.box.ariaBusy = String(runs);
    if (this.node.role === "assistant") this.#showAnswer(runs);
    if (runs && this.below.childElementCount) return;
    this.below.replaceChildren(...(runs ? [element("span.speed", {}, "…")] : this.#actions()));
  }

  #showAnswer(runs) {
    const { content, reasoning, error, stats } = this.node;
    if (reasoning) {
      const thinking = runs && !content;
      this.thoughts.hidden = false;
      if (!this.touched) this.thoughts.open = thinking || !!setting("show-thoughts");
      this.thoughtsHead.textContent = thinking ? "Thinking…"
          : stats?.thinkMs ? "Thought for " + seconds(stats.thinkMs) : "Thoughts";
      this.#grow("thoughtsView", this.thoughtsText, reasoning, !runs || !!content);
    }
    this.#grow("view", this.text, content, !runs);
    this.text.classList.toggle("empty", runs && !content && !reasoning);
    this.error.hidden = !error;
    this.error.textContent = error ?? "";
  }

  #grow(name, target, text, ended) {
    if (setting("plain-text")) {
      target.classList.add("plain");
      target.textContent = text;
      return;
    }
    if (this[name + "Ended"] && this[name + "Length"] === text.length) return;
    try {
      this[name] ??= new MarkdownView(target);
      this[name].show(text, ended);
    } catch (failure) {  // of a library, at a text that it was not made for
      console.warn(failure);
      target.classList.add("plain");
      target.textContent = text;
      if (!ended) this[name] = undefined;  // from the beginning next time
    }
    this[name + "Ended"] = ended;
    this[name + "Length"] = text.length;
  }

  #actions() {
    const { node } = this;
    const made = [];
    const all = siblings(chat, node);
    if (all.length > 1) made.push(this.#branches(all));
    const copier = iconButton("copy", "Copy", () => copy(node.content, copier));
    made.push(copier, iconButton("edit", "Edit", () => this.edit()));
    if (node.role === "assistant") {
      made.push(iconButton("again", "Answer anew", () => answerAnew(node)));
    }
    made.push(iconButton("delete", "Delete this and what follows", () => this.#delete()));
    if (node.role === "assistant") made.push(speedOf(node));
    return made;
  }

  #branches(all) {
    const place = all.indexOf(this.node.id);
    const step = (by, name, words) => {
      const button = iconButton(name, words, () => {
        choose(chat, chat.nodes[all[place + by]]);
        kept(chat);
        const next = all[place + by];
        draw();
        const row = rows.get(next);
        row?.box.scrollIntoView({ block: "nearest" });
        row?.box.querySelector(`.branches [aria-label="${words}"]:not(:disabled)`)?.focus();
        announce(`Version ${place + by + 1} of ${all.length}`);
      });
      button.disabled = place + by < 0 || place + by >= all.length;
      return button;
    };
    return element("span.branches", { role: "group", "aria-label": "Versions" },
                   step(-1, "left", "Version before"),
                   element("span", {}, `${place + 1} / ${all.length}`),
                   step(1, "right", "Next version"));
  }

  // In place; what comes of it stands beside this message, which stays.
  edit() {
    const { node } = this;
    const field = element("textarea", { value: node.content, "aria-label": "Edit the message" });
    const mine = node.role === "user";
    const close = () => { draw(); rows.get(node.id)?.box.querySelector(".below button")?.focus(); };
    const save = () => {
      const content = field.value.trim();
      if (!content && !node.files?.length) return;
      if (runningIn(chat)) return close();
      if (content === node.content && !mine) return close();
      if (mine) {
        add(chat, node.parent, { role: "user", content, ...(node.files && { files: node.files }) });
        draw();
        answer(chat);
        $("question").focus();
      } else {
        add(chat, node.parent, { ...pick(node, ["role", "reasoning", "model"]), content, error: "",
                                 ending: "", stats: {} });
        kept(chat);
        draw();
      }
    };
    const form = element("form.edit", {
      onsubmit: (event) => { event.preventDefault(); save(); },
      onkeydown: (event) => {
        if (event.key === "Escape") { event.stopPropagation(); close(); }
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      } }, field,
      element("div.buttons", {},
              element("button.main", { type: "submit" }, mine ? "Send" : "Keep"),
              element("button", { type: "button", onclick: close }, "Leave as it was")));
    this.text.replaceWith(form);
    this.thoughts?.remove();
    this.below.replaceChildren();
    field.style.height = Math.min(field.scrollHeight + 4, innerHeight / 2) + "px";
    field.focus();
  }

  async #delete() {
    if (!await confirmed("Delete this message and all that follows it?", "Delete")) return;
    if (runningIn(chat)) stop(chat);
    remove(chat, this.node);
    kept(chat);
    draw();
    $("question").focus();
  }
}

const pick = (from, keys) => Object.fromEntries(keys.map((key) => [key, from[key]]));

export function fileView(file, removed) {
  const size = file.text.length < 1024 ? file.text.length + " B"
                                       : Math.round(file.text.length / 1024) + " KiB";
  return element("div.file", {}, element("span.name", {}, file.name), element("span", {}, size),
                 removed ? iconButton("close", "Leave out " + file.name, removed) : null);
}

function answerAnew(node) {
  if (runningIn(chat)) return tell("An answer comes in: stop it first.");
  chat.leaf = node.parent;
  following = true;
  answer(chat);
}

function toEnd() {
  const list = $("messages");
  list.scrollTop = list.scrollHeight;
}

function draw() {
  rows = new Map(shown(chat).map((node) => [node.id, new Row(node)]));
  $("rows").replaceChildren(...[...rows.values()].map((row) => row.box));
  $("welcome").hidden = rows.size > 0;
  if (following) toEnd();
}

export function showChat(next) {
  chat = next;
  following = true;
  draw();
}

export const shownChat = () => chat;

// Drawing costs at most a fifth of the time, however long an answer gets.
let planned = false, drawnAt = 0, cost = 0;
function plan(node) {
  if (planned) return;
  planned = true;
  const wait = drawnAt + 5 * cost - performance.now();
  setTimeout(() => requestAnimationFrame(() => {
    planned = false;
    const begin = performance.now();
    rows.get(node.id)?.update();
    if (following) toEnd();
    drawnAt = performance.now();
    cost = drawnAt - begin;
  }), Math.max(0, wait));
}

// What an answer of the chat did that is shown.
export function showAnswer(node, state) {
  if (state === "more") return plan(node);
  if (state === "begun") {
    draw();
    announce("Answering");
  } else {
    for (const row of rows.values()) row.update();
    if (following) toEnd();
    announce(node.error ? "The answer failed: " + node.error
                        : "Answer: " + node.content.slice(0, MOST_SPOKEN));
  }
}

export function startMessages(onChange) {
  kept = onChange;
  const list = $("messages");
  list.addEventListener("scroll", () => {
    following = list.scrollTop + list.clientHeight > list.scrollHeight - NEAR_END;
    $("to-end").hidden = following;
  });
  $("to-end").onclick = () => {
    following = true;
    toEnd();
  };
  new ResizeObserver(() => { if (following) toEnd(); }).observe(list);
}
