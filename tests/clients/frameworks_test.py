"""The Python packages `litellm` and `langchain-openai`, unchanged, against `pelton serve`.

Usage: frameworks_test.py PELTON, in the root of the sources. Both bring hundreds of megabytes of
dependencies, so they are a stage of their own: make test STAGES=frameworks.
"""

import asyncio
import json
import os
import typing

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no look-up on the network

from client_case import KEY, MESSAGES, WEATHER_SCHEMA, ClientCase, need, run  # noqa: E402

need("litellm", "langchain_openai")
import litellm  # noqa: E402
import pydantic  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

litellm.telemetry = False
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER_SCHEMA}}


class Forecast(pydantic.BaseModel):
    """The weather of a city."""
    city: typing.Literal["Rome", "Oslo"]
    days: typing.Literal[1, 2, 3]


class LiteLlmTest(ClientCase):
    def ask(self, provider, **fields):
        base = {"openai": self.url + "/v1", "hosted_vllm": self.url + "/v1",
                "anthropic": self.url, "ollama_chat": self.url}[provider]
        fields = {"messages": MESSAGES, "max_tokens": 24, "temperature": 0, **fields}
        return litellm.completion(model=f"{provider}/chatty", api_base=base, api_key=KEY,
                                  num_retries=0, **fields)

    def test_whole_and_streamed(self):
        for provider in ["openai", "hosted_vllm", "anthropic"]:
            whole = self.ask(provider)
            text = "".join(chunk.choices[0].delta.content or ""
                           for chunk in self.ask(provider, stream=True))
            self.assertEqual(text, whole.choices[0].message.content, provider)
            self.assertGreater(whole.usage.total_tokens, 0)

    def test_tools(self):
        out = self.ask("openai", tools=[TOOL], tool_choice="required", max_tokens=300)
        (call,) = out.choices[0].message.tool_calls[:1]
        self.assertIn(json.loads(call.function.arguments)["city"], ["Rome", "Oslo"])

    def test_without_waiting(self):
        async def ask():
            return await litellm.acompletion(
                model="openai/chatty", api_base=self.url + "/v1", api_key=KEY, messages=MESSAGES,
                max_tokens=24, temperature=0)

        self.assertEqual(asyncio.run(ask()).choices[0].message.content,
                         self.ask("openai").choices[0].message.content)

    def test_errors(self):
        with self.assertRaises(litellm.BadRequestError):
            self.ask("openai", temperature=-1)
        with self.assertRaises(litellm.NotFoundError):
            litellm.completion(model="openai/huge", api_base=self.url + "/v1", api_key=KEY,
                               messages=MESSAGES, num_retries=0)


class LangChainTest(ClientCase):
    def model(self, **more):
        return ChatOpenAI(**{"model": "chatty", "base_url": self.url + "/v1", "api_key": KEY,
                             "max_retries": 0, "temperature": 0, "max_tokens": 24, **more})

    def test_invoke_stream_and_batch(self):
        whole = self.model().invoke("Name a colour.")
        streamed = "".join(chunk.content for chunk in self.model().stream("Name a colour."))
        self.assertEqual(streamed, whole.content)
        self.assertEqual({a.content for a in self.model().batch(["Name a colour."] * 4)},
                         {whole.content})
        self.assertGreater(whole.usage_metadata["total_tokens"], 0)

    def test_tools(self):
        model = self.model(max_tokens=300).bind_tools([Forecast], tool_choice="any")
        (call,) = model.invoke("Name a colour.").tool_calls[:1]
        Forecast(**call["args"])

    def test_structured_output(self):
        for method in ["json_schema", "function_calling"]:
            model = self.model(max_tokens=300).with_structured_output(Forecast, method=method)
            self.assertIsInstance(model.invoke("Name a colour."), Forecast)


if __name__ == "__main__":
    run()
