"""Clients that go away: row L5 of docs/reliability.md.

Usage: vanish_test.py PELTON, in the root of the sources.
"""

import asyncio
import concurrent.futures
import threading
import time

from fault_case import (FaultCase, connect, percentile, post, report, request_bytes, run,
                        stream_body, vanish)

ROUNDS = 25  # of each stage


class VanishTest(FaultCase):
    options = ("--parallel", "9", "--max-queued", "64")

    def leave(self, stage, round_idx):
        """A client that goes in this stage; how long its work went on."""
        long_prompt = [3 + (i * round_idx) % 300 for i in range(900)]
        bodies = {"queued": stream_body(1, 900), "decode": stream_body(2, 900),
                  "prefill": {"prompt": long_prompt, "max_tokens": 90, "ignore_eos": True,
                              "stream": True},
                  # Repeats itself, so that tokens are guessed.
                  "guessing": {"prompt": [5, 6, 7, 8] * 40, "max_tokens": 800, "ignore_eos": True,
                               "temperature": 0, "stream": True}}
        before = self.server.finished("cancelled")
        extra = []
        if stage == "queued":  # all places are taken
            for _ in range(9):
                other = connect(self.port)
                other.sendall(request_bytes("/v1/completions", stream_body(4, 900)))
                other.recv(100)
                extra.append(other)
        client = connect(self.port)
        client.sendall(request_bytes("/v1/completions", bodies[stage]))
        if stage in ("decode", "guessing"):
            while b"data: " not in client.recv(4096):
                pass
        else:
            client.recv(20)  # the head comes when it is queued
        begin = time.monotonic()
        if round_idx % 2:
            vanish(client)
        else:
            client.close()
        while self.server.finished("cancelled") == before:
            self.assertLess(time.monotonic() - begin, 30, stage)
        taken = time.monotonic() - begin
        for other in extra:
            vanish(other)
        return taken

    def test_l5_work_ends_with_its_client(self):
        tokens = 600
        for kind in range(4):
            self.reference(kind, tokens)
        files = self.server.files()
        limit = self.allowed(0.1)
        stop = threading.Event()
        checked = []

        def neighbour(kind):
            # Whoever else is there is not disturbed.
            count = 0
            while not stop.is_set():
                answer = asyncio.run(post(self.port, "/v1/completions", stream_body(kind, tokens)))
                checked.append((answer, kind))
                count += 1
            return count

        times = {stage: [] for stage in ["queued", "prefill", "decode", "guessing"]}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            others = [pool.submit(neighbour, kind) for kind in range(4)]
            try:
                for round_idx in range(ROUNDS):
                    for stage, taken in times.items():
                        taken.append(self.leave(stage, round_idx))
            finally:
                stop.set()
            for other in others:
                other.result()
        for answer, kind in checked:
            self.assert_exact(answer, kind, tokens)
        self.wait_for_rest(files)
        slowest = {stage: percentile(taken, 0.9) for stage, taken in times.items()}
        report("L5", f"{4 * ROUNDS} clients left; freed within (p90) " + ", ".join(
            f"{stage} {taken * 1e3:.0f} ms" for stage, taken in slowest.items())
            + f"; {len(checked)} other streams exact")
        for stage, taken in slowest.items():
            self.assertLessEqual(taken, limit, stage)


if __name__ == "__main__":
    run()
