#!/usr/bin/env python3
"""What the prefix cache saves, and what it costs where nothing is shared.

    bench/serving/prefix.py [--requests 100] [--rounds 5] [--threads 2] MODEL

First, chats that share a system prompt of about 4,000 tokens, one after another, on a server with
the cache and one without: the time to the first token of each request after the first, and whether
the answers are equal. Then distinct prompts of about 500 tokens, 4 clients at once, in turns on both
servers: tokens read and written each second; the ratio is the median of those of the rounds.
"""
import argparse
import asyncio
import pathlib
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import compare  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402

SHARED_WORDS, QUESTION_WORDS, ANSWER = 4000, 40, 16
ALONE_WORDS, CLIENTS, EACH = 500, 4, 4
KV_TOKENS = 32768


async def ask(port, prompt):
    body = {"prompt": prompt, "max_tokens": ANSWER, "temperature": 0, "ignore_eos": True,
            "stream": True}
    texts = []
    seen = await load.stream(port, body, texts)
    return seen.first, "".join(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("model")
    options = parser.parse_args()
    print(f"{machine.describe()}; {options.threads} threads\n")
    ports = {mode: compare.free_port() for mode in ("on", "off")}
    servers = {}
    try:
        for mode, port in ports.items():
            servers[mode] = compare.serve_pelton(
                options.model, options.threads, port, "--prefix-cache", mode, "--ctx", "8192",
                "--speculate", "off", "--kv-tokens", str(KV_TOKENS))
            asyncio.run(ask(port, "warm"))
        shared = load.prompt("system", SHARED_WORDS)
        seen = {mode: [] for mode in ports}
        for number in range(options.requests):
            prompt = f"{shared}\n{load.prompt(number, QUESTION_WORDS)}"
            # Without the cache each takes as long as the first: a tenth of them will do.
            for mode in ports if number % 10 == 1 else ("on",):
                seen[mode].append((number, *asyncio.run(ask(ports[mode], prompt))))
        texts = {number: text for number, _, text in seen["on"]}
        for number, _, text in seen["off"]:
            if texts[number] != text:
                raise SystemExit(f"the answers differ: {texts[number]!r} {text!r}")
        first = {mode: statistics.median(one[1] for one in seen[mode] if one[0] > 0)
                 for mode in ports}
        print("| shared 4k system prompt | first token, cached | uncached | ratio |\n"
              "|---|--:|--:|--:|")
        print(f"| {options.requests} requests | {first['on'] * 1000:.1f} ms "
              f"| {first['off'] * 1000:.1f} ms | {first['on'] / first['off']:.3f} |\n")

        rates = {mode: [] for mode in ports}
        for number in range(options.rounds):
            for mode in list(ports) if number % 2 == 0 else list(reversed(ports)):
                started = time.perf_counter()
                load.run(ports[mode], CLIENTS, EACH, ALONE_WORDS, ANSWER, f"{mode}/{number}")
                tokens = CLIENTS * EACH * (ALONE_WORDS + ANSWER)
                rates[mode].append(tokens / (time.perf_counter() - started))
        ratio = statistics.median(a / b for a, b in zip(rates["on"], rates["off"]))
        print("| nothing shared | tokens/s with the cache | without | ratio |\n|---|--:|--:|--:|")
        print(f"| {CLIENTS} clients | {statistics.median(rates['on']):.0f} "
              f"| {statistics.median(rates['off']):.0f} | {ratio:.3f} |")
    finally:
        compare.stop(servers.values())


if __name__ == "__main__":
    main()
