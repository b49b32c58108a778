#!/usr/bin/env python3
"""Measures Pelton and its peers on the same files and prints one Markdown table: llama.cpp, and
OpenVINO GenAI where bench/peers/run could install it.

usage: compare.py [--rounds 5] [--threads 2] [--quick] [NAME=MODEL.gguf ...]

A round runs all engines on every model, one after the other, in an order that turns round each
time; a pause waits for a quiet machine first, and a memory read probe runs before each. The
table gives medians over the rounds and the median of the rounds' own ratios, because the machine
drifts: two figures of one round were taken minutes apart at most. All single measurements are in
build/bench/results.json.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time

from engines import LlamaCpp, OpenVino, Pelton
from machine import QUIET_SHARE, describe, dram_read_gbs, median, wait_until_quiet

RESULTS = pathlib.Path("build/bench/results.json")
TABLE = pathlib.Path("build/bench/results.md")
PYTHON = "build/bench-venv/bin/python"


def measure(engine, model, quick):
    """One round of one engine: test -> figure, and how busy the machine was for each test."""
    prompt, generated, batches, batch_generated = (128, 16, [8], 8) if quick else (512, 128, [8, 32], 32)
    figures, others = {}, {}

    def add(rates, outcome):
        figures.update(rates)
        others.update(dict.fromkeys(rates, outcome.others_share))

    rates, outcome = engine.single(model, prompt, generated)
    add(rates, outcome)
    add(*engine.batched(model, batch_generated, batches))
    add({"peak RSS": outcome.peak_rss_bytes / 1e6}, outcome)
    outcome = engine.start(model)
    add({"first token": outcome.first_output_s}, outcome)
    return figures, others


def run_round(number, engines, models, quick):
    record = {"round": number, "models": {}}
    for name, path in models.items():
        entry = record["models"].setdefault(name, {})
        order = engines if number % 2 == 0 else engines[::-1]
        for engine in order:
            wait_until_quiet()
            probe = dram_read_gbs(engine.threads)
            figures, others = measure(engine, path, quick)
            entry[engine.name] = {"figures": figures, "others": others, "dram_gbs": probe}
            print(f"round {number + 1} {name} {engine.name}: "
                  + " ".join(f"{test}={value:.4g}" for test, value in figures.items()),
                  file=sys.stderr, flush=True)
    return record


def weight_bytes(path):
    """Bytes that one decoded token reads. A process of its own: numpy would grow this one, and a
    child's peak memory starts at its parent's."""
    result = subprocess.run([PYTHON, "bench/models/weight_bytes.py", path], check=True,
                            capture_output=True, text=True)
    return int(result.stdout)


def unit_of(test):
    return {"peak RSS": "MB", "first token": "s"}.get(test, "tokens/s")


def row(name, test, rounds, peers, bytes_per_token):
    runs = {engine: [r["models"][name][engine] for r in rounds] for engine in ["Pelton", *peers]}
    figures = {engine: [run["figures"][test] for run in taken] for engine, taken in runs.items()
               if test in taken[0]["figures"]}
    mine = figures["Pelton"]
    cells = []
    for peer in peers:
        if peer not in figures:
            cells.append(" |  | ")
            continue
        ratios = [a / b for a, b in zip(mine, figures[peer])]
        cells.append(f"{median(figures[peer]):.4g} | **{median(ratios):.2f}** | "
                     f"{min(ratios):.2f}–{max(ratios):.2f}")
    others = max(run["others"][test] for engine in figures for run in runs[engine])
    probe = median([run["dram_gbs"] for taken in runs.values() for run in taken])
    share = ""
    if test.startswith("tg") and "@" not in test:
        share = f"{median([a * bytes_per_token / 1e9 / o['dram_gbs'] for a, o in zip(mine, runs['Pelton'])]):.2f}"
    busy = " busy" if others > QUIET_SHARE else ""
    return (f"| {name} | {test} | {unit_of(test)} | {median(mine):.4g} | {' | '.join(cells)} | "
            f"{probe:.1f} | {share} | {100 * others:.0f} %{busy} |")


def table(rounds, models, peers, threads):
    columns = "".join(f" {peer} | ratio | ratios seen |" for peer in peers)
    lines = [f"{describe()}; {threads} threads; {len(rounds)} rounds; "
             f"{time.strftime('%Y-%m-%d', time.gmtime())}", "",
             f"| model | test | unit | Pelton |{columns} DRAM read GB/s | of the probe | others' CPU |",
             f"|---|---|---|--:|{'--:|--:|--:|' * len(peers)}--:|--:|--:|"]
    for name, path in models.items():
        bytes_per_token = weight_bytes(path)
        for test in rounds[0]["models"][name]["Pelton"]["figures"]:
            lines.append(row(name, test, rounds, peers, bytes_per_token))
    lines += ["", "For tokens/s more is better; for MB and s less is. The last column is the largest "
              "share of the CPUs that other processes used during any of the row's measurements."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="short tests, to try the machinery")
    parser.add_argument("--pelton-option", action="append", default=[], help="passed to pelton")
    parser.add_argument("--llama-no-repack", action="store_true",
                        help="llama.cpp with weights as they are in the file, where it fails else")
    parser.add_argument("--without-openvino", action="store_true",
                        help="for models that it cannot read")
    parser.add_argument("models", nargs="+", metavar="NAME=PATH")
    arguments = parser.parse_args()
    models = dict(item.split("=", 1) for item in arguments.models)
    peers = [LlamaCpp(arguments.threads, not arguments.llama_no_repack)]
    if OpenVino.installed() and not arguments.without_openvino:
        peers.append(OpenVino(arguments.threads))
    engines = [Pelton(arguments.threads, arguments.pelton_option), *peers]
    rounds = []
    for number in range(arguments.rounds):
        rounds.append(run_round(number, engines, models, arguments.quick))
        RESULTS.write_text(json.dumps({"machine": describe(), "models": models, "rounds": rounds},
                                      indent=1))
        TABLE.write_text(table(rounds, models, [peer.name for peer in peers], arguments.threads)
                         + "\n")
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
