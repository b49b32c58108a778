"""Service classes, deadlines and guessed tokens as clients of `pelton serve` meet them.

Usage: schedule_test.py PELTON, in the root of the sources.
"""

import concurrent.futures
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serve_test import MODEL, Server  # noqa: E402

PROMPT = [1, 2, 3, 4]


def fields(**more):
    return {"prompt": PROMPT, "max_tokens": 8, "temperature": 0, "ignore_eos": True, **more}


class ClassTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(MODEL)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def ask(self, headers=None, **more):
        status, text, answer_headers = self.server.ask("/v1/completions", fields(**more),
                                                       headers=headers)
        return status, json.loads(text), answer_headers

    def test_every_class_gives_the_same_answer(self):
        want = self.ask()[1]["choices"][0]["text"]
        for more in [{"service_tier": "priority"}, {"service_tier": "flex"}, {"priority": -1},
                     {"priority": 5}, {"priority": 50}, {"priority": "background"}]:
            status, answer, _ = self.ask(**more)
            self.assertEqual((status, answer["choices"][0]["text"]), (200, want), more)
        for name in ["realtime", "standard", "batch", "background"]:
            status, answer, _ = self.ask({"X-Pelton-Class": name})
            self.assertEqual((status, answer["choices"][0]["text"]), (200, want), name)

    def test_a_class_that_does_not_exist_is_refused_by_name(self):
        for field, value in [("service_tier", "gold"), ("service_tier", 1), ("priority", "gold"),
                             ("priority", 1.5), ("timeout", -1), ("timeout", "soon")]:
            status, answer, _ = self.ask(**{field: value})
            self.assertEqual((status, answer["error"]["param"]), (400, field), (field, value))
        for header in ["X-Pelton-Class", "X-Request-Timeout-Ms"]:
            status, answer, _ = self.ask({header: "gold"})
            self.assertEqual(status, 400, header)
            self.assertIn(header.lower(), answer["error"]["message"].lower())

    def test_what_cannot_come_in_time_is_refused_and_told_when_to_come_again(self):
        # Something to forecast from, then work in front of the request.
        for _ in range(40):
            self.ask()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            work = pool.submit(self.server.json, "/v1/completions",
                               fields(max_tokens=1000, n=64))
            while self.server.metric("pelton_requests_running") == 0:
                pass
            status, answer, headers = self.ask(timeout=0.001)
            self.assertEqual(status, 503)
            self.assertGreaterEqual(int(headers["Retry-After"]), 1)
            self.assertEqual(answer["error"]["type"], "server_error")
            # One that can wait is served beside it.
            self.assertEqual(self.ask(timeout=600)[0], 200)
            self.assertEqual(len(work.result()["choices"]), 64)


class SpeculationTest(unittest.TestCase):
    def test_guessed_tokens_change_no_answer(self):
        answers = []
        for mode in ["ngram", "off"]:
            server = Server(MODEL, "--speculate", mode)
            # A bias makes the answer repeat itself, which is what guesses live on.
            greedy = server.json("/v1/completions", fields(max_tokens=100, logprobs=1,
                                                           logit_bias={"5": 100}))
            drawn = server.json("/v1/completions",
                                fields(prompt=PROMPT * 8, max_tokens=64, temperature=0.4, seed=7))
            answers.append([greedy["choices"][0]["logprobs"], drawn["choices"][0]["text"]])
            details = greedy["usage"].get("completion_tokens_details", {})
            guessed = details.get("accepted_prediction_tokens", 0)
            self.assertEqual(guessed > 0, mode == "ngram", details)
            self.assertEqual(server.end(), 0)
        self.assertEqual(answers[0], answers[1])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
