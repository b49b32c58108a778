"""The Python package `ollama`, unchanged, against `pelton serve`.

Usage: ollama_test.py PELTON, in the root of the sources.
"""

import asyncio
import json

from client_case import KEY, MESSAGES, WEATHER_SCHEMA, ClientCase, need, run

need("ollama")
import ollama  # noqa: E402

OPTIONS = {"temperature": 0, "num_predict": 24}


class OllamaClientTest(ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        headers = {"Authorization": "Bearer " + KEY}
        cls.client = ollama.Client(host=cls.url, headers=headers, timeout=300)
        cls.make_async = staticmethod(lambda: ollama.AsyncClient(host=cls.url, headers=headers,
                                                                 timeout=300))

    def test_chat_whole_and_streamed(self):
        whole = self.client.chat("chatty", MESSAGES, options=OPTIONS)
        parts = list(self.client.chat("chatty:latest", MESSAGES, options=OPTIONS, stream=True))
        self.assertEqual("".join(p.message.content for p in parts), whole.message.content)
        self.assertTrue(parts[-1].done)
        self.assertEqual(parts[-1].eval_count, whole.eval_count)
        self.assertEqual(parts[-1].done_reason, whole.done_reason)

    def test_generate_whole_and_streamed(self):
        for fields in [{"prompt": "of the"}, {"prompt": "of the", "raw": True},
                       {"prompt": "of the", "system": "Be brief."}]:
            whole = self.client.generate("chatty", options=OPTIONS, **fields)
            parts = list(self.client.generate("chatty", options=OPTIONS, stream=True, **fields))
            self.assertEqual("".join(p.response for p in parts), whole.response)

    def test_tools_and_schemas(self):
        def weather(city: str) -> str:
            """The weather of a city.

            Args:
                city: its name
            """
            return city

        out = self.client.chat("chatty", MESSAGES, tools=[weather], options=OPTIONS)
        self.assertIsInstance(out.message.content, str)
        out = self.client.chat("chatty", MESSAGES, format=WEATHER_SCHEMA,
                               options={"temperature": 1, "seed": 1, "num_predict": 200})
        self.assertIn(json.loads(out.message.content)["city"], ["Rome", "Oslo"])

    def test_without_waiting(self):
        async def ask():
            client = self.make_async()
            answers = await asyncio.gather(*[client.chat("chatty", MESSAGES, options=OPTIONS)
                                             for _ in range(8)])
            parts = [p async for p in await client.chat("chatty", MESSAGES, options=OPTIONS,
                                                        stream=True)]
            return answers, parts

        answers, parts = asyncio.run(ask())
        text = "".join(p.message.content for p in parts)
        self.assertEqual({a.message.content for a in answers}, {text})

    def test_models(self):
        self.assertEqual([m.model for m in self.client.list().models], ["chatty"])
        self.assertEqual([m.model for m in self.client.ps().models], ["chatty"])
        shown = self.client.show("chatty")
        self.assertIn("completion", shown.capabilities)
        self.assertIn("tools", shown.capabilities)

    def test_errors(self):
        with self.assertRaises(ollama.ResponseError) as caught:
            self.client.chat("huge", MESSAGES)
        self.assertEqual(caught.exception.status_code, 404)
        with self.assertRaises(ollama.ResponseError) as caught:
            self.client.chat("chatty", MESSAGES, options={"top_p": 5})
        self.assertIn("top_p", caught.exception.error)
        with self.assertRaises(ollama.ResponseError) as caught:
            self.client.generate("chatty", prompt="word " * 3000)
        self.assertEqual(caught.exception.status_code, 400)
        with self.assertRaises(ollama.ResponseError):
            ollama.Client(host=self.url).list()


if __name__ == "__main__":
    run()
