// Answers that come in: one at a time in each chat, and each goes on while another chat is shown.

import { streamChat } from "./api.js";
import { requestFields, setting, systemMessage } from "./settings.js";
import { add, shown } from "./tree.js";

const running = new Map();  // id of a chat → {node, controller}
const watchers = new Set();

export const runningIn = (chat) => running.get(chat.id)?.node ?? null;
export const anyRunning = () => running.size > 0;

export function stop(chat) {
  running.get(chat.id)?.controller.abort();
}

// `watcher(chat, node, state)` is told of each answer: "begun", "more" and "ended".
export function watchAnswers(watcher) {
  watchers.add(watcher);
}

function tell(chat, node, state) {
  for (const watcher of watchers) watcher(chat, node, state);
}

function fenced(text) {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return fence + "\n" + text.replace(/\n$/, "") + "\n" + fence;
}

// What the model reads of a message.
export function sentContent(node) {
  const files = (node.files ?? []).map((file) => `File ${file.name}:\n${fenced(file.text)}\n\n`);
  return files.join("") + node.content;
}

function requestBody(chat) {
  const messages = shown(chat)
      .filter((node) => node.role === "user" || node.content)
      .map((node) => ({ role: node.role, content: sentContent(node) }));
  const system = systemMessage();
  if (system) messages.unshift({ role: "system", content: system });
  const body = { messages, stream: true, stream_options: { include_usage: true },
                 ...requestFields() };
  if (setting("model")) body.model = setting("model");
  return body;
}

// Takes one event of the stream into the answer; `at` holds performance.now() of its turns.
function take(node, event, at) {
  const choice = event.choices[0];
  if (choice) {
    const now = performance.now();
    const { content, reasoning_content: reasoning } = choice.delta ?? {};
    if (content || reasoning) at.first ||= now;
    if (content && node.reasoning) at.thought ||= now;
    node.content += content || "";
    node.reasoning += reasoning || "";
    if (choice.finish_reason === "length") node.ending = "length";
  }
  if (event.usage) {
    node.stats.tokens = event.usage.completion_tokens;
    node.stats.prompt = event.usage.prompt_tokens;
    node.stats.cached = event.usage.prompt_tokens_details?.cached_tokens ?? 0;
  }
  if (event.model) node.model = event.model;
}

// Asks for an answer to what is shown, and adds it to the chat.
export async function answer(chat) {
  if (running.has(chat.id)) return;
  const body = requestBody(chat);
  const node = add(chat, chat.leaf, { role: "assistant", content: "", reasoning: "", error: "",
                                      model: "", ending: "", stats: {} });
  const controller = new AbortController();
  running.set(chat.id, { node, controller });
  const at = { sent: performance.now(), first: 0, thought: 0 };
  tell(chat, node, "begun");
  try {
    await streamChat(body, controller.signal, (event) => {
      take(node, event, at);
      tell(chat, node, "more");
    });
  } catch (failure) {
    if (failure.name === "AbortError") node.ending = "stopped";
    else node.error = String(failure.message || failure);
  }
  const end = performance.now();
  if (at.first) {
    node.stats.firstMs = at.first - at.sent;
    node.stats.writeMs = end - at.first;
    if (node.reasoning) node.stats.thinkMs = (at.thought || end) - at.first;
  }
  running.delete(chat.id);
  chat.changed = Date.now();
  tell(chat, node, "ended");
}
