#!/usr/bin/env python3
"""Other regimes than those of compare.py, beside llama.cpp on the same file.

    bench/peers/regimes.py [--threads 2] [--rounds 3] [--batches 1,2,4,...] [--long 8000] MODEL.gguf

Growth: decode of more and more sequences at once, which should never dip. Busy: decode beside one
loop of the lowest priority on each CPU, as a share of the idle rate. Long: prompts of --long tokens,
and decode behind as many (none without it). Medians of the rounds; both engines take turns.
"""
import argparse
import contextlib
import subprocess
import sys

from engines import LlamaCpp, Pelton
from machine import cpus, describe, median, wait_until_quiet

GENERATED = 32


@contextlib.contextmanager
def busy_loops(count):
    loops = [subprocess.Popen(["taskset", "-c", str(cpu), "nice", "-n", "19", sys.executable, "-c",
                               "while True: pass"]) for cpu in cpus(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def medians(engines, rounds, measure):
    """Engine name -> test -> median of the rounds."""
    seen = {engine.name: [] for engine in engines}
    for number in range(rounds):
        for engine in engines if number % 2 == 0 else engines[::-1]:
            seen[engine.name].append(measure(engine))
    return {name: {test: median([rates[test] for rates in runs]) for test in runs[0]}
            for name, runs in seen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", default="1,2,3,4,6,8,12,16,24,32,48,64")
    parser.add_argument("--long", default="")
    parser.add_argument("model")
    options = parser.parse_args()
    batches = [int(batch) for batch in options.batches.split(",")]
    engines = [Pelton(options.threads), LlamaCpp(options.threads)]
    wait_until_quiet()
    print(f"{describe()}; {options.threads} threads; {options.rounds} rounds\n\n"
          "| regime | Pelton | llama.cpp | ratio |\n|---|--:|--:|--:|", flush=True)

    def row(name, ours, theirs, form="{:.1f} tokens/s"):
        print(f"| {name} | {form.format(ours)} | {form.format(theirs)} | {ours / theirs:.2f} |",
              flush=True)

    many = [batch for batch in batches if batch > 1]

    def growth(engine):
        rates = engine.single(options.model, 0, GENERATED)[0] if 1 in batches else {}
        return {**rates, **(engine.batched(options.model, GENERATED, many)[0] if many else {})}

    found = medians(engines, options.rounds, growth)
    names = [f"tg{GENERATED}" if batch == 1 else f"tg{GENERATED}@{batch}" for batch in batches]
    for batch, name in zip(batches, names):
        row(f"decode, {batch} at once", found["Pelton"][name], found["llama.cpp"][name])
    rates = [found["Pelton"][name] for name in names]
    dip = max([1 - b / a for a, b in zip(rates, rates[1:])] or [0])
    print(f"\nPelton's worst step from one number of sequences to the next: {-100 * dip:+.1f} %\n\n"
          "| regime | Pelton | llama.cpp | ratio |\n|---|--:|--:|--:|")

    def decode(engine):
        return engine.single(options.model, 0, GENERATED)[0]

    idle = medians(engines, options.rounds, decode)
    with busy_loops(options.threads):
        busy = medians(engines, options.rounds, decode)
    name = f"tg{GENERATED}"
    row("decode beside idle loops", *(busy[engine.name][name] for engine in engines))
    row("the same, of the idle rate",
        *(100 * busy[engine.name][name] / idle[engine.name][name] for engine in engines), "{:.0f} %")
    for tokens in [int(tokens) for tokens in options.long.split(",") if tokens]:
        found = medians(engines, options.rounds,
                        lambda engine, n=tokens: engine.single(options.model, n, 0)[0])
        row(f"prompt of {tokens} tokens", *(found[engine.name][f"pp{tokens}"] for engine in engines))
        found = medians(engines, options.rounds,
                        lambda engine, n=tokens: engine.deep(options.model, GENERATED, n)[0])
        row(f"decode behind {tokens} tokens",
            *(found[engine.name][f"tg{GENERATED} @ d{tokens}"] for engine in engines))


if __name__ == "__main__":
    main()
