// The requests that the server remembers, each as a bar: waiting, reading the prompt, writing.

import { $, drawn, element } from "./dom.js";
import { count, duration } from "./metrics.js";

const ENDINGS = { length: "cut at its longest", cancelled: "cancelled", deadline: "too late",
                  error: "failed", running: "runs" };
const CLOCK_S = 120;  // that the bars by the clock show

const total = (r) => r.queue_ms + r.prompt_ms + r.output_ms;
const share = (part) => (100 * Math.min(1, Math.max(0, part))).toFixed(3) + "%";

// One request's bar; `begin` and `scale` in ms say where it lies and what the whole width is.
function bar(request, begin, scale) {
  const parts = [["queue", request.queue_ms], ["prefill", request.prompt_ms],
                 ["decode", request.output_ms]];
  const picture = drawn("svg", { "aria-hidden": "true" });
  let at = begin;
  for (const [name, ms] of parts) {
    const from = Math.max(0, at), to = Math.max(0, at + ms);
    if (ms > 0 && to > from) {
      picture.append(drawn("rect", { class: name, height: "100%", x: share(from / scale),
                                     width: share((to - from) / scale) }));
    }
    at += ms;
  }
  return picture;
}

function words(request) {
  const tokens = count(request.prompt_tokens) + " → " + count(request.output_tokens) + " tokens";
  const cached = request.cached_tokens ? `, ${count(request.cached_tokens)} cached` : "";
  const speed = request.output_ms > 0 && request.output_tokens > 1
      ? ", " + count(1000 * (request.output_tokens - 1) / request.output_ms) + "/s" : "";
  return tokens + cached + speed;
}

function row(request, begin, scale) {
  const ending = ENDINGS[request.state];
  const time = new Date(1000 * request.began).toLocaleTimeString("en-GB");
  const part = (name, ms) => element("span." + name, {}, duration(ms / 1000));
  return element("li" + (request.state === "running" ? ".runs" : ""), {},
      element("div.what", { title: request.id },
              element("time", {}, time),
              element("span.path", {}, request.path + (request.choice ? " #" + request.choice : "")),
              element("span", {}, request.model),
              request.service_class === "standard" ? null : element("span", {}, request.service_class),
              ending ? element("span." + request.state, {}, ending) : null),
      bar(request, begin, scale),
      element("div.times", {}, element("span", {}, words(request)),
              element("span.parts", {}, part("queue", request.queue_ms),
                      part("prefill", request.prompt_ms), part("decode", request.output_ms),
                      element("b", {}, duration(total(request) / 1000)))));
}

// `answer` is what /debug/requests says: {now, requests}, newest first.
export function drawWaterfall({ now, requests }) {
  const byClock = $("bars").value === "clock";
  const longest = Math.max(1, ...requests.map(total));
  const scale = byClock ? 1000 * CLOCK_S : longest;
  const rows = requests.map((request) => {
    const begin = byClock ? scale - 1000 * (now - request.began) : 0;
    return row(request, begin, scale);
  });
  $("requests").replaceChildren(...rows);
  $("no-requests").hidden = rows.length > 0;
}
