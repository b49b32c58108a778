// A chat is a tree of messages: what was edited or answered anew stands beside what was there
// before. Plain data, which IndexedDB and JSON can hold.
//
// chat: {id, title, created, changed, roots: [id], nodes: {id: node}, leaf: id or ""}
// node: {id, parent: id or "", children: [id], open: id of the child seen last, role, content, at,
//        for questions perhaps files: [{name, text}],
//        for answers also reasoning, model, error, ending, stats}

const MOST_NODES = 20000;
const MOST_TEXT = 4 << 20;  // of one message

export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))]
      .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function newChat(now = Date.now()) {
  return { id: newId(), title: "", created: now, changed: now, roots: [], nodes: {}, leaf: "" };
}

// From the first message to the one that is shown last.
export function shown(chat) {
  const path = [];
  for (let id = chat.leaf; id; id = chat.nodes[id].parent) path.push(chat.nodes[id]);
  return path.reverse();
}

// The messages that stand at a node's place, itself included.
export function siblings(chat, node) {
  return node.parent ? chat.nodes[node.parent].children : chat.roots;
}

// A new last message below `parent`, "" for a first one. It is shown.
export function add(chat, parent, fields) {
  const node = { id: newId(), parent, children: [], open: "", at: Date.now(), ...fields };
  chat.nodes[node.id] = node;
  siblings(chat, node).push(node.id);
  chat.leaf = node.id;
  open(chat, node);
  return node;
}

function open(chat, node) {
  for (let at = node; at.parent; at = chat.nodes[at.parent]) chat.nodes[at.parent].open = at.id;
}

// Shows the node, and below it what was seen there last.
export function choose(chat, node) {
  let at = node;
  while (at.children.length) {
    at = chat.nodes[at.children.includes(at.open) ? at.open : at.children.at(-1)];
  }
  chat.leaf = at.id;
  open(chat, at);
}

// Takes a message and all below it away; a neighbour, else what was before, is shown.
export function remove(chat, node) {
  const row = siblings(chat, node);
  const place = row.indexOf(node.id);
  row.splice(place, 1);
  const gone = [node];
  while (gone.length) {
    const at = gone.pop();
    delete chat.nodes[at.id];
    gone.push(...at.children.map((id) => chat.nodes[id]));
  }
  const next = row[Math.min(place, row.length - 1)];
  if (next) choose(chat, chat.nodes[next]);
  else chat.leaf = node.parent;
}

export function titleOf(chat) {
  if (chat.title) return chat.title;
  const first = chat.roots.length ? chat.nodes[chat.roots[0]].content.trim() : "";
  return first.split("\n")[0].slice(0, 80) || "New chat";
}

export function hasWords(chat, words) {
  const within = (text) => words.every((word) => text.toLowerCase().includes(word));
  return within(titleOf(chat)) || Object.values(chat.nodes).some((node) => within(node.content));
}

const text = (value, most = MOST_TEXT) => typeof value === "string" ? value.slice(0, most) : "";
const time = (value) => Number.isFinite(value) && value > 0 ? value : Date.now();
const share = (value) => Number.isFinite(value) && value >= 0 ? value : 0;

function addRead(chat, parent, from) {
  const fields = { role: from.role === "user" ? "user" : "assistant", content: text(from.content),
                   at: time(from.at) };
  if (fields.role === "user" && Array.isArray(from.files)) {
    fields.files = from.files.slice(0, 64).map((file) => ({ name: text(file?.name, 200),
                                                            text: text(file?.text) }));
  }
  if (fields.role === "assistant") {
    fields.reasoning = text(from.reasoning);
    fields.model = text(from.model, 200);
    fields.error = text(from.error, 2000);
    fields.ending = text(from.ending, 40);
    if (from.stats && typeof from.stats === "object") {
      fields.stats = {};
      for (const key of ["tokens", "prompt", "cached", "firstMs", "writeMs", "thinkMs"]) {
        fields.stats[key] = share(from.stats[key]);
      }
    }
  }
  return add(chat, parent, fields);
}

// Messages with `parent` and `children` as ids, from `first` on; links that do not fit are errors.
function readTree(chat, nodes, first, leaf) {
  const made = new Map();
  const todo = first.map((id) => [id, ""]).reverse();
  while (todo.length) {
    const [id, parent] = todo.pop();
    const from = nodes.get(id);
    if (!from || made.has(id)) throw new Error("the messages of a chat do not make a tree");
    made.set(id, addRead(chat, parent, from));
    const children = Array.isArray(from.children) ? from.children : [];
    todo.push(...children.map((child) => [child, made.get(id).id]).reverse());
  }
  if (made.has(leaf)) choose(chat, made.get(leaf));
}

function readChat(from) {
  if (!from || typeof from !== "object") throw new Error("a chat is not an object");
  const chat = newChat();
  if (Array.isArray(from.messages) && !from.conv) {  // as the API takes them
    const told = from.messages.filter((m) => m && (m.role === "user" || m.role === "assistant"));
    for (const message of told.slice(0, MOST_NODES)) addRead(chat, chat.leaf, message);
    chat.title = text(from.title, 200);
  } else if (Array.isArray(from.messages)) {  // as llama.cpp's page exports them
    const nodes = new Map(from.messages.slice(0, MOST_NODES).filter(Boolean).map((m) => [
      m.id, { ...m, at: m.timestamp, reasoning: m.reasoningContent ?? m.thinking ?? "" }]));
    const roots = [...nodes.values()].filter((m) => m.type === "root");
    readTree(chat, nodes, roots.flatMap((m) => m.children ?? []), from.conv.currNode);
    chat.title = text(from.conv.name, 200);
  } else {
    if (!Array.isArray(from.roots) || !from.nodes || typeof from.nodes !== "object") {
      throw new Error("a chat has no messages");
    }
    const nodes = new Map(Object.entries(from.nodes).slice(0, MOST_NODES));
    readTree(chat, nodes, from.roots, from.leaf);
    chat.title = text(from.title, 200);
    chat.created = time(from.created);
    chat.changed = time(from.changed);
  }
  return chat;
}

// The chats of an exported file: this page's, llama.cpp's, or {messages: [{role, content}]}.
// Everything is copied field by field and gets new ids; throws an Error that says what is wrong.
export function readExport(json) {
  let data;
  try {
    data = JSON.parse(json);
  } catch { throw new Error("the file is not JSON"); }
  const list = Array.isArray(data) ? data : Array.isArray(data?.chats) ? data.chats : [data];
  return list.map(readChat).filter((chat) => chat.roots.length);
}

export function exported(chats) {
  return JSON.stringify({ format: "pelton-chats", version: 1, chats }, null, 1);
}
