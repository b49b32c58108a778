"""Reads what `pelton serve` logs, and follows requests by their names.

Usage: log_test.py PELTON, in the root of the sources.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import unittest

PELTON = os.path.abspath(sys.argv[1])
MODEL = "tests/data/golden/llama/model-Q4_0.gguf"


class LogTest(unittest.TestCase):
    def start(self, *options):
        self.process = subprocess.Popen([PELTON, "serve", MODEL, "--port", "0", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+) ", self.process.stdout.readline()).group(1))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        lines = self.process.communicate(timeout=60)[1].splitlines()
        self.assertEqual(self.process.returncode, 0)
        return lines

    def ask(self, path, body=None, name=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {} if name is None else {"X-Request-Id": name}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers["X-Request-Id"]

    def test_every_answer_and_line_carries_the_request_id(self):
        self.start("--log-format", "json")
        body = json.dumps({"prompt": "of", "max_tokens": 2})
        stream = json.dumps({"prompt": "of", "max_tokens": 2, "stream": True})
        asked = [self.ask("/v1/completions", body, "mine-1"), self.ask("/v1/completions", stream),
                 self.ask("/v1/completions", "{", "a b"), self.ask("/nothing"),
                 self.ask("/v1/models")]
        for path in ["/health", "/ready", "/metrics", "/debug/requests", "/assets/page.js"]:
            self.assertEqual(self.ask(path, name="probe")[1], "probe")
        lines = [json.loads(line) for line in self.end()]
        requests = [line for line in lines if line["message"] == "request"]
        self.assertEqual([(r["status"], r["request_id"]) for r in requests], asked)
        self.assertEqual([status for status, _ in asked], [200, 200, 400, 404, 200])
        self.assertEqual(asked[0][1], "mine-1")
        self.assertEqual(len({name for _, name in asked}), 5)
        self.assertNotIn("a b", {name for _, name in asked})
        self.assertEqual(requests[0]["path"], "/v1/completions")
        self.assertTrue(all(r["whole"] == "yes" and r["ms"] > 0 for r in requests))

    def test_text_lines_and_levels(self):
        self.start()
        self.ask("/v1/models", name="text-1")
        lines = self.end()
        self.assertRegex("\n".join(lines), r"(?m)^\S+Z info request request_id=text-1 method=GET "
                                           r"path=/v1/models status=200 whole=yes ")
        self.start("--log-level", "warning")
        self.ask("/v1/models")
        self.assertEqual(self.end(), [])

    def test_a_reader_that_does_not_read_stops_nobody(self):
        self.start()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        for _ in range(2000):  # far more than the pipe holds
            connection.request("GET", "/v1/models")
            self.assertEqual(connection.getresponse().read()[:1], b"{")
        connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(timeout=30), 0)  # although nobody read
        self.process.stdout.close()
        self.process.stderr.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
