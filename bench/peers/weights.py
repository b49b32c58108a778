#!/usr/bin/env python3
"""What `--weights w8` gains over weights as they are stored, on the same file.

    bench/peers/weights.py [--threads 2] [--rounds 5] MODEL.gguf ...

Both take turns, each call a fresh process. Figures are medians of the rounds, ratios medians of the
rounds' own.
"""
import argparse

from engines import Pelton
from machine import describe, median, wait_until_quiet

PROMPT, GENERATED, BATCHES, BATCH_GENERATED = 512, 128, [8, 32], 32


def measure(engine, model):
    rates = engine.single(model, PROMPT, GENERATED)[0]
    return {**rates, **engine.batched(model, BATCH_GENERATED, BATCHES)[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    stored, w8 = Pelton(options.threads), Pelton(options.threads, ["--weights", "w8"])
    print(f"{describe()}; {options.threads} threads; {options.rounds} rounds\n\n"
          "| model | test | stored | w8 | ratio |\n|---|---|--:|--:|--:|", flush=True)
    for model in options.models:
        rounds = []
        for number in range(options.rounds):
            wait_until_quiet()
            found = {engine: measure(engine, model)
                     for engine in ((stored, w8) if number % 2 == 0 else (w8, stored))}
            rounds.append((found[stored], found[w8]))
        for test in rounds[0][0]:
            before, after = [row[0][test] for row in rounds], [row[1][test] for row in rounds]
            ratio = median([b / a for a, b in zip(before, after)])
            print(f"| {model} | {test} | {median(before):.1f} | {median(after):.1f} "
                  f"| {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
