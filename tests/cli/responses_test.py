"""Asks `pelton serve` for responses, through OpenAI's own client and against its types.

Usage: responses_test.py PELTON, in the root of the sources. Needs the client, which tools/setup
installs, and the default model; without them it is skipped.
"""

import json
import sys
import time
import unittest

from openai_client import connect, openai, pydantic, unknown_members
from openai.types import responses as types
from openai.types.responses import response_item_list
from serve_test import Server, has_default_model

EVENT = pydantic.TypeAdapter(types.ResponseStreamEvent)
COLOUR = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}},
          "required": ["colour"], "additionalProperties": False}
PAINT = {"type": "function", "name": "paint", "parameters": COLOUR, "strict": True}
THINK = {"guided_regex": "<think>[a-z ]{5,20}</think>[a-z ]{3,30}"}
# Of settings that the server knows beyond the interface, and older clients' names.
KNOWN = ("name", "store", "bytes", "service_tier", "user", "safety_identifier")


def checked(response):
    """A response whose every member is as the client's types say."""
    value = types.Response.model_validate(response)
    assert not unknown_members(value, KNOWN), unknown_members(value, KNOWN)
    return response


@unittest.skipUnless(has_default_model(), "the default model is not here")
class ResponsesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("smollm2", "--ctx", "1024", "--invariant", "on")
        cls.client = connect(cls.server)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def ask(self, code=200, path="/v1/responses", **fields):
        fields.setdefault("input", "Name a colour.")
        fields.setdefault("temperature", 0)
        fields.setdefault("max_output_tokens", 24)
        answer = self.server.json(path, fields, code)
        return checked(answer) if code == 200 and "output" in answer else answer

    def events(self, **fields):
        fields.setdefault("input", "Name a colour.")
        fields.setdefault("temperature", 0)
        fields.setdefault("max_output_tokens", 24)
        status, text, headers = self.server.ask("/v1/responses", {**fields, "stream": True})
        self.assertEqual(status, 200, text)
        self.assertTrue(headers["Content-Type"].startswith("text/event-stream"))
        events = []
        for block in text.decode().strip().split("\n\n"):
            if block == ": ping":
                continue
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            self.assertEqual(name, "event: " + event["type"])
            value = EVENT.validate_python(event)
            self.assertEqual(value.type, event["type"])
            self.assertFalse(unknown_members(value, KNOWN), event)
            self.assertEqual(event["sequence_number"], len(events))
            events.append(event)
        return events

    def from_deltas(self, events):
        """The output as the pieces alone tell it."""
        output = []
        for e in events:
            kind = e["type"]
            if kind == "response.output_item.added":
                self.assertEqual(e["output_index"], len(output))
                output.append({**e["item"], "text": ""})
            elif kind.endswith(".delta"):
                self.assertEqual(e["item_id"], output[e["output_index"]]["id"])
                output[e["output_index"]]["text"] += e["delta"]
        return output

    def same(self, **fields):
        """Asks whole and streamed; both must come to the same output, which is returned."""
        whole = self.ask(**fields)
        events = self.events(**fields)
        self.assertEqual([e["type"] for e in events[:2]],
                         ["response.created", "response.in_progress"])
        last = events[-1]
        self.assertEqual(last["type"], "response." + whole["status"])

        def plain(output):
            out = json.loads(json.dumps(output))
            for item in out:
                item["id"] = item.get("call_id") and ""
                if "call_id" in item:
                    item["call_id"] = ""
            return out
        streamed = last["response"]["output"]
        self.assertEqual(plain(streamed), plain(whole["output"]))
        self.assertEqual(last["response"]["usage"]["output_tokens"],
                         whole["usage"]["output_tokens"])
        pieces = self.from_deltas(events)
        self.assertEqual([p["id"] for p in pieces], [item["id"] for item in streamed])
        for piece, item in zip(pieces, streamed):
            text = item["arguments"] if "arguments" in item else item["content"][0]["text"]
            self.assertEqual(piece["text"], text)
        done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
        self.assertEqual(done, streamed)
        return whole, events

    def test_text_whole_and_streamed(self):
        whole, events = self.same()
        kinds = [e["type"].removeprefix("response.") for e in events]
        self.assertEqual(kinds[2:4], ["output_item.added", "content_part.added"])
        self.assertEqual(kinds[-4:-1],
                         ["output_text.done", "content_part.done", "output_item.done"])
        self.assertEqual(set(kinds[4:-4]), {"output_text.delta"})
        chat = self.server.json("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 24,
            "temperature": 0})
        self.assertEqual(whole["output"][0]["content"][0]["text"],
                         chat["choices"][0]["message"]["content"])
        self.assertEqual(self.ask(path="/responses")["output"][0]["content"],
                         whole["output"][0]["content"])

    def test_the_client_understands_it(self):
        fields = {"model": "smollm2", "input": "Name a colour.", "temperature": 0,
                  "extra_body": {"guided_choice": ["Red is one.", "Blue is one."]}}
        answer = self.client.responses.create(**fields)
        with self.client.responses.stream(**fields) as stream:
            text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
            final = stream.get_final_response()
        self.assertEqual(text, answer.output_text)
        self.assertEqual(final.output_text, answer.output_text)

    def test_a_cut_answer_is_incomplete(self):
        whole, events = self.same(max_output_tokens=2)
        self.assertEqual(whole["status"], "incomplete")
        self.assertEqual(whole["incomplete_details"], {"reason": "max_output_tokens"})
        self.assertEqual(whole["output"][0]["status"], "incomplete")
        self.assertEqual(whole["usage"]["output_tokens"], 2)

    def test_reasoning(self):
        whole, events = self.same(**THINK, max_output_tokens=80)
        self.assertEqual([item["type"] for item in whole["output"]], ["reasoning", "message"])
        kinds = [e["type"] for e in events]
        self.assertIn("response.reasoning_text.delta", kinds)
        self.assertIn("response.reasoning_text.done", kinds)
        usage = whole["usage"]
        self.assertGreater(usage["output_tokens_details"]["reasoning_tokens"], 2)
        self.assertLess(usage["output_tokens_details"]["reasoning_tokens"], usage["output_tokens"])
        # It may go back as it came.
        again = [{"role": "user", "content": "Name a colour."}, *whole["output"],
                 {"role": "user", "content": "Another."}]
        self.ask(input=again)

    def test_forced_calls(self):
        for choice in ["required", {"type": "function", "name": "paint"},
                       {"type": "allowed_tools", "mode": "required",
                        "tools": [{"type": "function", "name": "paint"}]}]:
            whole, events = self.same(tools=[PAINT], tool_choice=choice, max_output_tokens=60,
                                      parallel_tool_calls=False)
            call = whole["output"][-1]
            self.assertEqual((call["type"], call["name"]), ("function_call", "paint"))
            self.assertIn(json.loads(call["arguments"])["colour"], ["red", "blue"])
            self.assertEqual(whole["tools"][0]["name"], "paint")
            kinds = [e["type"] for e in events]
            self.assertEqual(kinds[-3:-1], ["response.function_call_arguments.done",
                                            "response.output_item.done"])
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "done"}
        one = self.ask(previous_response_id=whole["id"], input=[result])
        two = self.ask(input=[{"role": "user", "content": "Name a colour."}, call, result])
        self.assertEqual(one["output"][0]["content"], two["output"][0]["content"])

    def test_a_schema_is_kept_to(self):
        fmt = {"type": "json_schema", "name": "c", "schema": COLOUR, "strict": True}
        whole, _ = self.same(text={"format": fmt}, max_output_tokens=60)
        self.assertIn(json.loads(whole["output"][0]["content"][0]["text"])["colour"],
                      ["red", "blue"])
        self.assertEqual(whole["text"]["format"], fmt)

        class Colour(pydantic.BaseModel):
            bright: bool
        parsed = self.client.responses.parse(model="smollm2", input="Is red bright?",
                                             text_format=Colour, max_output_tokens=60)
        self.assertIsInstance(parsed.output_parsed.bright, bool)

    def test_logprobs(self):
        whole, events = self.same(include=["message.output_text.logprobs"], top_logprobs=2)
        part = whole["output"][0]["content"][0]
        self.assertEqual(len(part["logprobs"]), whole["usage"]["output_tokens"] - (
            whole["status"] == "completed"))
        self.assertEqual("".join(p["token"] for p in part["logprobs"]), part["text"])
        for entry in part["logprobs"]:
            self.assertEqual(entry["logprob"], entry["top_logprobs"][0]["logprob"])
        streamed = [p for e in events if e["type"] == "response.output_text.delta"
                    for p in e["logprobs"]]
        self.assertEqual(streamed, part["logprobs"])

    def test_a_conversation_goes_on(self):
        first = self.client.responses.create(
            model="smollm2", input="My name is Ada. What is a prime number?", temperature=0,
            max_output_tokens=24, instructions="Be brief.")
        second = self.client.responses.create(
            model="smollm2", input="And what is my name?", previous_response_id=first.id,
            temperature=0, max_output_tokens=24)
        whole = self.ask(input=[
            {"role": "user", "content": "My name is Ada. What is a prime number?"},
            *[item.model_dump(exclude_none=True) for item in first.output],
            {"role": "user", "content": "And what is my name?"}])
        # Instructions are of one request alone.
        self.assertEqual(second.output_text, whole["output"][0]["content"][0]["text"])
        self.assertGreater(second.usage.input_tokens, first.usage.input_tokens)
        third = self.ask(previous_response_id=second.id, input="And mine?")
        items = list(self.client.responses.input_items.list(third["id"], order="asc", limit=2))
        kinds = [(item.type, item.role) for item in items]
        self.assertEqual(kinds, [("message", "user"), ("message", "assistant")] * 2
                         + [("message", "user")])
        newest = self.client.responses.input_items.list(third["id"], limit=1)
        self.assertEqual(newest.data[0].content[0].text, "And mine?")
        self.assertTrue(newest.has_more)
        page = self.server.json(f"/v1/responses/{third['id']}/input_items")
        self.assertFalse(unknown_members(
            response_item_list.ResponseItemList.model_validate(page), KNOWN))
        # A conversation that has lost a turn says so.
        self.client.responses.delete(first.id)
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.responses.create(model="smollm2", input="x", previous_response_id=second.id)
        self.assertEqual(caught.exception.body["param"], "previous_response_id")
        self.assertIn(first.id, caught.exception.body["message"])

    def test_items_may_be_referred_to(self):
        first = self.ask()
        one = self.ask(input=[{"role": "user", "content": "Name a colour."},
                              {"type": "item_reference", "id": first["output"][0]["id"]},
                              {"role": "user", "content": "Another."}])
        two = self.ask(input="Another.", previous_response_id=first["id"])
        self.assertEqual(one["output"][0]["content"], two["output"][0]["content"])
        error = self.ask(404, input=[{"type": "item_reference", "id": "msg_none"}])["error"]
        self.assertEqual(error["param"], "input[0].id")

    def test_responses_are_stored(self):
        made = self.ask(metadata={"a": "b"})
        got = self.server.json(f"/v1/responses/{made['id']}")
        self.assertEqual(got, made)
        self.assertGreater(self.server.metric("pelton_response_store_bytes"), len(json.dumps(got)))
        gone = self.client.responses.delete(made["id"])
        self.assertIsNone(gone)
        for call in [self.client.responses.retrieve, self.client.responses.delete,
                     self.client.responses.cancel]:
            with self.assertRaises(openai.NotFoundError):
                call(made["id"])
        unstored = self.ask(store=False)
        self.assertFalse(unstored["store"])
        self.server.json(f"/v1/responses/{unstored['id']}", code=404)
        streamed = self.events()[-1]["response"]
        self.assertEqual(self.server.json(f"/v1/responses/{streamed['id']}"), streamed)
        self.server.json(f"/v1/responses/{streamed['id']}?stream=true", code=400)
        self.server.json(f"/v1/responses/{streamed['id']}?colour=red", code=400)
        self.server.json(f"/v1/responses/{streamed['id']}/cancel", {}, 400)

    def wait(self, response_id):
        for _ in range(1200):
            got = checked(self.server.json(f"/v1/responses/{response_id}"))
            if got["status"] != "in_progress":
                return got
            time.sleep(0.1)
        self.fail("it does not end")

    def test_in_the_background(self):
        made = self.ask(background=True)
        self.assertEqual((made["status"], made["output"]), ("in_progress", []))
        got = self.wait(made["id"])
        self.assertEqual(got["status"], self.ask()["status"])
        self.assertEqual(got["output"][0]["content"], self.ask()["output"][0]["content"])
        endless = self.ask(background=True, max_output_tokens=900, ignore_eos=True)
        stopped = self.server.json(f"/v1/responses/{endless['id']}/cancel", {})
        self.assertEqual(checked(stopped)["status"], "cancelled")
        self.assertEqual(self.server.json(f"/v1/responses/{endless['id']}/cancel", {}), stopped)
        self.assertEqual(self.wait(endless["id"]), stopped)
        endless = self.ask(background=True, max_output_tokens=900, ignore_eos=True)
        self.client.responses.delete(endless["id"])
        for _ in range(600):
            if self.server.metric("pelton_requests_running") == 0:
                break
            time.sleep(0.1)
        self.assertEqual(self.server.metric("pelton_requests_running"), 0)
        # What cannot run is refused at once.
        self.ask(400, background=True, input="word " * 2000)

    def test_long_inputs_are_refused_or_cut(self):
        turns = []
        for i in range(20):
            turns += [{"role": "user", "content": f"Count to {i}, please. " * 10},
                      {"role": "assistant", "content": "One, two. " * 10}]
        turns.append({"role": "user", "content": "Name a colour."})
        error = self.ask(400, input=turns)["error"]
        self.assertEqual((error["param"], error["code"]), ("input", "context_length_exceeded"))
        long = [{"role": "user", "content": "word " * 40000},
                {"role": "assistant", "content": "Yes."}, *turns]
        error = self.ask(400, input=long)["error"]
        self.assertEqual((error["param"], error["code"]), ("input", "context_length_exceeded"))
        self.assertRegex(error["message"], r"at least \d+ tokens")
        self.assertEqual(self.ask(input=long, truncation="auto")["usage"]["input_tokens"],
                         self.ask(input=turns, truncation="auto")["usage"]["input_tokens"])
        cut = self.ask(input=turns, truncation="auto", instructions="Be brief.")
        self.assertLessEqual(cut["usage"]["input_tokens"], 1000)
        self.assertGreater(cut["usage"]["input_tokens"], 512)
        alone = self.ask(input=turns[-3:], truncation="auto")
        self.assertEqual(alone["output"], [{**alone["output"][0]}])
        self.ask(400, input="word " * 2000, truncation="auto")

    def test_tokens_are_counted(self):
        count = self.ask(path="/v1/responses/input_tokens", input="Count to three. " * 20)
        first = self.ask(input="Count to three. " * 20)
        self.assertEqual(first["usage"]["input_tokens"], count["input_tokens"])
        again = self.ask(input="Count to three. " * 20)
        self.assertGreater(again["usage"]["input_tokens_details"]["cached_tokens"], 64)

    def test_what_is_not_supported_is_refused_by_name(self):
        for field, value in [("conversation", "x"), ("prompt", {"id": "x"}), ("nonsense", 1),
                             ("tools", [{"type": "web_search"}]), ("tool_choice", "required"),
                             ("input", [{"role": "user", "content": [{"type": "input_image"}]}]),
                             ("text", {"format": {"type": "xml"}}), ("top_p", 5),
                             ("max_output_tokens", -1), ("background", 1), ("metadata", []),
                             ("reasoning", {"effort": "huge"}), ("include", ["x"]),
                             ("previous_response_id", 5), ("truncation", "x")]:
            error = self.ask(400, **{field: value})["error"]
            self.assertTrue(error["param"].startswith(field), (field, error))
            self.assertIn(field, error["message"])
        self.ask(404, model="huge")
        self.ask(404, previous_response_id="resp_none")
        self.server.json("/v1/responses/x/y/z", {}, 404)
        self.ask(user="x", safety_identifier="y", prompt_cache_key="z", service_tier="flex",
                 reasoning={"effort": "low", "summary": "auto"}, max_tool_calls=3,
                 include=["reasoning.encrypted_content"], truncation="disabled")


@unittest.skipUnless(has_default_model(), "the default model is not here")
class StoreTest(unittest.TestCase):
    def test_tenants_are_apart_and_limits_hold(self):
        server = Server("smollm2", "--ctx", "512", "--api-key", "a", "--api-key", "b",
                        "--response-store-max", "3")
        try:
            alice, bob = connect(server, "a"), connect(server, "b")
            made = [alice.responses.create(model="smollm2", input="Hi", max_output_tokens=2)
                    for _ in range(3)]
            for call in [bob.responses.retrieve, bob.responses.delete, bob.responses.cancel,
                         bob.responses.input_items.list]:
                with self.assertRaises(openai.NotFoundError):
                    call(made[0].id)
            with self.assertRaises(openai.NotFoundError):
                bob.responses.create(model="smollm2", input="Hi", previous_response_id=made[0].id)
            alice.responses.retrieve(made[0].id)
            own = bob.responses.create(model="smollm2", input="Hi", max_output_tokens=2)
            # The one that alice used last stays.
            alice.responses.retrieve(made[0].id)
            bob.responses.retrieve(own.id)
            with self.assertRaises(openai.NotFoundError) as caught:
                alice.responses.retrieve(made[1].id)
            self.assertIn("given way to newer ones", str(caught.exception))
        finally:
            self.assertEqual(server.end(), 0)

    def test_without_a_store_nothing_is_kept(self):
        server = Server("smollm2", "--ctx", "512", "--response-store-mb", "0")
        try:
            fields = {"input": "Hi", "max_output_tokens": 2}
            made = server.json("/v1/responses", fields)
            self.assertFalse(made["store"])
            server.json(f"/v1/responses/{made['id']}", code=404)
            for field in ["store", "background"]:
                error = server.json("/v1/responses", {**fields, field: True}, 400)["error"]
                self.assertEqual(error["param"], field)
        finally:
            self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
