"""Asks `pelton serve` as clients of Anthropic's interface do.

Usage: anthropic_test.py PELTON, in the root of the sources. Chats need the default model; without
it those tests are skipped.
"""

import json
import sys
import unittest

from serve_test import MODEL, KEY, Server, has_default_model


class ErrorTest(unittest.TestCase):
    def test_errors_have_the_interface_s_form(self):
        server = Server(MODEL, "--api-key", KEY)
        try:
            key = {"X-Api-Key": KEY}
            hello = {"max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
            cases = [("/v1/messages", hello, {}, 401, "authentication_error"),
                     ("/v1/messages/nothing", {}, key, 404, "not_found_error"),
                     ("/v1/messages", None, key, 405, "invalid_request_error"),
                     ("/v1/messages", b"x" * (17 << 20), key, 413, "request_too_large"),
                     ("/v1/messages", b"{", key, 400, "invalid_request_error"),
                     ("/v1/messages", hello, {**key, "anthropic-version": "2020-01-01"}, 400,
                      "invalid_request_error"),
                     # This model has no chat template.
                     ("/v1/messages", hello, key, 400, "invalid_request_error")]
            for path, body, headers, code, kind in cases:
                status, text, _ = server.ask(path, body, headers=headers)
                self.assertEqual(status, code, (path, text))
                error = json.loads(text)
                self.assertEqual(error["type"], "error")
                self.assertEqual(error["error"]["type"], kind, text)
        finally:
            server.end()


@unittest.skipUnless(has_default_model(), "the default model is not here")
class MessagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("smollm2", "--ctx", "1024")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def message(self, code=200, path="/v1/messages", **fields):
        fields.setdefault("messages", [{"role": "user", "content": "Name a colour."}])
        if path == "/v1/messages":
            fields.setdefault("max_tokens", 20)
            fields.setdefault("temperature", 0)
        return self.server.json(path, fields, code)

    def events(self, **fields):
        body = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 20,
                "temperature": 0, "stream": True, **fields}
        status, text, headers = self.server.ask("/v1/messages", body)
        self.assertEqual(status, 200)
        self.assertTrue(headers["Content-Type"].startswith("text/event-stream"))
        events = []
        for block in text.decode().strip().split("\n\n"):
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            self.assertEqual(name, "event: " + event["type"])
            events.append(event)
        return events

    def test_whole_and_streamed_answers_are_equal(self):
        whole = self.message()
        events = self.events()
        kinds = [e["type"] for e in events if e["type"] != "ping"]
        self.assertEqual(kinds[:2], ["message_start", "content_block_start"])
        self.assertEqual(kinds[-3:], ["content_block_stop", "message_delta", "message_stop"])
        self.assertEqual(set(kinds[2:-3]), {"content_block_delta"})
        text = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
        self.assertEqual([{"type": "text", "text": text}], whole["content"])
        start, end = events[0]["message"], events[-2]
        self.assertGreater(start["usage"]["input_tokens"], 0)
        self.assertEqual(end["delta"]["stop_reason"], whole["stop_reason"])
        self.assertEqual(end["usage"]["output_tokens"], whole["usage"]["output_tokens"])

    def test_the_same_text_as_a_chat_of_openai_s(self):
        system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
        one = self.message(system=system)
        messages = [{"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Name a colour."}]
        two = self.server.json("/v1/chat/completions",
                               {"messages": messages, "max_tokens": 20, "temperature": 0})
        self.assertEqual(one["content"][0]["text"], two["choices"][0]["message"]["content"])

    def test_reasons_to_stop(self):
        self.assertEqual(self.message(max_tokens=2)["stop_reason"], "max_tokens")
        text = self.message()["content"][0]["text"]
        cut = text[5:8]
        out = self.message(stop_sequences=["\0none", cut])
        self.assertEqual((out["stop_reason"], out["stop_sequence"]), ("stop_sequence", cut))
        self.assertEqual(out["content"][0]["text"], text[:text.index(cut)])

    def test_forced_calls_are_tool_use(self):
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}},
                  "required": ["colour"]}
        tools = [{"name": "paint", "input_schema": schema}]
        for choice in [{"type": "any"}, {"type": "tool", "name": "paint"}]:
            fields = {"tools": tools, "tool_choice": choice, "max_tokens": 60}
            whole = self.message(**fields)
            self.assertEqual(whole["stop_reason"], "tool_use")
            block = whole["content"][-1]
            self.assertEqual((block["type"], block["name"]), ("tool_use", "paint"))
            self.assertTrue(block["id"].startswith("toolu_"))
            self.assertIn(block["input"]["colour"], ["red", "blue"])
            events = self.events(**fields)
            start = [e for e in events if e["type"] == "content_block_start"][-1]["content_block"]
            self.assertEqual((start["type"], start["input"]), ("tool_use", {}))
            text = "".join(e["delta"]["partial_json"] for e in events
                           if e["type"] == "content_block_delta")
            self.assertEqual(json.loads(text), block["input"])
        self.message(400, tools=tools, tool_choice={"type": "tool", "name": "sing"})

    def test_a_schema_is_kept_to(self):
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        out = self.message(output_config={"format": {"type": "json_schema", "schema": schema}},
                           max_tokens=60)
        if out["stop_reason"] == "end_turn":
            self.assertIsInstance(json.loads(out["content"][0]["text"])["n"], int)
        self.assertTrue(out["content"][0]["text"].startswith("{"))

    def test_usage_parts_the_cached_tokens(self):
        messages = [{"role": "user", "content": "Count to three, please. " * 20}]
        count = self.message(path="/v1/messages/count_tokens", messages=messages)["input_tokens"]
        self.message(messages=messages)
        usage = self.message(messages=messages)["usage"]
        self.assertGreater(usage["cache_read_input_tokens"], 64)
        self.assertEqual(usage["input_tokens"] + usage["cache_read_input_tokens"], count)

    def test_what_does_not_fit_is_refused_in_words_that_clients_know(self):
        error = self.message(400, messages=[{"role": "user", "content": "word " * 2000}])["error"]
        self.assertTrue(error["message"].startswith("prompt is too long: "), error)
        long = [{"role": "user", "content": "word " * 40000}]
        error = self.message(400, messages=long)["error"]
        self.assertRegex(error["message"], r"^prompt is too long: .* at least \d+ tokens")
        # To be counted it need not fit.
        count = self.message(path="/v1/messages/count_tokens", messages=long)["input_tokens"]
        self.assertGreater(count, 40000)

    def test_what_is_not_supported_is_refused_by_name(self):
        tool = {"name": "f", "input_schema": {"type": "object"}}
        for field, value in [("tools", [tool]), ("tool_choice", {"type": "any"}),
                             ("tool_choice", {"type": "often"}),
                             ("thinking", {"type": "often"}), ("container", "x"),
                             ("speed", "fast"), ("top_p", 5), ("stop_sequences", [""]),
                             ("output_config", {"format": {"type": "xml"}}),
                             ("max_tokens", -1), ("max_tokens", None), ("system", 5),
                             ("nonsense", 1), ("metadata", {"x": 1})]:
            message = self.message(400, **{field: value})["error"]["message"]
            self.assertIn(field, message)
        self.message(metadata={"user_id": "x"}, thinking={"type": "disabled"}, service_tier="auto",
                     top_k=3, cache_control={"type": "ephemeral"})
        error = self.message(404, model="huge")["error"]
        self.assertEqual(error["type"], "not_found_error")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
