"use strict";
// The live panel: what the server does now, told by its /metrics, and how long the requests took
// that this page sent. It asks only while it is open and can be seen. Uses $, element and headers
// of page.js, which calls live.start().

const live = (() => {
  const POLL_MS = 2000, LONGEST_POLL_MS = 10000, WINDOW_MS = 120000, MOST_REQUESTS = 12;
  const WIDTH = 240, HEIGHT = 48;  // of a chart's drawing, which the page stretches
  const LATENCIES = [["First token", "pelton_first_token_seconds"],
                     ["Between tokens", "pelton_inter_token_seconds"],
                     ["Whole request", "pelton_request_seconds"]];
  const SHARES = [["half within", 0.5], ["9 of 10 within", 0.9], ["99 of 100 within", 0.99]];

  let samples = [];  // {at, values: name → number, buckets: name → [[bound, requests so far]]}
  let charts = [];
  const cells = new Map();  // name of a latency → its table cells
  const requests = [];  // {text, start, first, end, ending}: performance.now(), 0 if not yet
  let timer = 0;
  let asking = null;  // AbortController of the question in progress

  const count = (n) => n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 1 : 0 });
  const percent = (share) => count(100 * share) + " %";
  const duration = (s) => s < 0.01 ? (1000 * s).toFixed(1) + " ms"
      : s < 1 ? (1000 * s).toFixed(0) + " ms" : s.toFixed(s < 10 ? 2 : 0) + " s";

  function drawn(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  // The sums over all models. Metrics with other labels are none that the panel shows.
  function parse(text) {
    const sample = { at: performance.now(), values: new Map(), buckets: new Map() };
    const bounds = new Map();  // of each histogram: bound to count
    for (const line of text.split("\n")) {
      const found = /^(pelton_\w+?)(_bucket)?(?:\{(.*)\})? (\S+)$/.exec(line);
      if (!found) continue;
      const [, name, bucket, labels, value] = found;
      const le = /(?:^|,)le="([^"]+)"$/.exec(labels ?? "");
      const model = /^(?:model="(?:[^"\\]|\\.)*")?(?:,?le="[^"]+")?$/.test(labels ?? "");
      if (!model || !bucket !== !le) continue;
      if (!bucket) {
        sample.values.set(name, (sample.values.get(name) ?? 0) + Number(value));
        continue;
      }
      if (!bounds.has(name)) bounds.set(name, new Map());
      const bound = le[1] === "+Inf" ? Infinity : Number(le[1]);
      bounds.get(name).set(bound, (bounds.get(name).get(bound) ?? 0) + Number(value));
    }
    for (const [name, counts] of bounds) {
      sample.buckets.set(name, [...counts].sort(([a], [b]) => a - b));
    }
    return sample;
  }

  function keep(sample) {
    const before = samples.at(-1);
    const total = (s) => s.values.get("pelton_engine_steps_total") ?? 0;
    if (before && total(sample) < total(before)) samples = [];  // another process answers
    samples.push(sample);
    samples = samples.filter((s) => sample.at - s.at <= WINDOW_MS);
  }

  const value = (i, name) => samples[i].values.get(name) ?? 0;

  // Growth of a counter between two samples, each second.
  function rate(i, name) {
    if (i === 0) return null;
    return 1000 * (value(i, name) - value(i - 1, name)) / (samples[i].at - samples[i - 1].at);
  }

  function cachedShare(i) {
    const prompt = value(i, "pelton_prompt_tokens_total") - value(0, "pelton_prompt_tokens_total");
    const cached = value(i, "pelton_prompt_cached_tokens_total") -
                   value(0, "pelton_prompt_cached_tokens_total");
    return prompt > 0 ? cached / prompt : null;
  }

  function blocksShare(i) {
    const blocks = value(i, "pelton_kv_blocks");
    return blocks > 0 ? value(i, "pelton_kv_blocks_held") / blocks : null;
  }

  // The duration within which a share of what the window's samples counted lies: linear inside a
  // bucket, as Prometheus has it. Null if nothing was counted; above the last bound only that bound
  // is known.
  function within(name, share) {
    const last = samples.at(-1).buckets.get(name) ?? [];
    const first = samples[0].buckets.get(name) ?? [];
    const grown = last.map(([bound, total], i) => [bound, total - (first[i]?.[1] ?? 0)]);
    const all = grown.at(-1)?.[1] ?? 0;
    if (all <= 0) return null;
    let [lower, below] = [0, 0];
    for (const [bound, total] of grown) {
      if (total >= share * all && bound !== Infinity) {
        return duration(lower + (bound - lower) * (share * all - below) / (total - below));
      }
      if (bound !== Infinity) [lower, below] = [bound, total];
    }
    return "over " + duration(lower);
  }

  // A chart of two lines; `of(i)` is a line's value at sample i or null. `top` is the least scale.
  function chart(title, top, write, lines) {
    const box = element("figure");
    box.append(element("figcaption", "", title));
    const legend = element("div", "legend");
    const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
                                   preserveAspectRatio: "none" });
    const parts = lines.map(([name, of], i) => {
      const key = element("span", "line" + i, name + " ");
      const now = element("b", "", "–");
      key.append(now);
      legend.append(key);
      const line = drawn("polyline", { class: "line" + i });
      picture.append(line);
      return { name, of, now, line };
    });
    const axis = element("div", "axis");
    const most = element("span");
    axis.append(element("span", "", "2 minutes ago"), most, element("span", "", "now"));
    box.append(legend, picture, axis);
    const draw = () => {
      const end = samples.at(-1).at;
      const series = parts.map(({ of }) => samples.map((s, i) => [s.at, of(i)])
                                                  .filter(([, y]) => y !== null));
      const scale = Math.max(top, ...series.flat().map(([, y]) => y));
      parts.forEach(({ line, now }, i) => {
        line.setAttribute("points", series[i].map(([at, y]) =>
            (WIDTH * (1 - (end - at) / WINDOW_MS)).toFixed(1) + "," +
            ((HEIGHT - 2) * (1 - y / scale) + 1).toFixed(1)).join(" "));
        now.textContent = series[i].length ? write(series[i].at(-1)[1]) : "–";
      });
      most.textContent = "top: " + write(scale);
      picture.setAttribute("aria-label", title + " over two minutes: " +
          parts.map(({ name, now }) => name + " " + now.textContent).join(", "));
    };
    return { box, draw };
  }

  function latencyTable() {
    const table = element("table");
    table.append(element("caption", "", "How long it took, in these two minutes"));
    const head = element("tr");
    head.append(element("td"));
    for (const [words, share] of SHARES) {
      const cell = element("th", "", words);
      cell.scope = "col";
      cell.title = "p" + 100 * share;
      head.append(cell);
    }
    table.append(head);
    for (const [words, name] of LATENCIES) {
      const row = element("tr");
      const title = element("th", "", words);
      title.scope = "row";
      cells.set(name, SHARES.map(() => element("td", "", "–")));
      row.append(title, ...cells.get(name));
      table.append(row);
    }
    return table;
  }

  function describe(request, now) {
    const end = request.end || now;
    const first = request.first ? duration((request.first - request.start) / 1000) +
                                  " to the first token, " : "no token yet, ";
    const whole = duration((end - request.start) / 1000);
    if (!request.end) return first + whole + " so far";
    return (request.first ? first : "no token, ") + whole + " in all" +
           (request.ending ? ", " + request.ending : "");
  }

  // Each request from its own start, all to the scale of the longest.
  function drawRequests() {
    const now = performance.now();
    const longest = Math.max(1, ...requests.map((r) => (r.end || now) - r.start));
    const share = (ms) => (100 * ms / longest).toFixed(2) + "%";
    $("live-requests").replaceChildren(...requests.map((request) => {
      const end = request.end || now, first = request.first || end;
      const row = element("li");
      const bar = drawn("svg", { "aria-hidden": "true" });
      bar.append(drawn("rect", { class: "wait", height: "100%",
                                 width: share(first - request.start) }),
                 drawn("rect", { class: "write", height: "100%", x: share(first - request.start),
                                 width: share(end - first) }));
      row.append(element("div", "what", request.text), bar,
                 element("div", "times", describe(request, now)));
      return row;
    }));
    $("live-none").hidden = requests.length > 0;
  }

  function draw() {
    if ($("live").hidden) return;
    drawRequests();
    if (!samples.length) return;
    for (const { draw } of charts) draw();
    for (const [name, row] of cells) {
      row.forEach((cell, i) => { cell.textContent = within(name, SHARES[i][1]) ?? "–"; });
    }
  }

  function say(text) {  // only what is new: a reader's voice repeats each change
    if ($("live-state").textContent !== text) $("live-state").textContent = text;
  }

  async function poll() {
    timer = 0;
    const mine = asking = new AbortController();
    const limit = setTimeout(() => mine.abort(), LONGEST_POLL_MS);
    let said = "";
    try {
      const response = await fetch("metrics", { headers: headers(), signal: mine.signal });
      if (response.ok) {
        keep(parse(await response.text()));
      } else if (response.status === 401) {
        said = "The server wants a key for these numbers: enter it under Settings.";
      } else {
        said = "The server answered " + response.status + " instead of its numbers.";
      }
    } catch { said = "The server cannot be reached; the numbers are old."; }
    clearTimeout(limit);
    if (asking !== mine) return;  // closed or hidden meanwhile
    asking = null;
    say(said);
    draw();
    timer = setTimeout(poll, POLL_MS);
  }

  function askOrRest() {
    if (!$("live").hidden && !document.hidden) {
      if (!timer && !asking) poll();
      return;
    }
    clearTimeout(timer);
    timer = 0;
    asking?.abort();
    asking = null;
  }

  function toggle(open) {
    $("live").hidden = !open;
    $("live-open").setAttribute("aria-expanded", String(open));
    draw();
    askOrRest();
  }

  function start() {
    charts = [
      chart("Tokens each second", 1, (n) => count(n) + "/s",
            [["Read", (i) => rate(i, "pelton_prompt_tokens_total")],
             ["Written", (i) => rate(i, "pelton_output_tokens_total")]]),
      chart("Requests", 1, count,
            [["Running", (i) => value(i, "pelton_requests_running")],
             ["Waiting", (i) => value(i, "pelton_requests_waiting")]]),
      chart("KV cache", 0.01, percent,
            [["In use", blocksShare], ["Prompt tokens found in it", cachedShare]]),
    ];
    $("live-numbers").append(...charts.map(({ box }) => box), latencyTable());
    $("live-open").onclick = () => toggle($("live").hidden);
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing || $("live").hidden) return;
      const inside = $("live").contains(document.activeElement);
      toggle(false);
      if (inside) $("live-open").focus();
    });
    document.addEventListener("visibilitychange", askOrRest);
  }

  // A request of this page sets out; the caller sets `first` when the first token is here.
  function sent(text) {
    const request = { text: text.slice(0, 80), start: performance.now(), first: 0, end: 0,
                      ending: "" };
    requests.unshift(request);
    requests.splice(MOST_REQUESTS);
    draw();
    return request;
  }

  function ended(request, ending) {
    request.end = performance.now();
    request.ending = ending;
    draw();
  }

  return { start, sent, ended };
})();
