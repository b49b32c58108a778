"""The Python package `openai`, unchanged, against `pelton serve`.

Usage: openai_test.py PELTON, in the root of the sources. Every answer and every event is
checked against the client's own types, which it does not do by itself.
"""

import asyncio
import json
import typing

from client_case import KEY, MESSAGES, WEATHER_SCHEMA, ClientCase, need, run

need("openai")
import openai  # noqa: E402
import pydantic  # noqa: E402
from openai.types import Completion, CreateEmbeddingResponse, Model  # noqa: E402,F401
from openai.types.chat import ChatCompletion, ChatCompletionChunk  # noqa: E402

TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "The weather of the next days.",
    "parameters": WEATHER_SCHEMA, "strict": True}},
    {"type": "function", "function": {"name": "time", "parameters": {"type": "object",
                                                                     "properties": {}}}}]


class Forecast(pydantic.BaseModel):
    city: typing.Literal["Rome", "Oslo"]
    days: typing.Literal[1, 2, 3]


def checked(kind, answer):
    """The answer, whose fields have the types that the client states."""
    kind.model_validate(answer.model_dump(warnings="error"))
    return answer


class OpenAiClientTest(ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        options = {"base_url": cls.url + "/v1", "api_key": KEY, "max_retries": 0, "timeout": 300}
        cls.client = openai.OpenAI(**options)
        cls.make_async = staticmethod(lambda: openai.AsyncOpenAI(**options))

    def chat(self, **fields):
        fields = {"model": "chatty", "messages": MESSAGES, "max_tokens": 24, "temperature": 0,
                  **fields}
        return checked(ChatCompletion, self.client.chat.completions.create(**fields))

    def chunks(self, **fields):
        fields = {"model": "chatty", "messages": MESSAGES, "max_tokens": 24, "temperature": 0,
                  "stream": True, "stream_options": {"include_usage": True}, **fields}
        return [checked(ChatCompletionChunk, chunk)
                for chunk in self.client.chat.completions.create(**fields)]

    def assert_same(self, whole, chunks):
        """A stream's chunks add up to the whole answer."""
        first = chunks[0].choices[0]
        self.assertEqual(first.delta.role, "assistant")
        self.assertEqual({c.id for c in chunks}, {chunks[0].id})
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual(chunks[-1].usage.prompt_tokens, whole.usage.prompt_tokens)
        for choice in whole.choices:
            own = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == choice.index]
            text = "".join(c.delta.content or "" for c in own)
            self.assertEqual(text, choice.message.content or "")
            reasons = [c.finish_reason for c in own if c.finish_reason]
            self.assertEqual(reasons, [choice.finish_reason])
            calls = {}
            for call in (call for c in own for call in c.delta.tool_calls or []):
                entry = calls.setdefault(call.index, {"name": "", "arguments": ""})
                entry["name"] += call.function.name or ""
                entry["arguments"] += call.function.arguments or ""
                self.assertEqual(bool(call.id), bool(call.function.name))
            self.assertEqual([calls[i] for i in sorted(calls)],
                             [{"name": c.function.name, "arguments": c.function.arguments}
                              for c in choice.message.tool_calls or []])
            if choice.logprobs is not None:
                parts = [e for c in own if c.logprobs for e in c.logprobs.content]
                self.assertEqual([e.model_dump() for e in parts],
                                 [e.model_dump() for e in choice.logprobs.content])

    def test_a_chat_whole_and_streamed(self):
        for fields in [{}, {"seed": 4, "temperature": 1.2, "top_p": 0.9}, {"n": 3, "temperature": 1,
                                                                         "seed": 1},
                       {"stop": ["e"], "max_completion_tokens": 40},
                       {"logprobs": True, "top_logprobs": 3},
                       {"presence_penalty": 0.5, "frequency_penalty": 0.5,
                        "logit_bias": {"5": -100}}]:
            whole = self.chat(**fields)
            self.assert_same(whole, self.chunks(**fields))
        self.assertEqual(whole.model, "chatty")
        self.assertGreater(whole.usage.total_tokens, whole.usage.prompt_tokens)

    def test_the_clients_own_stream(self):
        with self.client.chat.completions.stream(
                model="chatty", messages=MESSAGES, max_tokens=200, temperature=1, seed=3,
                response_format=Forecast) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        self.assertIsInstance(final.choices[0].message.parsed, Forecast)
        self.assertLessEqual({"chunk", "content.delta", "content.done"}, kinds)

    def test_without_waiting(self):
        async def ask():
            async with self.make_async() as client:
                fields = {"model": "chatty", "messages": MESSAGES, "max_tokens": 24,
                          "temperature": 0}
                whole = await asyncio.gather(*[client.chat.completions.create(**fields)
                                               for _ in range(8)])
                stream = await client.chat.completions.create(**fields, stream=True)
                chunks = [checked(ChatCompletionChunk, chunk) async for chunk in stream]
                models = [model.id async for model in client.models.list()]
                return whole, chunks, models

        whole, chunks, models = asyncio.run(ask())
        text = self.chat().choices[0].message.content
        self.assertEqual({w.choices[0].message.content for w in whole}, {text})
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), text)
        self.assertEqual(models, ["chatty"])

    def test_tools(self):
        named = {"type": "function", "function": {"name": "weather"}}
        for choice in ["required", named]:
            fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False,
                      "max_tokens": 300, "temperature": 1, "seed": 2}
            whole = self.chat(**fields)
            self.assertEqual(whole.choices[0].finish_reason, "tool_calls")
            (call,) = whole.choices[0].message.tool_calls
            if choice == named or call.function.name == "weather":
                self.assertEqual(call.function.name, "weather")
                Forecast.model_validate_json(call.function.arguments)
            self.assert_same(whole, self.chunks(**fields))
            # The next turn, with the call and its result.
            again = self.chat(messages=[*MESSAGES, whole.choices[0].message.to_dict(),
                                        {"role": "tool", "tool_call_id": call.id,
                                         "content": "sun"}], tools=TOOLS)
            self.assertGreater(again.usage.prompt_tokens, whole.usage.prompt_tokens)
        for choice in ["auto", "none"]:
            fields = {"tools": TOOLS, "tool_choice": choice}
            self.assert_same(self.chat(**fields), self.chunks(**fields))

    def test_output_of_a_given_form(self):
        answer = self.client.chat.completions.parse(
            model="chatty", messages=MESSAGES, response_format=Forecast, max_tokens=200,
            temperature=1, seed=3)
        self.assertIsInstance(answer.choices[0].message.parsed, Forecast)
        form = {"type": "json_schema", "json_schema": {"name": "forecast", "strict": True,
                                                       "schema": WEATHER_SCHEMA}}
        fields = {"response_format": form, "max_tokens": 200, "temperature": 1, "seed": 5}
        whole = self.chat(**fields)
        Forecast.model_validate_json(whole.choices[0].message.content)
        self.assert_same(whole, self.chunks(**fields))
        called = self.client.chat.completions.parse(
            model="chatty", messages=MESSAGES, tools=[openai.pydantic_function_tool(Forecast)],
            tool_choice="required", parallel_tool_calls=False, max_tokens=300, temperature=1,
            seed=3)
        self.assertIsInstance(called.choices[0].message.tool_calls[0].function.parsed_arguments,
                              Forecast)

    def test_completions(self):
        for fields in [{"prompt": "of the"}, {"prompt": [1, 2, 3], "n": 2, "seed": 1},
                       {"prompt": ["a", "b"], "logprobs": 2}, {"prompt": "of", "echo": True}]:
            fields = {"model": "chatty", "max_tokens": 12, "temperature": 0, **fields}
            whole = checked(Completion, self.client.completions.create(**fields))
            chunks = list(self.client.completions.create(**fields, stream=True))
            for chunk in chunks:
                # Null until the end, as OpenAI's own; the client's type has no null there.
                self.assertIn(chunk.choices[0].finish_reason, [None, "stop", "length"])
                ended = chunk.to_dict()
                ended["choices"][0]["finish_reason"] = "stop"
                Completion.model_validate(ended)
            for choice in whole.choices:
                self.assertEqual("".join(c.choices[0].text for c in chunks
                                         if c.choices[0].index == choice.index), choice.text)

    def test_models(self):
        (listed,) = self.client.models.list().data
        checked(Model, listed)
        self.assertEqual(checked(Model, self.client.models.retrieve("chatty")).id, listed.id)

    def test_errors(self):
        wrong = openai.OpenAI(base_url=self.url + "/v1", api_key="sk-wrong", max_retries=0)
        with self.assertRaises(openai.AuthenticationError):
            wrong.models.list()
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat(model="huge")
        self.assertEqual(caught.exception.param, "model")
        for field, value in [("temperature", -1), ("top_logprobs", 3), ("n", 0),
                             ("modalities", ["audio"]), ("logit_bias", {"9999": 1}),
                             ("tool_choice", "required")]:
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(**{field: value})
            self.assertEqual(caught.exception.param, field)
            self.assertEqual(caught.exception.type, "invalid_request_error")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(messages=[{"role": "user", "content": "word " * 3000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError):
            self.client.embeddings.create(model="chatty", input="x")

    def test_what_is_not_there_is_said(self):
        for call in [lambda: self.client.images.generate(prompt="x"),
                     lambda: self.client.moderations.create(input="x"),
                     lambda: self.client.fine_tuning.jobs.list()]:
            with self.assertRaises(openai.NotFoundError):
                call()

    def test_bytes_of_logprobs_are_the_text(self):
        whole = self.chat(logprobs=True, top_logprobs=2, max_tokens=30)
        entries = whole.choices[0].logprobs.content
        data = bytes(b for e in entries for b in e.bytes)
        self.assertTrue(data.decode("utf-8", "replace").startswith(
            whole.choices[0].message.content[:10]))
        for entry in entries:
            self.assertEqual(len(entry.top_logprobs), 2)
            self.assertLessEqual(entry.logprob, entry.top_logprobs[0].logprob)
        json.dumps(whole.model_dump())


if __name__ == "__main__":
    run()
