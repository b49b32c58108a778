// The chats of this browser, in IndexedDB; where that is refused they last as long as the page.
// Other tabs are told of changes.

const NAME = "pelton";
const chats = new Map();  // id → chat: all of them
let database = null;
let channel = null;
let changed = () => {};

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function readAll() {
  const found = await done(database.transaction("chats").objectStore("chats").getAll());
  chats.clear();
  for (const chat of found) chats.set(chat.id, chat);
}

// Reads what is kept. `onChange` is called when another tab changed something. False: nothing can
// be kept.
export async function openStore(onChange) {
  changed = onChange;
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("chats", { keyPath: "id" });
    };
    database = await done(request);
    // Another tab wants to delete or change the database: this one must not be in its way.
    database.onversionchange = () => { database.close(); database = null; };
    await readAll();
    channel = new BroadcastChannel(NAME);
    channel.onmessage = async (event) => {
      if (!database) return;
      await readAll();
      changed(event.data);
    };
  } catch { database = null; }
  return database !== null;
}

export function allChats() {
  return [...chats.values()].sort((a, b) => b.changed - a.changed);
}

export const chatOf = (id) => chats.get(id);

async function write(change, id) {
  if (!database) return;
  const transaction = database.transaction("chats", "readwrite");
  change(transaction.objectStore("chats"));
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
  channel.postMessage(id);
}

// Rejects if the browser has no room.
export function keep(chat) {
  chats.set(chat.id, chat);
  return write((all) => all.put(chat), chat.id);
}

export function forget(chat) {
  chats.delete(chat.id);
  return write((all) => all.delete(chat.id), chat.id);
}
