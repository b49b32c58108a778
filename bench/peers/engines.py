"""How each engine is asked for the same measurements. Every call is one fresh process."""
import json
import pathlib

from machine import run_pinned

LLAMA = "build/bench/llama-build/bin"
OPENVINO = "build/bench-openvino/bin/python"
PELTON = "build/release/pelton"
PROMPT = "The capital of France is"
SEQUENCE_PROMPT = 16  # tokens of each sequence's own prompt in a batched decode


class Pelton:
    name = "Pelton"

    def __init__(self, threads, options=()):
        self.threads = threads
        self.options = list(options)

    def _bench(self, model, arguments):
        command = [PELTON, "bench", model, *arguments, "-r", 1, "--threads", self.threads, "-o",
                   "json", *self.options]
        outcome = run_pinned(command, self.threads)
        rows = json.loads(outcome.stdout)
        return {row["test"]: row["avg_ts"] for row in rows if "test" in row}, outcome

    def single(self, model, prompt, generated):
        return self._bench(model, ["-p", prompt, "-n", generated, "--batch", 1])

    def deep(self, model, generated, depth):
        return self._bench(model, ["-p", 0, "-n", generated, "-d", depth])

    def batched(self, model, generated, batches):
        return self._bench(model, ["-p", 0, "-n", generated, "--batch", ",".join(map(str, batches))])

    def start(self, model):
        command = [PELTON, "run", model, "--raw", "--temperature", 0, "--max-tokens", 8,
                   "--threads", self.threads, *self.options, PROMPT]
        return run_pinned(command, self.threads)


class LlamaCpp:
    name = "llama.cpp"

    # repack: whether it may rearrange weights, as it does by default. With AMX it cannot for some
    # models: llama-bench ends with GGML_ASSERT(*cur_backend_id != -1).
    def __init__(self, threads, repack=True):
        self.threads = threads
        self.repack = repack

    def _bench(self, model, arguments):
        command = [f"{LLAMA}/llama-bench", "-m", model, *arguments, "-r", 1, "-t", self.threads,
                   "-o", "json", "--repack", int(self.repack)]
        outcome = run_pinned(command, self.threads)
        rates = {}
        for row in json.loads(outcome.stdout):
            test = f"pp{row['n_prompt']}" if row["n_prompt"] else f"tg{row['n_gen']}"
            rates[test + (f" @ d{row['n_depth']}" if row["n_depth"] else "")] = row["avg_ts"]
        return rates, outcome

    def single(self, model, prompt, generated):
        return self._bench(model, ["-p", prompt, "-n", generated])

    def deep(self, model, generated, depth):
        return self._bench(model, ["-p", 0, "-n", generated, "-d", depth])

    def batched(self, model, generated, batches):
        context = max(batches) * (SEQUENCE_PROMPT + generated)
        command = [f"{LLAMA}/llama-batched-bench", "-m", model, "-c", context, "-b", 2048,
                   "-npp", SEQUENCE_PROMPT, "-ntg", generated, "-npl", ",".join(map(str, batches)),
                   "-t", self.threads, "-tb", self.threads, "--output-format", "jsonl",
                   *([] if self.repack else ["--no-repack"])]
        # About one run in ten exits before its log thread has written the results.
        for _ in range(5):
            outcome = run_pinned(command, self.threads)
            rates = {}
            for line in outcome.stdout.splitlines():
                if line.startswith("{"):
                    row = json.loads(line)
                    rates[f"tg{row['tg']}@{row['pl']}"] = row["speed_tg"]
            if len(rates) == len(batches):
                return rates, outcome
        raise RuntimeError(f"llama-batched-bench printed no result five times: {command}")

    def start(self, model):
        return run_pinned([f"{LLAMA}/first_token", model, self.threads, PROMPT, 8,
                           int(self.repack)], self.threads)


class OpenVino:
    name = "OpenVINO"

    def __init__(self, threads):
        self.threads = threads

    @staticmethod
    def installed():
        return pathlib.Path(OPENVINO).exists()

    def _run(self, model, *arguments):
        return run_pinned([OPENVINO, "bench/peers/openvino_bench.py", model, self.threads,
                           *arguments], self.threads)

    def _rates(self, model, *arguments):
        outcome = self._run(model, *arguments)
        return json.loads(outcome.stdout), outcome

    def single(self, model, prompt, generated):
        return self._rates(model, "single", prompt, generated)

    def batched(self, model, generated, batches):
        return self._rates(model, "batched", generated, ",".join(map(str, batches)))

    def start(self, model):
        return self._run(model, "start", PROMPT, 8)
