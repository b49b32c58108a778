"""Checks the timelines that `pelton profile` and a running server write.

Usage: profile_test.py PELTON, in the root of the sources.
"""

import bisect
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

PELTON = os.path.abspath(sys.argv[1])
MODEL = "tests/data/golden/llama/model-Q4_0.gguf"


def post(url, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
        return json.loads(answer.read())


class ProfileTest(unittest.TestCase):
    def spans(self, trace):
        """The spans of each track, after checking that they are sound."""
        tracks = {}
        for event in trace["traceEvents"]:
            if event["ph"] == "X":
                self.assertGreaterEqual(event["dur"], 0)
                tracks.setdefault((event["pid"], event["tid"]), []).append(event)
        for spans in tracks.values():
            for before, after in zip(spans, spans[1:]):
                self.assertGreaterEqual(after["ts"] + 0.002, before["ts"] + before["dur"])
        return tracks

    def check(self, trace, cut=False):
        tracks = self.spans(trace)
        steps, ops = tracks[1, 1], tracks[1, 2]
        self.assertTrue(any(op["name"].startswith("matmul") for op in ops))
        self.assertTrue(all(op["args"]["kernel"] for op in ops))
        # Every op lies inside a step. A fast machine writes 100,000 ops a second: the step is looked
        # up, since steps come in order of time and do not overlap (spans() has checked both).
        starts = [step["ts"] for step in steps]
        inside = 0
        for op in ops:
            found = bisect.bisect_right(starts, op["ts"] + 0.002) - 1
            inside += found >= 0 and (op["ts"] + op["dur"] <=
                                      starts[found] + steps[found]["dur"] + 0.002)
        # Recording that begins while a server works may cut its first step.
        self.assertGreaterEqual(inside, len(ops) * (0.9 if cut else 1))
        return tracks

    def test_one_question(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace.json")
            done = subprocess.run(
                [PELTON, "profile", MODEL, "of the", "--raw", "--requests", "3", "--max-tokens",
                 "8", "--ignore-eos", "--ctx", "256", "-o", path], capture_output=True, text=True,
                check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, encoding="utf-8") as file:
                trace = json.load(file)
        tracks = self.check(trace)
        requests = [spans for (process, _), spans in tracks.items() if process == 2]
        self.assertEqual(len(requests), 3)
        for spans in requests:
            self.assertEqual([span["name"] for span in spans], ["queue", "prefill", "decode"])
            self.assertEqual(spans[0]["args"]["output_tokens"], 8)
        self.assertEqual(sum(step["args"]["tokens"] for step in tracks[1, 1]),
                         sum(spans[0]["args"]["prompt_tokens"] - spans[0]["args"]["cached_tokens"] +
                             7 for spans in requests))
        self.assertRegex(done.stderr, r"matmul +\S+ +[0-9.]+ +[0-9.]+% +\d+")
        self.assertIn("(between ops)", done.stderr)

    def test_a_file_that_cannot_be_written(self):
        done = subprocess.run([PELTON, "profile", MODEL, "a", "--raw", "--max-tokens", "1", "--ctx",
                               "256", "-o", "/nowhere/trace"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("/nowhere/trace", done.stderr)

    def test_a_running_server(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "whole.json")
            self.with_server(["--api-key", "k"], self.record_for_a_second)
            self.with_server(["--profile", path], self.ask_only)
            with open(path, encoding="utf-8") as file:
                self.check(json.load(file))

    def with_server(self, options, use):
        server = subprocess.Popen([PELTON, "serve", MODEL, "--port", "0", "--ctx", "512", *options],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            use(re.search(r"http://\S+", server.stdout.readline()).group(0))
        finally:
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(timeout=60), 0)
            server.stdout.close()

    def ask_only(self, url):
        post(url + "/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 8, "ignore_eos": True})
        # What is recorded from start to end cannot be recorded in between.
        with self.assertRaises(urllib.error.HTTPError) as refused:
            post(url + "/debug/profile?seconds=1")
        self.assertEqual(refused.exception.code, 503)
        refused.exception.close()

    def record_for_a_second(self, url):
        opener = urllib.request.build_opener()
        opener.addheaders = [("Authorization", "Bearer k")]
        urllib.request.install_opener(opener)
        try:
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                trace = pool.submit(post, url + "/debug/profile?seconds=1")
                while not trace.done():
                    post(url + "/v1/completions",
                         {"prompt": [1, 2, 3], "max_tokens": 20, "ignore_eos": True})
            self.check(trace.result(), cut=True)
            for query in ["", "?seconds=0", "?seconds=61", "?seconds=1x", "?minutes=1"]:
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    post(url + "/debug/profile" + query)
                self.assertEqual(refused.exception.code, 400, query)
                refused.exception.close()
        finally:
            urllib.request.install_opener(urllib.request.build_opener())
        with self.assertRaises(urllib.error.HTTPError) as refused:
            post(url + "/debug/profile?seconds=1")
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
