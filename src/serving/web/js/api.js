// What the page asks of the server.

import { headers } from "./settings.js";

async function failureOf(response) {
  const failure = await response.json().catch(() => null);
  const words = failure?.error?.message || "the server answered " + response.status;
  return new Error(response.status === 401 ? words + ". Enter the key under Settings." : words);
}

// The names of the models that answer, the first one the server's own choice.
export async function modelNames() {
  const response = await fetch("v1/models", { headers: headers() });
  if (!response.ok) throw await failureOf(response);
  const list = await response.json();
  return list.data.map((model) => model.id);
}

export async function serverVersion() {
  const response = await fetch("version");
  return (await response.json()).version;
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

// Asks for an answer; `take` gets each chunk of the stream. Resolves when the answer is whole,
// and to the server's id of the request; rejects with an AbortError if `signal` says so, else an
// Error for people to read.
export async function streamChat(body, signal, take) {
  let response;
  try {
    response = await fetch("v1/chat/completions", { method: "POST", headers: headers(),
                                                    body: JSON.stringify(body), signal });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Error("the server cannot be reached");
  }
  if (!response.ok) throw await failureOf(response);
  let ended = false;
  await readEvents(response.body, (data) => {
    if (data === "[DONE]") { ended = true; return; }
    const event = JSON.parse(data);
    if (event.error) throw new Error(event.error.message);
    take(event);
  });
  if (!ended) throw new Error("the answer broke off");
  return response.headers.get("X-Request-Id") ?? "";
}
