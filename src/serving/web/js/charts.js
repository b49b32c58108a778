// The charts of the live view, by Chart.js. What they show is also told in words above each.

/* global Chart */

import { element } from "./dom.js";
import { count, duration, percent, WINDOW_MS } from "./metrics.js";

const SPAN_MS = 30000;  // that a percentile in a chart looks back
const COLOURS = ["--decode", "--prefill", "--third"];
const FIRST = "pelton_first_token_seconds";

const percentile = (share) => (m, i) => m.within(i, FIRST, share, SPAN_MS)?.seconds ?? null;

// `of(metrics, i)` is a line's value at a sample or null; `top` the least scale.
const CHARTS = [
  { title: "Tokens each second", top: 1, write: (n) => count(n) + "/s",
    lines: [["Written", (m, i) => m.rate(i, "pelton_output_tokens_total")],
            ["Read", (m, i) => m.rate(i, "pelton_prompt_tokens_total")]] },
  { title: "Requests", top: 1, write: count, stepped: true,
    lines: [["Running", (m, i) => m.value(i, "pelton_requests_running")],
            ["Waiting", (m, i) => m.value(i, "pelton_requests_waiting")]] },
  { title: "Time to the first token", top: 0.01, write: duration,
    lines: [["p50", percentile(0.5)], ["p90", percentile(0.9)], ["p99", percentile(0.99)]] },
  { title: "KV cache", top: 0.01, write: percent,
    lines: [["In use", (m, i) => {
              const blocks = m.value(i, "pelton_kv_blocks");
              return blocks > 0 ? m.value(i, "pelton_kv_blocks_held") / blocks : null;
            }],
            ["Prompt tokens found in it", (m, i) => m.share(
                i, "pelton_prompt_cached_tokens_total", "pelton_prompt_tokens_total")]] },
];

const colour = (name) => {
  // light-dark() must be resolved by an element for a canvas to know it.
  const probe = element("span", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

function options(write, top) {
  const tick = { font: { size: 11 }, maxRotation: 0 };
  return {
    animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
    interaction: { mode: "index", intersect: false },
    events: ["mousemove", "mouseout", "touchstart", "touchmove"],
    elements: { point: { radius: 0, hoverRadius: 3 }, line: { borderWidth: 2, tension: 0.25 } },
    scales: {
      x: { type: "linear", min: -WINDOW_MS / 1000, max: 0, grid: { display: false },
           ticks: { ...tick, stepSize: 30,
                    callback: (s) => s === 0 ? "now" : s % 60 === 0 ? -s / 60 + " min" : "" } },
      y: { beginAtZero: true, suggestedMax: top, grace: "8%", grid: { drawBorder: false },
           ticks: { ...tick, maxTicksLimit: 4, callback: write,
                    ...(write === count && { precision: 0 }) } },
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        animation: false, displayColors: true, boxWidth: 8, boxHeight: 8,
        callbacks: { title: ([at]) => at ? Math.round(-at.parsed.x) + " s ago" : "",
                     label: (at) => ` ${at.dataset.label}: ${write(at.parsed.y)}` },
      },
    },
  };
}

class LineChart {
  constructor({ title, top, write, stepped, lines }) {
    this.title = title;
    this.write = write;
    this.canvas = element("canvas", { role: "img" });
    this.parts = lines.map(([name, of]) => ({ name, of, now: element("b", {}, "–") }));
    const legend = element("div.legend", {},
                           ...this.parts.map(({ name, now }, i) => element("span.line" + i, {}, name + " ", now)));
    this.box = element("figure", {}, element("figcaption", {}, title), legend,
                       element("div.plot", {}, this.canvas));
    this.chart = new Chart(this.canvas, {
      type: "line",
      data: { datasets: lines.map(([label], i) => ({
        label, data: [], stepped: stepped ? "before" : false, borderDash: i ? [5, 3 + 2 * i] : [],
        fill: i === 0 })) },
      options: options(write, top) });
    this.paint();
  }

  // In the colours of the theme.
  paint() {
    this.chart.data.datasets.forEach((set, i) => {
      set.borderColor = colour(COLOURS[i]);
      set.pointBackgroundColor = set.borderColor;
      set.backgroundColor = set.borderColor.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)");
    });
    const { x, y } = this.chart.options.scales;
    x.ticks.color = y.ticks.color = colour("--faint");
    y.grid.color = x.grid.color = colour("--line");
    this.chart.update("none");
  }

  draw(metrics) {
    const end = metrics.samples.at(-1).at;
    this.parts.forEach(({ of, now }, k) => {
      const data = metrics.samples.map((s, i) => ({ x: (s.at - end) / 1000, y: of(metrics, i) }));
      this.chart.data.datasets[k].data = data;
      const last = data.at(-1).y;
      now.textContent = last === null ? "–" : this.write(last);
    });
    this.chart.update("none");
    this.canvas.ariaLabel = this.title + " over two minutes, now: " +
        this.parts.map(({ name, now }) => name + " " + now.textContent).join(", ");
  }
}

export class Charts {
  // Adds the charts to an element that is seen: their size follows from it.
  constructor(target) {
    this.charts = CHARTS.map((each) => new LineChart(each));
    target.replaceChildren(...this.charts.map(({ box }) => box));
  }

  paint() { for (const chart of this.charts) chart.paint(); }
  draw(metrics) { for (const chart of this.charts) chart.draw(metrics); }
}
