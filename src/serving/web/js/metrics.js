// The server's /metrics as numbers over the last two minutes.

export const WINDOW_MS = 120000;

// The sums over all models. Metrics with other labels are none that the page shows.
function parse(text, at) {
  const sample = { at, values: new Map(), buckets: new Map() };
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

export class Metrics {
  samples = [];  // {at, values: name → number, buckets: name → [[bound, requests so far]]}

  add(text, at) {
    const sample = parse(text, at);
    const before = this.samples.at(-1);
    const total = (s) => s.values.get("pelton_engine_steps_total") ?? 0;
    if (before && total(sample) < total(before)) this.samples = [];  // another process answers
    this.samples.push(sample);
    this.samples = this.samples.filter((s) => at - s.at <= WINDOW_MS);
  }

  value(i, name) { return this.samples[i].values.get(name) ?? 0; }

  // Growth of a counter between two samples, each second; null for the first.
  rate(i, name) {
    if (i === 0) return null;
    return 1000 * (this.value(i, name) - this.value(i - 1, name)) /
           (this.samples[i].at - this.samples[i - 1].at);
  }

  // What a counter's growth since the first sample is of another's; null if that did not grow.
  share(i, part, whole) {
    const grown = (name) => this.value(i, name) - this.value(0, name);
    return grown(whole) > 0 ? grown(part) / grown(whole) : null;
  }

  // The seconds within which a share of what was counted in the last `spanMs` before sample i lies:
  // linear inside a bucket, as Prometheus has it. {seconds, over}: of the last bucket only the lower
  // bound is known. Null if nothing was counted.
  within(i, name, share, spanMs = WINDOW_MS) {
    const end = this.samples[i];
    const begin = this.samples.find((s) => end.at - s.at <= spanMs);
    const first = begin.buckets.get(name) ?? [];
    const grown = (end.buckets.get(name) ?? []).map(
        ([bound, total], k) => [bound, total - (first[k]?.[1] ?? 0)]);
    const all = grown.at(-1)?.[1] ?? 0;
    if (all <= 0) return null;
    let [lower, below] = [0, 0];
    for (const [bound, total] of grown) {
      if (bound === Infinity) break;
      if (total >= share * all) {
        return { seconds: lower + (bound - lower) * (share * all - below) / (total - below),
                 over: false };
      }
      [lower, below] = [bound, total];
    }
    return { seconds: lower, over: true };
  }
}

export const count = (n) => n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 1 : 0 });
export const percent = (share) => count(100 * share) + " %";
export const duration = (s) => s === 0 ? "0 ms" : s < 0.01 ? (1000 * s).toFixed(1) + " ms"
    : s < 1 ? (1000 * s).toFixed(0) + " ms" : s.toFixed(s < 10 ? 2 : s < 100 ? 1 : 0) + " s";
