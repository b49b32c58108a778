"""Asks `pelton serve` for answers of a model that reasons, with a budget for its reasoning.

Usage: thinking_test.py PELTON, in the root of the sources. The model is small and random: it reasons
until it is stopped.
"""

import json
import os
import sys
import tempfile
import unittest

from serve_test import Server

sys.path.insert(0, "tests/library")
import tiny_models  # noqa: E402 (it is beside other tests)

OPEN = tiny_models.TEMPLATE.replace("assistant\n", "assistant\n<think>\n").replace(
    "{{ message.content }}", "{{ message.content.split('</think>') | last }}")
# Letters only: ids are bytes.
QUESTION = {"messages": [{"role": "user", "content": "Why?"}], "temperature": 1, "seed": 3,
            "max_tokens": 60, "ignore_eos": True,
            "logit_bias": {str(ord("a") + i): 100 for i in range(26)}}
CLOSING = "\n</think>\n\n"  # a token a byte


class ThinkingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        reasons, plain = (os.path.join(cls.folder.name, name) for name in ("reasons", "plain"))
        tiny_models.make_chat_model(reasons, OPEN)
        tiny_models.make_chat_model(plain)
        cls.server = Server(reasons, "--ctx", "256")
        cls.plain = Server(plain, "--ctx", "256")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        assert cls.server.end() == 0 and cls.plain.end() == 0

    def chat(self, **fields):
        return self.server.json("/v1/chat/completions", {**QUESTION, **fields})

    def parts(self, answer):
        message = answer["choices"][0]["message"]
        return message.get("reasoning_content") or "", message["content"] or ""

    def test_a_budget_closes_the_reasoning(self):
        whole, content = self.parts(self.chat())
        self.assertEqual((len(whole), content), (QUESTION["max_tokens"], ""))
        for budget in (0, 1, 9):
            answer = self.chat(thinking_budget=budget)
            reasoning, content = self.parts(answer)
            self.assertEqual(reasoning.rstrip("\n"), whole[:budget])
            self.assertEqual(answer["usage"]["completion_tokens"], QUESTION["max_tokens"])
            self.assertEqual(len(content.strip()), QUESTION["max_tokens"] - budget - len(CLOSING))
        self.assertEqual(self.parts(self.chat(thinking_budget=60)), (whole, ""))

    def test_streamed_and_several_answers_have_it_too(self):
        fields = {"thinking_budget": 5, "n": 2}
        answer = self.chat(**fields)
        events = self.server.events("/v1/chat/completions", {**QUESTION, **fields})
        for choice in answer["choices"]:
            deltas = [c["delta"] for event in events for c in event["choices"]
                      if c["index"] == choice["index"]]
            for name in ("reasoning_content", "content"):
                self.assertEqual("".join(d.get(name) or "" for d in deltas),
                                 choice["message"].get(name) or "")
            self.assertEqual(len(choice["message"]["reasoning_content"].strip()), 5)

    def test_an_answer_of_a_form_follows_the_reasoning(self):
        answer = self.chat(thinking_budget=6, max_tokens=120, ignore_eos=False, logit_bias={},
                           response_format={"type": "json_schema", "json_schema": {
                               "name": "x", "schema": {"enum": ["alpha", "beta"]}}})
        reasoning, content = self.parts(answer)
        self.assertTrue(reasoning)
        self.assertIn(json.loads(content), ["alpha", "beta"])

    def test_anthropic_budgets_are_honoured(self):
        fields = {"messages": QUESTION["messages"], "max_tokens": 100}
        answer = self.server.json("/v1/messages", {
            **fields, "thinking": {"type": "enabled", "budget_tokens": 1024}})
        self.assertEqual(answer["type"], "message")

    def test_what_cannot_be_is_refused(self):
        for budget in (-1, "5", 1.5, 1 << 32):
            error = self.server.json("/v1/chat/completions",
                                     {**QUESTION, "thinking_budget": budget}, 400)["error"]
            self.assertEqual(error["param"], "thinking_budget")
        error = self.plain.json("/v1/chat/completions", {**QUESTION, "thinking_budget": 5}, 400)
        self.assertEqual(error["error"]["param"], "thinking_budget")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
