#!/usr/bin/env python3
"""Decoding with guessed tokens beside decoding without, on one server each, in turns.

    bench/serving/speculate.py [--rounds 5] [--threads 2] [--clients 1,4] [--speculate auto] MODEL

Four texts: code to be written out again; random words gone on with greedily, where a small model
soon repeats itself; the same sampled with a seed, where it does not; and JSON of a schema, whose
names are known before. The answers of both servers must be equal. The ratio is the median of those
of the rounds; above 1 the guesses pay.
"""
import argparse
import asyncio
import json
import pathlib
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import compare  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402

TOKENS = 160
CODE = "\n".join(f"def area_of_shape_{i}(width, height):\n    if width < 0:\n        return None\n"
                 f"    return width * height + {i}\n" for i in range(8))
PROMPTS = {
    "code": lambda seed: f"# Version {seed}\n{CODE}\n# The same functions again:\n{CODE[:150]}",
    "words": lambda seed: load.prompt(seed, 200),
    "words, sampled": lambda seed: load.prompt(seed, 200),
    "schema": lambda seed: load.prompt(seed, 200),
}
# Strings that the model may not go on with for ever.
NAME = {"type": "string", "pattern": "^[A-Za-z ]{1,20}$"}
SCHEMA = {"type": "array", "minItems": 4, "maxItems": 4, "items": {
    "type": "object", "additionalProperties": False,
    "properties": {"first_name": NAME, "family_name": NAME, "year_of_birth": {
        "type": "integer", "minimum": 1900, "maximum": 2020}, "is_married": {"type": "boolean"}},
    "required": ["first_name", "family_name", "year_of_birth", "is_married"]}}


async def ask(port, prompt, text):
    fields = {"guided_json": SCHEMA, "max_tokens": 400} if text == "schema" else {
        "max_tokens": TOKENS, "ignore_eos": True}
    data = json.dumps({"prompt": prompt, "temperature": 1 if "sampled" in text else 0, "seed": 1,
                       **fields}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def together(port, prompts, text):
    started = time.perf_counter()
    answers = await asyncio.gather(*(ask(port, prompt, text) for prompt in prompts))
    seconds = time.perf_counter() - started
    usage = [answer["usage"] for answer in answers]
    details = [one.get("completion_tokens_details", {}) for one in usage]
    return {"rate": sum(one["completion_tokens"] for one in usage) / seconds,
            "texts": [answer["choices"][0]["text"] for answer in answers],
            "accepted": sum(one.get("accepted_prediction_tokens", 0) for one in details),
            "rejected": sum(one.get("rejected_prediction_tokens", 0) for one in details)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", default="1,4")
    parser.add_argument("--speculate", default="auto", choices=["auto", "ngram", "mtp"])
    parser.add_argument("model")
    options = parser.parse_args()
    print(f"{machine.describe()}; {options.threads} threads, {options.rounds} rounds\n")
    print("| text | clients | guessing tokens/s | plain tokens/s | ratio | accepted | rejected |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    servers = {}
    try:
        guessing = options.speculate
        ports = {mode: compare.free_port() for mode in ("off", guessing)}
        for mode, port in ports.items():
            servers[mode] = compare.serve_pelton(options.model, options.threads, port,
                                                 "--speculate", mode, "--ctx", "1024")
            for text, make in PROMPTS.items():
                asyncio.run(together(port, [make(f"warm {text}")], text))
        for text, make in PROMPTS.items():
            for clients in map(int, options.clients.split(",")):
                seen = {mode: [] for mode in ports}
                for number in range(options.rounds):
                    prompts = [make(f"{number}/{client}/{clients}") for client in range(clients)]
                    order = list(ports) if number % 2 == 0 else list(reversed(ports))
                    for mode in order:
                        seen[mode].append(asyncio.run(together(ports[mode], prompts, text)))
                for plain, guessed in zip(seen["off"], seen[guessing]):
                    if plain["texts"] != guessed["texts"]:
                        raise SystemExit(f"the answers differ: {plain['texts']} {guessed['texts']}")
                rate = {mode: statistics.median(one["rate"] for one in seen[mode]) for mode in seen}
                ratio = statistics.median(a["rate"] / b["rate"]
                                          for a, b in zip(seen[guessing], seen["off"]))
                print(f"| {text} | {clients} | {rate[guessing]:.1f} | {rate['off']:.1f} "
                      f"| {ratio:.2f} | {sum(one['accepted'] for one in seen[guessing])} "
                      f"| {sum(one['rejected'] for one in seen[guessing])} |", flush=True)
    finally:
        compare.stop(servers.values())


if __name__ == "__main__":
    main()
