#!/usr/bin/env python3
"""What service classes do on a real server, beside one queue at equal load.

    bench/serving/classes.py [--requests 300] [--load 0.9] [--threads 2] MODEL

Of the requests 30 % are short and urgent, 40 % usual and 30 % long. First all of them at once, which
gives the server's capacity. Then the same requests arrive at random times at --load of that: once all
of the class standard, once as realtime, standard and batch. The table has the times of each kind and
their ratio; the server is the same, and nothing is found in its prefix cache.
"""
import argparse
import asyncio
import pathlib
import random
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import compare  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402

PARALLEL, CONTEXT = 16, 1024
# Class, share, words of the prompt, tokens of the answer: at least, and how many more at most.
KINDS = [("realtime", 0.3, (40, 40), (8, 8)), ("standard", 0.4, (100, 200), (30, 40)),
         ("batch", 0.3, (400, 400), (50, 100))]


def make_requests(count, seed):
    draw = random.Random(seed)
    requests = []
    for i in range(count):
        kind, _, words, tokens = draw.choices(KINDS, [kind[1] for kind in KINDS])[0]
        requests.append((kind, {"prompt": load.prompt(f"{seed}/{i}", words[0] + draw.randrange(words[1])),
                                "max_tokens": tokens[0] + draw.randrange(tokens[1]),
                                "temperature": 0, "ignore_eos": True, "stream": True}))
    return requests


async def run(port, requests, rate, classes):
    """Seconds that each request took, to the first token and to the end; `rate` 0: all at once."""
    draw = random.Random(1)
    started = time.perf_counter()
    due = 0.0

    async def one(kind, body, at):
        await asyncio.sleep(max(0.0, started + at - time.perf_counter()))
        begun = time.perf_counter()
        headers = f"X-Pelton-Class: {kind if classes else 'standard'}\r\n".encode()
        seen = await load.stream(port, body, headers=headers)
        return kind, seen.first, seen.ended - begun

    tasks = []
    for kind, body in requests:
        tasks.append(one(kind, body, due))
        due += draw.expovariate(rate) if rate else 0.0
    outcomes = await asyncio.gather(*tasks)
    return outcomes, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("model")
    options = parser.parse_args()
    port = compare.free_port()
    server = compare.serve_pelton(
        options.model, options.threads, port, "--parallel", str(PARALLEL), "--ctx", str(CONTEXT),
        "--kv-tokens", str(PARALLEL * CONTEXT), "--speculate", "off", "--max-queued", "4096")
    try:
        outcomes, seconds = asyncio.run(run(port, make_requests(options.requests, "all"), 0, False))
        rate = options.load * len(outcomes) / seconds
        print(f"{machine.describe()}; {options.threads} threads; {options.requests} requests at "
              f"{rate:.1f} a second, {options.load:.2f} of what the server can do\n")
        seen = {}
        for classes in (False, True):
            requests = make_requests(options.requests, f"classes {classes}")
            # The same kinds at the same times, other texts.
            kinds = make_requests(options.requests, "classes False")
            requests = [(kind, dict(body, prompt=other["prompt"]))
                        for (kind, body), (_, other) in zip(kinds, requests)]
            seen[classes] = asyncio.run(run(port, requests, rate, classes))[0]
        print("| kind | figure | one queue | classes | ratio |\n|---|---|--:|--:|--:|")
        for kind, *_ in KINDS:
            for name, place in (("first token", 1), ("whole answer", 2)):
                for share in (0.5, 0.99):
                    one, three = (load.percentile([outcome[place] for outcome in seen[classes]
                                                   if outcome[0] == kind], share)
                                  for classes in (False, True))
                    print(f"| {kind} | p{100 * share:.0f} {name} | {1000 * one:.0f} ms "
                          f"| {1000 * three:.0f} ms | {three / one:.2f} |")
    finally:
        compare.stop([server])


if __name__ == "__main__":
    main()
