"use strict";
// A chat with the server that this page came from. Everything that a model or a user wrote is put
// into the page as text, never as markup.

const $ = (id) => document.getElementById(id);
const STORE = "pelton.chat";
let messages = [];  // {role, content, reasoning, note, error}
let running = null;  // AbortController of the answer in progress
let chosen = "";  // the model that answers, where there are several

function save() {
  try {
    localStorage.setItem(STORE, JSON.stringify({
      messages, chosen, system: $("system").value, temperature: $("temperature").value,
      maxTokens: $("max-tokens").value, theme: document.documentElement.className,
    }));
  } catch { /* a full or forbidden store only means that a reload forgets */ }
}

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORE) || "{}");
    if (Array.isArray(kept.messages)) {
      messages = kept.messages.filter((m) => m && typeof m.content === "string" &&
                                             (m.role === "user" || m.role === "assistant"));
    }
    if (typeof kept.chosen === "string") chosen = kept.chosen;
    $("system").value = kept.system || "";
    $("temperature").value = kept.temperature || "";
    if (kept.maxTokens) $("max-tokens").value = kept.maxTokens;
    if (kept.theme === "light" || kept.theme === "dark") {
      document.documentElement.className = kept.theme;
    }
  } catch { localStorage.removeItem(STORE); }
  $("key").value = sessionStorage.getItem("pelton.key") || "";
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Fenced code becomes <pre>, the rest stays text.
function fillText(target, text) {
  target.replaceChildren();
  text.split(/^```[^\n]*\n?/m).forEach((part, i) => {
    if (part) target.append(i % 2 ? element("pre", "", part.replace(/\n$/, "")) : part);
  });
}

function button(text, action) {
  const made = element("button", "", text);
  made.type = "button";
  made.onclick = action;
  return made;
}

function render(index) {
  const message = messages[index];
  const box = element("div", "message " + message.role);
  if (message.reasoning) {
    const details = element("details");
    details.append(element("summary", "", "Reasoning"), message.reasoning);
    box.append(details);
  }
  const text = element("div", "text");
  fillText(text, message.content);
  box.append(text);
  if (message.error) box.append(element("div", "error", message.error));
  const below = element("div", "below");
  if (message.note) below.append(element("span", "", message.note));
  if (!running) {
    below.append(message.role === "user" ? button("Edit", () => edit(index))
                                         : button("Again", () => again(index)));
  }
  box.append(below);
  return box;
}

function show(last) {
  const list = $("messages");
  const atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 80;
  if (last && list.lastChild && list.children.length === messages.length) {
    list.lastChild.replaceWith(render(messages.length - 1));
  } else {
    list.replaceChildren(...messages.map((_, i) => render(i)));
  }
  if (atEnd) list.scrollTop = list.scrollHeight;
  $("send").hidden = !!running;
  $("stop").hidden = !running;
}

function headers() {
  const made = { "Content-Type": "application/json" };
  const key = $("key").value.trim();
  if (key) made.Authorization = "Bearer " + key;
  return made;
}

function edit(index) {
  $("question").value = messages[index].content;
  messages = messages.slice(0, index);
  save();
  show();
  $("question").focus();
}

function again(index) {
  messages = messages.slice(0, index);
  answer();
}

// Calls `take` with the data of each event of a stream.
async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) if (event.startsWith("data: ")) take(event.slice(6));
  }
}

async function answer() {
  const system = $("system").value.trim();
  const sent = messages.filter((m) => m.content || m.role === "user")
                       .map(({ role, content }) => ({ role, content }));
  if (system) sent.unshift({ role: "system", content: system });
  const body = { messages: sent, stream: true, stream_options: { include_usage: true },
                 max_tokens: Math.max(1, parseInt($("max-tokens").value, 10) || 1024) };
  if (!$("models").hidden) body.model = $("models").value;
  const temperature = parseFloat($("temperature").value);
  if (!Number.isNaN(temperature)) body.temperature = temperature;
  const reply = { role: "assistant", content: "", reasoning: "", note: "", error: "" };
  messages.push(reply);
  running = new AbortController();
  show();
  let ended = false, planned = false;
  const timing = live.sent(sent.at(-1)?.content ?? "");
  const paint = () => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; show(true); });
  };
  try {
    const response = await fetch("v1/chat/completions", {
      method: "POST", headers: headers(), body: JSON.stringify(body), signal: running.signal });
    if (!response.ok) {
      const failure = await response.json().catch(() => null);
      throw new Error(failure?.error?.message || "the server answered " + response.status);
    }
    await readEvents(response.body, (data) => {
      if (data === "[DONE]") { ended = true; return; }
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      const delta = event.choices[0]?.delta;
      if (delta) {
        timing.first ||= performance.now();
        reply.content += delta.content || "";
        reply.reasoning += delta.reasoning_content || "";
      }
      if (event.usage) {
        const seconds = (performance.now() - timing.first) / 1000;
        const count = event.usage.completion_tokens;
        reply.note = count + " tokens" +
            (seconds > 0 ? ", " + (count / seconds).toFixed(0) + " tokens/s" : "");
      }
      paint();
    });
    if (!ended) throw new Error("the answer broke off");
  } catch (failure) {
    if (failure.name === "AbortError") reply.note = "stopped";
    else reply.error = String(failure.message || failure);
  }
  running = null;
  live.ended(timing, reply.error ? "failed" : reply.note === "stopped" ? "stopped" : "");
  save();
  show();
}

$("ask").onsubmit = (event) => {
  event.preventDefault();
  const text = $("question").value.trim();
  if (!text || running) return;
  $("question").value = "";
  messages.push({ role: "user", content: text });
  save();
  answer();
};
$("question").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
};
$("stop").onclick = () => running?.abort();
$("new").onclick = () => {
  running?.abort();
  messages = [];
  save();
  show();
};
$("theme").onclick = () => {
  const root = document.documentElement;
  const dark = root.className ? root.className === "dark"
                              : matchMedia("(prefers-color-scheme: dark)").matches;
  root.className = dark ? "light" : "dark";
  save();
};
for (const id of ["system", "temperature", "max-tokens"]) $(id).onchange = save;
$("models").onchange = () => {
  chosen = $("models").value;
  save();
};
$("key").onchange = () => {
  sessionStorage.setItem("pelton.key", $("key").value.trim());
  showModel();
};

// One model is named, several are offered.
function offer(names) {
  $("model").textContent = names[0] ?? "no model that chats";
  $("models").replaceChildren(...names.map((name) => element("option", "", name)));
  $("models").hidden = names.length < 2;
  $("model").hidden = names.length >= 2;
  if (names.includes(chosen)) $("models").value = chosen;
}

async function showModel() {
  try {
    const response = await fetch("v1/models", { headers: headers() });
    const list = await response.json();
    if (!response.ok) throw new Error(list.error.message);
    offer(list.data.filter((model) => !model.embedding).map((model) => model.id));
  } catch (failure) {
    offer([]);
    $("model").textContent = failure instanceof TypeError ? "the server cannot be reached"
                                                          : failure.message;
  }
}

restore();
show();
showModel();
live.start();
