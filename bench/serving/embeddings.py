#!/usr/bin/env python3
"""Embeddings from Pelton's server beside llama.cpp's on the same file and threads, in turns.

    bench/serving/embeddings.py [--rounds 3] [--threads 2] [--texts 1,32] NAME=FILE.gguf ...

A client asks /v1/embeddings for a list of distinct texts of about 100 tokens, one list after
another. A round starts each server anew, lets one request through that is not counted, and counts
the rest. The table holds the medians and their ratio; client and server share the processor. Both
engines must count the same tokens, and their vectors must mean the same.
"""
import argparse
import http.client
import json
import math
import pathlib
import signal
import statistics
import subprocess
import sys
import time

# Behind this folder, whose compare is meant.
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import compare  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402

TEXT_WORDS = 100
CONTEXT = 512  # tokens of one text at most
REQUESTS = {1: 64, 32: 8}  # by the number of texts of each
SAME = 0.99  # least cosine of the engines' vectors of one text


def pelton(model, _, threads, port):
    return ["build/release/pelton", "serve", model, "--port", port, "--threads", threads]


def llama_server(model, texts, threads, port):
    return ["build/bench/llama-build/bin/llama-server", "-m", model, "--port", port,
            "-t", threads, "-tb", threads, "-np", texts, "-c", texts * CONTEXT,
            "-b", 2048, "-ub", 2048, "--embedding", "--no-webui"]


ENGINES = {"Pelton": pelton, "llama.cpp": llama_server}


def ask(connection, texts):
    """(vectors, tokens) of one request."""
    connection.request("POST", "/v1/embeddings", json.dumps({"input": texts}),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    if response.status != 200:
        raise RuntimeError(f"the server answered {response.status}: {data[-500:]!r}")
    answer = json.loads(data)
    entries = sorted(answer["data"], key=lambda entry: entry["index"])
    return [entry["embedding"] for entry in entries], answer["usage"]["prompt_tokens"]


def run(port, texts, seed):
    """(figures, tokens, vectors of the first counted request)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    lists = [[load.prompt(f"{seed}/{i}/{j}", TEXT_WORDS) for j in range(texts)]
             for i in range(1 + REQUESTS.get(texts, 8))]
    ask(connection, lists[0])
    seconds, tokens, first = [], 0, None
    for inputs in lists[1:]:
        started = time.perf_counter()
        vectors, used = ask(connection, inputs)
        seconds.append(time.perf_counter() - started)
        tokens += used
        first = first or vectors
    connection.close()
    return ({"tokens/s": tokens / sum(seconds), "texts/s": texts * len(seconds) / sum(seconds),
             "request ms, median": 1000 * statistics.median(seconds)}, tokens, first)


def measure(engine, model, texts, threads, seed):
    port = compare.free_port()
    command = [str(part) for part in ENGINES[engine](model, texts, threads, port)]
    cpus = ",".join(map(str, machine.cpus(threads)))
    with subprocess.Popen(["taskset", "-c", cpus, *command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            compare.wait_until_ready(port, process)
            return run(port, texts, seed)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / (math.hypot(*a) * math.hypot(*b))


def check_same_work(own, peer):
    """Raises unless both engines read the same tokens and gave much the same vectors."""
    if own[1] != peer[1]:
        raise RuntimeError(f"Pelton counted {own[1]} tokens and llama.cpp {peer[1]}")
    least = min(cosine(a, b) for a, b in zip(own[2], peer[2], strict=True))
    if least < SAME:
        raise RuntimeError(f"the engines' vectors of a text have the cosine {least:.4f}, "
                           f"expected at least {SAME}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", default="1,32", help="of one request, for each row")
    parser.add_argument("models", nargs="+", metavar="NAME=FILE.gguf")
    options = parser.parse_args()
    print(f"{machine.describe()}; {options.threads} threads, medians of {options.rounds} rounds\n")
    print("| model | texts | figure | Pelton | llama.cpp | ratio |")
    print("|---|--:|---|--:|--:|--:|")
    for name, _, model in (entry.partition("=") for entry in options.models):
        for texts in map(int, options.texts.split(",")):
            rounds = {engine: [] for engine in ENGINES}
            for number in range(options.rounds):
                machine.wait_until_quiet()
                for engine in ENGINES:
                    rounds[engine].append(measure(engine, model, texts, options.threads, number))
                check_same_work(*(rounds[engine][-1] for engine in ENGINES))
            for figure in rounds["Pelton"][0][0]:
                own, peer = (statistics.median(one[0][figure] for one in rounds[engine])
                             for engine in ENGINES)
                print(f"| {name} | {texts} | {figure} | {own:.4g} | {peer:.4g} "
                      f"| {own / peer:.2f} × |", flush=True)


if __name__ == "__main__":
    main()
