"""The Python package `anthropic`, unchanged, against `pelton serve`.

Usage: anthropic_test.py PELTON, in the root of the sources.
"""

import asyncio

from client_case import KEY, MESSAGES, WEATHER_SCHEMA, ClientCase, need, run

need("anthropic")
import anthropic  # noqa: E402
from anthropic.types import Message  # noqa: E402

TOOLS = [{"name": "weather", "description": "The weather.", "input_schema": WEATHER_SCHEMA}]


def checked(message):
    Message.model_validate(message.model_dump(warnings="error"))
    return message


class AnthropicClientTest(ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        options = {"base_url": cls.url, "api_key": KEY, "max_retries": 0, "timeout": 300}
        cls.client = anthropic.Anthropic(**options)
        cls.make_async = staticmethod(lambda: anthropic.AsyncAnthropic(**options))

    @staticmethod
    def fields(**more):
        return {"model": "chatty", "max_tokens": 24, "messages": MESSAGES,
                "extra_body": {"temperature": 0}, **more}

    def message(self, **more):
        return checked(self.client.messages.create(**self.fields(**more)))

    def streamed(self, **more):
        with self.client.messages.stream(**self.fields(**more)) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_message()
        self.assertEqual(kinds[0], "message_start")
        self.assertEqual(kinds[-1], "message_stop")
        return checked(final)

    def assert_same(self, one, other):
        dump = lambda m: [{k: v for k, v in block.model_dump().items() if k != "id"}
                          for block in m.content]
        self.assertEqual(dump(one), dump(other))
        self.assertEqual(one.stop_reason, other.stop_reason)
        self.assertEqual(one.usage.output_tokens, other.usage.output_tokens)

    def test_whole_and_streamed(self):
        for more in [{}, {"system": "Be brief."}, {"stop_sequences": ["e"]}, {"max_tokens": 2}]:
            self.assert_same(self.message(**more), self.streamed(**more))
        with self.client.messages.stream(**self.fields()) as stream:
            text = "".join(stream.text_stream)
        self.assertEqual(text, self.message().content[0].text)

    def test_raw_events(self):
        events = list(self.client.messages.create(**self.fields(stream=True)))
        for event in events:
            type(event).model_validate(event.model_dump(warnings="error"))
        self.assertEqual(events[-1].type, "message_stop")

    def test_tools(self):
        for choice in [{"type": "any"}, {"type": "tool", "name": "weather"}]:
            more = {"tools": TOOLS, "tool_choice": {**choice, "disable_parallel_tool_use": True},
                    "max_tokens": 300}
            whole = self.message(**more)
            self.assertEqual(whole.stop_reason, "tool_use")
            call = whole.content[-1]
            self.assertIn(call.input["city"], ["Rome", "Oslo"])
            self.assert_same(whole, self.streamed(**more))
            self.message(tools=TOOLS, messages=[
                *MESSAGES, {"role": "assistant", "content": whole.content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                              "content": "sun"}]}])
        for choice in [{"type": "auto"}, {"type": "none"}]:
            more = {"tools": TOOLS, "tool_choice": choice}
            self.assert_same(self.message(**more), self.streamed(**more))

    def test_output_of_a_given_form(self):
        whole = self.message(max_tokens=200, output_config={
            "format": {"type": "json_schema", "schema": WEATHER_SCHEMA}})
        self.assertTrue(whole.content[0].text.startswith("{"))

    def test_without_waiting(self):
        async def ask():
            async with self.make_async() as client:
                answers = await asyncio.gather(*[client.messages.create(**self.fields())
                                                 for _ in range(8)])
                async with client.messages.stream(**self.fields()) as stream:
                    return answers, await stream.get_final_message()

        answers, final = asyncio.run(ask())
        for answer in answers:
            self.assert_same(answer, final)

    def test_tokens_are_counted(self):
        counted = self.client.messages.count_tokens(model="chatty", messages=MESSAGES)
        usage = self.message().usage
        self.assertEqual(counted.input_tokens, usage.input_tokens + usage.cache_read_input_tokens)

    def test_errors(self):
        wrong = anthropic.Anthropic(base_url=self.url, api_key="wrong", max_retries=0)
        with self.assertRaises(anthropic.AuthenticationError):
            wrong.messages.create(**self.fields())
        with self.assertRaises(anthropic.NotFoundError):
            self.message(model="huge")
        for field, value in [("max_tokens", -1), ("tool_choice", {"type": "any"}),
                             ("system", 5)]:
            with self.assertRaises(anthropic.BadRequestError) as caught:
                self.message(**{field: value})
            self.assertIn(field, str(caught.exception))
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.message(messages=[{"role": "user", "content": "word " * 3000}])
        self.assertIn("prompt is too long", str(caught.exception))


if __name__ == "__main__":
    run()
