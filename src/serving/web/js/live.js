// The live view: what the server does now, told by its /metrics, and what its last requests took,
// told by its /debug/requests. It asks only while it is open and can be seen.

import { Charts } from "./charts.js";
import { $, element } from "./dom.js";
import { duration, Metrics } from "./metrics.js";
import { headers } from "./settings.js";
import { drawWaterfall } from "./waterfall.js";

const POLL_MS = 2000, LONGEST_POLL_MS = 10000, MOST_ROWS = 40;
const LATENCIES = [["First token", "pelton_first_token_seconds"],
                   ["Between tokens", "pelton_inter_token_seconds"],
                   ["Whole request", "pelton_request_seconds"],
                   ["Waiting", "pelton_request_queue_seconds"],
                   ["Reading the prompt", "pelton_request_prefill_seconds"],
                   ["Writing", "pelton_request_decode_seconds"]];
const SHARES = [["p50", 0.5, "half are within"], ["p90", 0.9, "9 of 10 are within"],
                ["p99", 0.99, "99 of 100 are within"]];

const metrics = new Metrics();
const cells = new Map();  // name of a latency → its table cells
let charts = null;
let requests = null;  // the last answer of /debug/requests
let timer = 0;
let asking = null;  // AbortController of the question in progress

function makeTable() {
  const head = element("tr", {}, element("td"), ...SHARES.map(
      ([words, , title]) => element("th", { scope: "col", title }, words)));
  const rows = LATENCIES.map(([words, name]) => {
    cells.set(name, SHARES.map(() => element("td", {}, "–")));
    return element("tr", {}, element("th", { scope: "row" }, words), ...cells.get(name));
  });
  $("latency").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

function draw() {
  if ($("live").hidden) return;
  if (requests) drawWaterfall(requests);
  if (!metrics.samples.length) return;
  charts ??= new Charts($("live-charts"));
  charts.draw(metrics);
  const last = metrics.samples.length - 1;
  for (const [name, row] of cells) {
    row.forEach((cell, i) => {
      const found = metrics.within(last, name, SHARES[i][1]);
      cell.textContent = found ? (found.over ? "over " : "") + duration(found.seconds) : "–";
    });
  }
}

function say(text) {  // only what is new: a reader's voice repeats each change
  if ($("live-state").textContent !== text) $("live-state").textContent = text;
}

async function ask(path, signal) {
  const response = await fetch(path, { headers: headers(), signal });
  if (response.ok) return response;
  throw new Error(response.status === 401
      ? "The server wants a key for these numbers: enter it under Settings."
      : `The server answered ${response.status} instead of its numbers.`);
}

async function poll() {
  timer = 0;
  const mine = asking = new AbortController();
  const limit = setTimeout(() => mine.abort(), LONGEST_POLL_MS);
  let said = "";
  try {
    const numbers = await ask("metrics", mine.signal);
    metrics.add(await numbers.text(), performance.now());
    const told = await ask("debug/requests?limit=" + MOST_ROWS, mine.signal);
    requests = await told.json();
  } catch (failure) {
    said = failure.name === "Error" ? failure.message
                                    : "The server cannot be reached; the numbers are old.";
  }
  clearTimeout(limit);
  if (asking !== mine) return;  // closed or hidden meanwhile
  asking = null;
  say(said);
  draw();
  timer = setTimeout(poll, POLL_MS);
}

// Asks while the view is open and seen, else rests.
export function showLive(open) {
  if (open) draw();
  if (open && !document.hidden) {
    if (!timer && !asking) poll();
    return;
  }
  clearTimeout(timer);
  timer = 0;
  asking?.abort();
  asking = null;
}

export function startLive() {
  makeTable();
  $("bars").onchange = draw;
  document.addEventListener("visibilitychange", () => showLive(!$("live").hidden));
  new MutationObserver(() => charts?.paint())
      .observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts?.paint());
}
