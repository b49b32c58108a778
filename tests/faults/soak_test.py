"""Everything at once for a while: row L3 of docs/reliability.md.

Usage: soak_test.py PELTON [SECONDS [CLIENTS]], in the root of the sources. 20 s in every run of the
tests; `make test STAGES=soak` takes SOAK_SECONDS, 300 without.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from chat_model import write_chat_model  # noqa: E402

from fault_case import MIB, FaultCase, Server, post, report, run, stream_body  # noqa: E402

SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 20
CLIENTS = int(sys.argv[3]) if len(sys.argv) > 3 else 64
KINDS = 16
TOKENS = 24
SCHEMA = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]},
                                           "days": {"enum": [1, 2, 3]}},
          "required": ["city", "days"], "additionalProperties": False}
MESSAGES = [{"role": "user", "content": "Name a colour."}]


class SoakTest(FaultCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.server = Server("--ctx", "1024", "--kv-tokens", "65536", "--log-level", "warning",
                                model=write_chat_model(folder))
        cls.port = cls.server.port
        cls.references = {}

    def check(self, kind, answer):
        if kind < KINDS:
            return self.assert_exact(answer, kind, TOKENS)
        self.assertEqual(answer.status, 200, answer.body[:300])
        message = json.loads(answer.body)["choices"][0]
        if kind == KINDS:
            self.assertIn(json.loads(message["message"]["content"])["city"], ["Rome", "Oslo"])
        else:
            (call,) = message["message"]["tool_calls"]
            self.assertIn(json.loads(call["function"]["arguments"])["days"], [1, 2, 3])

    async def client(self, seed, end, counts):
        choose = random.Random(seed)
        while time.monotonic() < end:
            kind = choose.randrange(KINDS + 2)
            if kind < KINDS:
                path, body = "/v1/completions", stream_body(kind, TOKENS)
            else:
                path = "/v1/chat/completions"
                body = {"messages": MESSAGES, "max_tokens": 300, "seed": seed, "temperature": 1}
                if kind == KINDS:
                    body["response_format"] = {"type": "json_schema",
                                               "json_schema": {"name": "x", "schema": SCHEMA}}
                else:
                    body.update(tools=[{"type": "function", "function": {
                        "name": "weather", "strict": True, "parameters": SCHEMA}}],
                        tool_choice="required", parallel_tool_calls=False)
            if choose.random() < 0.2:
                size = choose.randrange(1, 4000)
                await post(self.port, path, body, until=lambda a, size=size: len(a.raw) > size)
                counts["cancelled"] += 1
                continue
            self.check(kind, await post(self.port, path, body))
            counts["checked"] += 1

    def load(self, seconds, counts):
        async def all_clients():
            end = time.monotonic() + seconds
            await asyncio.gather(*[self.client(seed, end, counts) for seed in range(CLIENTS)])

        asyncio.run(all_clients())

    def test_l3_nothing_gathers(self):
        for kind in range(KINDS):
            self.reference(kind, TOKENS)
        counts = {"checked": 0, "cancelled": 0}
        # Buffers grow to their size, and the cache of prefixes fills.
        self.load(max(4, SECONDS / 5), counts)
        self.wait_for_rest(1 << 20)
        files, rss = self.server.files(), self.server.rss()
        begin = time.monotonic()
        self.load(SECONDS, counts)
        seconds = time.monotonic() - begin
        self.wait_for_rest(files)
        time.sleep(1)
        growth = (self.server.rss() - rss) / MIB
        report("L3", f"{CLIENTS} clients for {seconds:.0f} s: {counts['checked']} answers checked, "
                     f"{counts['cancelled']} left early; memory {growth:+.2f} MiB, descriptors "
                     f"{self.server.files() - files:+d}")
        # Below what a leak of some bytes a request comes to; the slope shows in the long form.
        self.assertLessEqual(growth, max(2, seconds / 3600))


if __name__ == "__main__":
    run()
