"""Asks `pelton serve` as clients of Ollama's interface do.

Usage: ollama_test.py PELTON, in the root of the sources. Chats need the default model; without it
those tests are skipped.
"""

import json
import sys
import unittest

from serve_test import MODEL, KEY, Server, has_default_model


class PlainModelTest(unittest.TestCase):
    def test_raw_prompts_and_errors(self):
        server = Server(MODEL, "--api-key", KEY, "--served-model-name", "tiny", "--ctx", "512")
        try:
            key = {"X-Api-Key": KEY}
            for path, body, headers, code in [("/api/tags", None, {}, 401),
                                              ("/api/chat", {}, {}, 401),
                                              ("/api/nothing", {}, key, 404),
                                              ("/api/chat", None, key, 405),
                                              ("/api/chat", b"{", key, 400),
                                              ("/api/generate", b"x" * (17 << 20), key, 413)]:
                status, text, _ = server.ask(path, body, headers=headers)
                self.assertEqual(status, code, (path, text))
                self.assertIsInstance(json.loads(text)["error"], str)
            options = {"num_predict": 5, "temperature": 0, "num_ctx": 100}
            body = {"model": "tiny:latest", "prompt": "of the", "raw": True, "stream": False,
                    "options": options}
            out = server.json("/api/generate", body, headers=key)
            self.assertEqual(out["eval_count"], 5)
            self.assertEqual(out["done_reason"], "length")
            other = server.json("/v1/completions",
                                {"prompt": "of the", "max_tokens": 5, "temperature": 0},
                                headers=key)
            self.assertEqual(out["response"], other["choices"][0]["text"])
            error = server.json("/api/generate", {**body, "prompt": "of the " * 100}, 400,
                                headers=key)["error"]
            self.assertIn("num_ctx", error)
            error = server.json("/api/generate", {**body, "prompt": "of the " * 100000}, 400,
                                headers=key)["error"]
            self.assertRegex(error, r"num_ctx: found 100, but the prompt has at least \d+ tokens")
        finally:
            server.end()


@unittest.skipUnless(has_default_model(), "the default model is not here")
class ChatTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("smollm2", "--ctx", "1024")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def body(self, **fields):
        options = {"temperature": 0, "num_predict": 20}
        return {"model": "smollm2", "options": options,
                "messages": [{"role": "user", "content": "Name a colour."}], **fields}

    def test_whole_and_streamed_answers_are_equal(self):
        whole = self.server.json("/api/chat", self.body(stream=False))
        self.assertTrue(whole["done"])
        status, text, headers = self.server.ask("/api/chat", self.body())
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "application/x-ndjson")
        lines = [json.loads(line) for line in text.decode().splitlines()]
        self.assertEqual([line["done"] for line in lines], [False] * (len(lines) - 1) + [True])
        self.assertEqual("".join(line["message"]["content"] for line in lines),
                         whole["message"]["content"])
        for last in [whole, lines[-1]]:
            self.assertGreater(last["total_duration"], 0)
            self.assertGreater(last["prompt_eval_count"], 0)
            self.assertEqual(last["eval_count"], whole["eval_count"])

    def test_generate_is_a_chat_of_one_message(self):
        chat = self.server.json("/api/chat", self.body(stream=False))
        body = self.body(stream=False, prompt="Name a colour.")
        del body["messages"]
        self.assertEqual(self.server.json("/api/generate", body)["response"],
                         chat["message"]["content"])

    def test_a_format_is_kept_to(self):
        schema = {"type": "object", "properties": {"c": {"enum": ["red", "blue"]}},
                  "required": ["c"]}
        out = self.server.json("/api/chat", self.body(stream=False, format=schema))
        self.assertIn(json.loads(out["message"]["content"])["c"], ["red", "blue"])
        out = self.server.json("/api/chat", self.body(stream=False, format="json"))
        self.assertTrue(out["message"]["content"].startswith("{"))

    def test_what_is_served(self):
        self.assertEqual(self.server.json("/api/tags")["models"][0]["model"], "smollm2")
        self.assertEqual(self.server.json("/api/ps")["models"][0]["context_length"], 1024)
        shown = self.server.json("/api/show", {"model": "smollm2"})
        self.assertEqual(shown["details"]["family"], "llama")
        self.server.json("/api/show", {"model": "huge"}, 404)
        self.assertIn("version", self.server.json("/api/version"))
        loaded = self.server.json("/api/generate", {"model": "smollm2", "keep_alive": "5m"})
        self.assertEqual(loaded["done_reason"], "load")

    def test_what_is_not_supported_is_refused_by_name(self):
        message = {"role": "user", "content": "x", "images": ["eA=="]}
        for path, field, value in [("/api/chat", "format", "xml"), ("/api/chat", "think", 5),
                                   ("/api/chat", "options", {"num_gpu": 1}),
                                   ("/api/chat", "options", {"top_p": 7}),
                                   ("/api/chat", "nonsense", 1), ("/api/chat", "messages", 5),
                                   ("/api/chat", "messages", [message]),
                                   ("/api/generate", "suffix", "x"),
                                   ("/api/generate", "template", "x"),
                                   ("/api/generate", "context", [1]),
                                   ("/api/generate", "images", ["eA=="])]:
            body = {"model": "smollm2", field: value}
            if path == "/api/generate":
                body["prompt"] = "x"
            error = self.server.json(path, body, 400)["error"]
            name = next(iter(value)) if field == "options" else field
            self.assertIn(name, error)
        self.server.json("/api/chat", self.body(model="huge"), 404)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
