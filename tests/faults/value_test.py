"""Bad values beside live streams: row B1 of docs/reliability.md.

Usage: value_test.py PELTON, in the root of the sources. The fields are those that /openapi.json
names, so a new one is tested as soon as it is described.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from chat_model import write_chat_model  # noqa: E402

from fault_case import FaultCase, Server, percentile, post, report, run, stream_body  # noqa: E402

VOCAB = 320
BAD = [float("nan"), float("inf"), float("-inf"), -1, 0, 2**31, 2**63, 1e308, "x", [], {}, True]
MESSAGES = [{"role": "user", "content": "x"}]
BASES = {"/v1/completions": {"prompt": [1, 2], "max_tokens": 2},
         "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 2},
         "/v1/messages": {"messages": MESSAGES, "max_tokens": 2},
         "/tokenize": {"prompt": "x"}, "/detokenize": {"tokens": [1]}}
# Of /api/chat and /api/generate, inside of "options".
OLLAMA = ["num_predict", "num_ctx", "temperature", "top_k", "top_p", "min_p", "typical_p", "seed",
          "repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty"]
TOKENS = 200
KINDS = 8


class ValueTest(FaultCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.server = Server("--ctx", "1024", "--kv-tokens", "65536",
                                model=write_chat_model(folder))
        cls.port = cls.server.port
        cls.references = {}

    def cases(self):
        """(path, body, field), the field where an error must place it."""
        paths = self.server.json("/openapi.json")["paths"]
        for path, base in BASES.items():
            described = path if path in paths else "/v1" + path
            schema = paths[described]["post"]["requestBody"]["content"]["application/json"]["schema"]
            for name, field in schema["properties"].items():
                kinds = field.get("type", [])
                number = {"number", "integer"} & set([kinds] if isinstance(kinds, str) else kinds)
                # Of other fields the wrong types only.
                for value in BAD if number else [-1, 1e308, "x", [], {}, True]:
                    yield path, {**base, name: value}, name
        for path, base in [("/api/chat", {"messages": MESSAGES}), ("/api/generate", {"prompt": "x"})]:
            for name in OLLAMA:
                for value in BAD:
                    options = {"num_predict": 2, name: value}
                    yield path, {"model": "tiny", "stream": False, **base, "options": options}, name
        text = BASES["/v1/completions"]
        for ids in [-1, VOCAB, 2**31 - 1, 2**63]:
            yield "/v1/completions", {**text, "prompt": [1, ids]}, "prompt"
            yield "/v1/completions", {**text, "prompt": [[1], [ids]]}, "prompt"
            for name in ["stop_token_ids", "stop_ids"]:
                yield "/v1/completions", {**text, name: [ids]}, name
            yield "/v1/completions", {**text, "logit_bias": {str(ids): 1}}, "logit_bias"
            yield "/detokenize", {"tokens": [ids]}, "tokens"
        for name, value in [("n", 129), ("n", 10**9), ("logprobs", 101), ("stop", ["x"] * 65),
                            ("stop", ["x" * 1025]), ("stop", [""]), ("logit_bias", {"1": 101}),
                            ("logit_bias", {str(i): 1 for i in range(2000)}),
                            ("prompt", ["x"] * 129), ("prompt", [])]:
            yield "/v1/completions", {**text, name: value}, name

    def long_cases(self):
        """Long and deep ones, which may take a second."""
        for size in [26_000, 1_000_000]:
            run_of = "a" * size
            yield "/v1/completions", {"prompt": run_of, "max_tokens": 1}
            yield "/v1/completions", {"prompt": [1], "stop": [run_of], "max_tokens": 1}
            yield "/v1/completions", {"prompt": [1], "guided_regex": run_of, "max_tokens": 1}
            yield "/v1/completions", {"prompt": [1], "guided_choice": [run_of], "max_tokens": 1}
            yield "/v1/chat/completions", {"messages": [{"role": "user", "content": run_of}]}
            yield "/v1/chat/completions", {"messages": [{"role": run_of, "content": "x"}]}
            yield "/v1/chat/completions", {"messages": MESSAGES, run_of: 1}
            yield "/v1/chat/completions", {"messages": MESSAGES, "model": run_of}
            yield "/v1/messages", {"messages": [{"role": "user", "content": run_of}],
                                   "max_tokens": 1}
            yield "/api/generate", {"model": "tiny", "prompt": run_of, "stream": False}
        groups = 60_000
        text = {"prompt": [1], "max_tokens": 1}
        yield "/v1/completions", {**text, "guided_regex": "(" * groups + "a" + ")" * groups}
        yield "/v1/completions", {**text, "grammar": "root ::= " + "(" * groups + '"a"' + ")" * groups}
        deep = b'{"prompt":[1],"guided_json":' + b'{"items":' * groups + b"{}" + b"}" * groups + b"}"
        yield "/v1/completions", deep
        yield "/v1/completions", b"[" * groups + b"]" * groups
        wide = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(30_000)}}
        yield "/v1/completions", {**text, "guided_json": wide}
        yield "/v1/completions", {**text, "guided_json": {"enum": [str(i) for i in range(60_000)]}}

    def test_b1_bad_values_are_refused_by_name_and_disturb_nobody(self):
        for kind in range(KINDS):
            self.reference(kind, TOKENS)
        files = self.server.files()
        limit, long_limit = self.allowed(0.1), self.allowed(1)
        stop = threading.Event()
        streams = []

        def neighbours():
            async def ask():
                return await asyncio.gather(*[
                    post(self.port, "/v1/completions", stream_body(kind, TOKENS))
                    for kind in range(KINDS)])

            while not stop.is_set():
                streams.extend(enumerate(asyncio.run(ask())))

        thread = threading.Thread(target=neighbours)
        thread.start()
        asked, refused, long_refused, times, long_times = 0, 0, 0, [], []
        try:
            for path, body, field in self.cases():
                asked += 1
                data = json.dumps(body).encode()
                begin = time.monotonic()
                status, text, _ = self.server.ask(path, data)
                if status == 200:  # a value that the field may have
                    continue
                times.append(time.monotonic() - begin)
                refused += 1
                where = (path, field, data[:200], text)
                self.assertIn(status, [400, 404, 413, 422], where)
                error = json.loads(text)["error"]
                message = error if isinstance(error, str) else error["message"]
                # NaN and infinity are no JSON; /tokenize takes one of three fields.
                if message.startswith(("found text that is not JSON", "expected one of")):
                    continue
                if path.startswith(("/v1/c", "/tok", "/detok")):
                    self.assertEqual(error["param"].split("[")[0].split(".")[0], field, where)
                    self.assertIn(error["type"], ["invalid_request_error"], where)
                else:
                    self.assertIn(field, message, where)
            for path, body in self.long_cases():
                asked += 1
                begin = time.monotonic()
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                status, text, _ = self.server.ask(path, data)
                if status == 200:
                    continue
                long_times.append((time.monotonic() - begin, path, data[:60]))
                long_refused += 1
                self.assertIn(status, [400, 404, 413, 422], (path, data[:100], text[:300]))
                self.assertLess(len(text), 20_000, data[:100])
        finally:
            stop.set()
            thread.join()
        for kind, answer in streams:
            self.assert_exact(answer, kind, TOKENS)
        self.wait_for_rest(files)
        slowest = percentile(times, 0.99)
        longest = max(long_times)
        report("B1", f"{asked} values, {refused + long_refused} refused by name; p99 "
                     f"{slowest * 1e3:.1f} ms, of long texts {longest[0] * 1e3:.0f} ms at most; "
                     f"{len(streams)} streams beside them exact")
        self.assertGreaterEqual(refused, 600)
        self.assertLessEqual(slowest, limit)
        self.assertLessEqual(longest[0], long_limit, longest)


if __name__ == "__main__":
    run()
