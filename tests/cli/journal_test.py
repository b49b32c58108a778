"""What /debug/requests tells of requests that run and that have ended.

Usage: journal_test.py PELTON, in the root of the sources.
"""

import socket
import sys
import time
import unittest

from serve_test import MODEL, Server


class JournalTest(unittest.TestCase):
    def setUp(self):
        self.server = Server(MODEL, "--served-model-name", "tiny", "--max-num-seqs", "1")

    def tearDown(self):
        self.assertEqual(self.server.end(), 0)

    def requests(self):
        return self.server.json("/debug/requests?limit=512")["requests"]

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_what_has_ended(self):
        self.assertEqual(self.requests(), [])
        status, _, _ = self.server.ask(
            "/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 4, "ignore_eos": True, "n": 2,
                                "service_tier": "flex"}, headers={"X-Request-Id": "mine-1"})
        self.assertEqual(status, 200)
        self.server.json("/v1/completions", {"prompt": [1], "temperature": -1}, 400)
        told = self.server.json("/debug/requests")
        newest, older = told["requests"]
        self.assertLess(abs(told["now"] - newest["began"]), 600)
        self.assertGreaterEqual(newest["queue_ms"], 0)
        self.assertGreater(newest["prompt_ms"] + newest["output_ms"], 0)
        for place, entry in [(1, newest), (0, older)]:
            self.assertEqual({key: entry[key] for key in [
                "id", "choice", "path", "model", "service_class", "state", "prompt_tokens",
                "output_tokens", "preemptions"]},
                {"id": "mine-1", "choice": place, "path": "/v1/completions", "model": "tiny",
                 "service_class": "batch", "state": "length", "prompt_tokens": 3,
                 "output_tokens": 4, "preemptions": 0})
        self.assertEqual(len(self.server.json("/debug/requests?limit=1")["requests"]), 1)
        for query, param in [("limit=0", "limit"), ("limit=513", "limit"), ("limit=x", "limit"),
                             ("limit=1&x=2", "x"), ("x=1", "x")]:
            error = self.server.json("/debug/requests?" + query, None, 400)["error"]
            self.assertEqual(error["param"], param, query)

    def test_what_runs_and_what_waits(self):
        # 128 answers, one at a time: they take long enough to be seen.
        body = b'{"prompt":[1,2,3],"max_tokens":400,"ignore_eos":true,"n":128}'
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as client:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                           b"X-Request-Id: long\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

            def seen(condition):
                return [each for each in self.requests()
                        if each["id"] == "long" and each["state"] == "running" and condition(each)]

            self.until(lambda: seen(lambda each: each["output_ms"] > 0))
            waiting = seen(lambda each: each["prompt_ms"] == each["output_ms"] == 0)
            self.assertGreater(len(waiting), 50)
            self.assertTrue(all(each["queue_ms"] > 0 for each in waiting))
            self.assertEqual({each["prompt_tokens"] for each in waiting}, {3})
        # The client is gone.
        self.until(lambda: all(each["state"] != "running" for each in self.requests()))
        self.assertIn("cancelled", [each["state"] for each in self.requests()])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
