#!/usr/bin/env python3
"""Pelton's server beside llama.cpp's on the same file, the same threads, in turns.

    bench/serving/compare.py [--rounds 3] [--threads 2] [--clients 1,32] NAME=FILE.gguf ...

Every client streams distinct prompts of about 200 tokens and 128 tokens of answer. A round starts
each server anew, lets one request through that is not counted, and loads it. The table holds the
medians and their ratio; clients and servers share the processor.
"""
import argparse
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import load  # noqa: E402
import machine  # noqa: E402

ANSWER_TOKENS = 128
CONTEXT = 512  # of one sequence
REQUESTS = {1: 4, 32: 2}  # of each client


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pelton(model, clients, threads, port):
    return ["build/release/pelton", "serve", model, "--port", port, "--threads", threads,
            "--parallel", clients, "--ctx", CONTEXT, "--kv-tokens", clients * CONTEXT]


def llama_server(model, clients, threads, port):
    return ["build/bench/llama-build/bin/llama-server", "-m", model, "--port", port,
            "-t", threads, "-tb", threads, "-np", clients, "-c", clients * CONTEXT, "--no-webui"]


ENGINES = {"Pelton": pelton, "llama.cpp": llama_server}


def wait_until_ready(port, process):
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server does not get ready")


def serve_pelton(model, threads, port, *options):
    """The process of a server that is ready, on CPUs of its own; `stop` ends it."""
    cpus = ",".join(map(str, machine.cpus(threads)))
    process = subprocess.Popen(
        ["taskset", "-c", cpus, "build/release/pelton", "serve", model, "--port", str(port),
         "--threads", str(threads), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_ready(port, process)
    return process


def stop(processes):
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def measure(engine, model, clients, threads, words, seed):
    port = free_port()
    command = [str(part) for part in ENGINES[engine](model, clients, threads, port)]
    cpus = ",".join(map(str, machine.cpus(threads)))
    with subprocess.Popen(["taskset", "-c", cpus, *command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(port, process)
            load.run(port, 1, 1, 8, 4, "warm")
            return load.run(port, clients, REQUESTS.get(clients, 2), words, ANSWER_TOKENS,
                            seed)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", default="1,32")
    parser.add_argument("--words", type=int, default=200,
                        help="of a prompt; about as many tokens, but 2.6 each in random models")
    parser.add_argument("models", nargs="+", metavar="NAME=FILE.gguf")
    options = parser.parse_args()
    print(f"{machine.describe()}; {options.threads} threads, medians of {options.rounds} rounds\n")
    print("| model | clients | figure | Pelton | llama.cpp | ratio |")
    print("|---|--:|---|--:|--:|--:|")
    for name, _, model in (entry.partition("=") for entry in options.models):
        for clients in map(int, options.clients.split(",")):
            rounds = {engine: [] for engine in ENGINES}
            for number in range(options.rounds):
                machine.wait_until_quiet()
                for engine in ENGINES:
                    rounds[engine].append(measure(engine, model, clients, options.threads,
                                                  options.words, number))
            for figure in rounds["Pelton"][0]:
                own, peer = (statistics.median(one[figure] for one in rounds[engine])
                             for engine in ENGINES)
                print(f"| {name} | {clients} | {figure} | {own:.4g} | {peer:.4g} "
                      f"| {own / peer:.2f} × |", flush=True)


if __name__ == "__main__":
    main()
