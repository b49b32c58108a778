"""The Python package beside the program: what python_test.py runs in the wheel's environment.

Usage: python_cases.py PELTON FOLDER, in the root of the sources; FOLDER takes the models.
"""

import asyncio
import inspect
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import pelton
import tiny_models

PELTON = sys.argv[1]
FOLDER = pathlib.Path(sys.argv[2])
TINY = pathlib.Path("tests/data/golden/llama")
MODEL = TINY / "model-Q4_0.gguf"
GOLDEN = json.loads((TINY / "golden-Q4_0.json").read_text(encoding="utf-8"))
CHAT = FOLDER / "chat"
ENCODER = FOLDER / "encoder"
QUESTION = [{"role": "user", "content": "hello"}]


def command(*arguments):
    done = subprocess.run([PELTON, *map(str, arguments)], capture_output=True, text=True, check=True,
                          timeout=300)
    return [json.loads(line) for line in done.stdout.splitlines()]


def f32(values):
    return list(struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values)))


class ModelTest(unittest.TestCase):
    """Tests that share one open model."""

    path = MODEL

    @classmethod
    def setUpClass(cls):
        cls.llm = pelton.LLM(cls.path, numerics="exact", threads=2, max_sequences=8)

    @classmethod
    def tearDownClass(cls):
        cls.llm.close()


class GenerateTest(ModelTest):
    def test_greedy_ids_are_those_of_the_reference_and_of_the_program(self):
        prompts = [prompt["ids"] for prompt in GOLDEN["prompts"]]
        length = min(len(prompt["greedy_ids"]) for prompt in GOLDEN["prompts"])
        outputs = self.llm.generate(prompts, temperature=0, max_tokens=length, ignore_eos=True)
        for prompt, output in zip(GOLDEN["prompts"], outputs):
            self.assertEqual(output.token_ids, prompt["greedy_ids"][:length])
            self.assertEqual(output.finish_reason, "length")
            self.assertEqual(output.usage.prompt_tokens, len(prompt["ids"]))
            program, = command("run", MODEL, "--prompt-ids", ",".join(map(str, prompt["ids"])),
                               "--json", "--numerics", "exact", "--temperature", 0, "--max-tokens",
                               length, "--ignore-eos")
            self.assertEqual((output.token_ids, output.text), (program["ids"], program["text"]))

    def test_formats_of_weights_and_cache_are_those_of_the_program(self):
        with tempfile.TemporaryDirectory() as folder:
            for fields, options in [({"weights": "w8"}, ["--weights", "w8"]),
                                    ({"kv_cache_dtype": "f32", "packed_cache_folder": folder},
                                     ["--kv-cache-dtype", "f32"])]:
                with pelton.LLM(MODEL, **fields) as llm:
                    output = llm.generate([5, 6, 7], temperature=0, max_tokens=8, ignore_eos=True)
                program, = command("run", MODEL, "--prompt-ids", "5,6,7", "--json", "--temperature", 0,
                                   "--max-tokens", 8, "--ignore-eos", *options)
                self.assertEqual(output.token_ids, program["ids"])
            self.assertEqual(len([name for name in os.listdir(folder) if name.endswith(".packed")]),
                             1, os.listdir(folder))

    def test_a_batch_gives_what_each_prompt_gives_alone(self):
        prompts = ["of the", "and", [81, 72, 264], "in a way", "of the"] * 4
        each = [pelton.Sampling(temperature=1.0, seed=i, max_tokens=6 + i % 5, ignore_eos=True)
                for i in range(len(prompts))]
        batch = self.llm.generate(prompts, each)
        for prompt, sampling, output in zip(prompts, each, batch):
            alone = self.llm.generate(prompt, sampling)
            self.assertEqual(alone.token_ids, output.token_ids)
            self.assertEqual(alone.text, output.text)
        self.assertEqual(self.llm.generate([]), [])

    def test_a_stream_adds_up_to_the_whole(self):
        sampling = pelton.Sampling(temperature=1.0, seed=4, max_tokens=30, logprobs=2)
        whole = self.llm.generate("of the", sampling)
        chunks = list(self.llm.stream("of the", sampling))
        self.assertEqual("".join(chunk.text for chunk in chunks), whole.text)
        self.assertEqual([chunk.token_id for chunk in chunks[:-1]], whole.token_ids)
        self.assertEqual([chunk.logprobs for chunk in chunks[:-1]], whole.logprobs)
        self.assertEqual(len(whole.logprobs[0].top), 2)
        self.assertEqual(chunks[-1].finish_reason, whole.finish_reason)
        self.assertEqual(chunks[-1].usage.output_tokens, len(whole.token_ids))
        self.assertTrue(all(chunk.finish_reason is None for chunk in chunks[:-1]))

    def test_stops_and_constraints(self):
        whole = self.llm.generate("of the", temperature=0, max_tokens=40, ignore_eos=True)
        stop = whole.text[len(whole.text) // 2:][:3]
        cut = self.llm.generate("of the", temperature=0, max_tokens=40, ignore_eos=True,
                                stop=["never", stop])
        self.assertEqual((cut.finish_reason, cut.stop_index), ("stop", 1))
        self.assertEqual(cut.text, whole.text[:whole.text.index(stop)])
        out = self.llm.generate("of the", regex="[ab]{3}c")
        self.assertRegex(out.text, "^[ab]{3}c$")
        self.assertIn(self.llm.generate("a", choice=["left", "right"]).text, ["left", "right"])
        schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
        self.assertIn(json.loads(self.llm.generate("a", json_schema=schema).text)["a"], [1, 2])

    def test_log_probabilities_of_the_prompt(self):
        out = self.llm.generate([81, 72, 264], max_tokens=0, prompt_logprobs=1)
        self.assertEqual([token.id for token in out.prompt_logprobs], [72, 264])
        self.assertIsNone(out.logprobs)
        self.assertEqual(out.token_ids, [])

    def test_text_and_tokens(self):
        ids = self.llm.tokenize("caf\u00e9 of the")
        self.assertEqual(self.llm.detokenize(ids), "caf\u00e9 of the")
        self.assertEqual(self.llm.info.vocab_size, 320)
        self.assertEqual(self.llm.info.architecture, "llama")

    def test_failures_have_names(self):
        for name, fields in [("temperature", {"temperature": -1.0}), ("regex", {"regex": "["}),
                             ("at most one", {"regex": "a", "json_object": True}),
                             ("service_class", {"service_class": "x"}),
                             ("logit_bias", {"logit_bias": {1: 1000.0}})]:
            with self.assertRaisesRegex(pelton.InvalidArgumentError, name):
                self.llm.generate("a", **fields)
        with self.assertRaisesRegex(ValueError, "template"):
            self.llm.chat(QUESTION)
        with self.assertRaises(TypeError):
            self.llm.generate("a", tempreature=1)
        with self.assertRaisesRegex(pelton.InvalidArgumentError, "sampling"):
            self.llm.generate(["a", "b"], [pelton.Sampling()])
        with self.assertRaises(pelton.NotFoundError):
            pelton.LLM("no/such/model")
        with self.assertRaisesRegex(pelton.InvalidArgumentError, "encoder"):
            self.llm.embed("a")
        for error in [pelton.NotFoundError, pelton.CancelledError, pelton.DataLossError]:
            self.assertTrue(issubclass(error, pelton.Error))


class StreamTest(ModelTest):
    LONG = pelton.Sampling(temperature=1.0, seed=1, max_tokens=1500, ignore_eos=True)

    def test_closing_a_stream_ends_its_request(self):
        with pelton.LLM(MODEL, threads=1, max_sequences=1) as llm:
            for _ in range(3):
                stream = llm.stream("of the", self.LONG)
                next(stream)
                stream.close()
            # The only place is free again: what follows does not wait for 1500 tokens.
            out = llm.generate("of the", max_tokens=2, ignore_eos=True)
            self.assertEqual(len(out.token_ids), 2)

    def test_tasks_stream_at_the_same_time(self):
        def ids(seed):
            return self.llm.generate("of the", temperature=1.0, seed=seed, max_tokens=40,
                                     ignore_eos=True).token_ids

        order = []

        async def one(seed):
            got = []
            async for chunk in self.llm.astream("of the", temperature=1.0, seed=seed, max_tokens=40,
                                                ignore_eos=True):
                order.append(seed)
                if chunk.token_id is not None:
                    got.append(chunk.token_id)
            return got

        async def all_of_them():
            return await asyncio.gather(*(one(seed) for seed in range(6)))

        self.assertEqual(asyncio.run(all_of_them()), [ids(seed) for seed in range(6)])
        self.assertEqual(len(order), 6 * 41)
        self.assertNotEqual(order, sorted(order))

    def test_a_cancelled_task_ends_its_request(self):
        async def cancel_one():
            async def follow():
                async for _ in self.llm.astream("of the", self.LONG):
                    started.set()

            started = asyncio.Event()
            task = asyncio.create_task(follow())
            await started.wait()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            # Before it began, too.
            task = asyncio.create_task(follow())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            stream = self.llm.astream("of the", self.LONG)
            await anext(stream)
            await stream.aclose()

        asyncio.run(cancel_one())

    def test_threads_run_while_one_waits(self):
        stream = self.llm.stream("of the", self.LONG)
        next(stream)
        counted = []
        over = threading.Event()

        def count():
            while not over.is_set():
                counted.append(len(counted))
                time.sleep(0.001)

        thread = threading.Thread(target=count)
        thread.start()
        self.llm.generate("and", temperature=1.0, seed=1, max_tokens=600, ignore_eos=True)
        over.set()
        thread.join()
        stream.close()
        self.assertGreater(len(counted), 5)

    def test_closing_the_model_ends_requests(self):
        llm = pelton.LLM(MODEL, threads=1, max_sequences=2)
        streams = [llm.stream("of the", self.LONG) for _ in range(3)]
        next(streams[0])
        next(streams[1])
        llm.close()
        llm.close()
        for stream in streams[:2]:
            with self.assertRaises(pelton.CancelledError):
                list(stream)
        with self.assertRaisesRegex(pelton.InvalidArgumentError, "model"):
            next(streams[2])
        with self.assertRaises(pelton.InvalidArgumentError):
            llm.generate("a")

    def test_control_c_ends_a_wait(self):
        code = ("import pelton, sys\n"
                f"llm = pelton.LLM({str(MODEL)!r}, threads=1, context_tokens=2000)\n"
                "print('ready', flush=True)\n"
                "try:\n"
                "    while True:\n"
                "        llm.generate(['of the'] * 8, max_tokens=1900, ignore_eos=True)\n"
                "except KeyboardInterrupt:\n"
                "    print(len(llm.generate('a', max_tokens=3, ignore_eos=True).token_ids))\n"
                "    sys.exit(7)\n")
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=300)
        self.assertEqual((process.returncode, out), (7, "3\n"))

    def test_a_forks_child_is_refused_and_ends(self):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self.llm.generate("a")
            except pelton.InvalidArgumentError as error:
                code = 9 if "fork" in str(error) else 2
            self.llm.close()
            os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 9)
        self.assertEqual(len(self.llm.generate("a", max_tokens=1, ignore_eos=True).token_ids), 1)


class ChatTest(ModelTest):
    path = CHAT

    def test_a_chat_is_that_of_the_program(self):
        out = self.llm.chat(QUESTION, temperature=1.0, seed=3, max_tokens=16, ignore_eos=True)
        program, = command("run", CHAT, "hello", "--json", "--numerics", "exact", "--temperature", 1,
                           "--seed", 3, "--max-tokens", 16, "--ignore-eos")
        self.assertEqual((out.token_ids, out.text), (program["ids"], program["text"]))
        prompt = self.llm.render_chat(QUESTION)
        self.assertEqual(self.llm.tokenize(prompt, parse_special=True), program["prompt_ids"])
        both = self.llm.chat([QUESTION, [{"role": "user", "content": "bye"}]], temperature=1.0,
                             seed=3, max_tokens=16, ignore_eos=True)
        self.assertEqual(both[0].token_ids, out.token_ids)
        text = "".join(chunk.text for chunk in self.llm.stream_chat(
            QUESTION, temperature=1.0, seed=3, max_tokens=16, ignore_eos=True))
        self.assertEqual(text, out.text)

    def test_a_forced_call_of_a_tool(self):
        tools = [{"type": "function", "function": {"name": "look", "parameters": {
            "type": "object", "properties": {"way": {"enum": ["up", "down"]}},
            "required": ["way"], "additionalProperties": False}}}]
        out = self.llm.chat(QUESTION, tools=tools, tool_choice="look", max_tokens=200)
        self.assertEqual([call.name for call in out.tool_calls], ["look"])
        self.assertIn(json.loads(out.tool_calls[0].arguments)["way"], ["up", "down"])
        self.assertTrue(out.tool_calls[0].id)
        calls = [call for chunk in self.llm.stream_chat(QUESTION, tools=tools, tool_choice="look",
                                                        max_tokens=200)
                 for call in chunk.tool_calls]
        self.assertEqual([(call.name, call.arguments) for call in calls],
                         [("look", out.tool_calls[0].arguments)])

        async def answer():
            return [chunk async for chunk in self.llm.astream_chat(QUESTION, max_tokens=3,
                                                                   ignore_eos=True)]

        self.assertEqual(len(asyncio.run(answer())), 4)
        with self.assertRaisesRegex(pelton.InvalidArgumentError, r"messages\[0\].role"):
            self.llm.chat([{"role": "nobody", "content": ""}])


class EmbedTest(ModelTest):
    path = ENCODER

    def test_vectors_are_those_of_the_program(self):
        texts = ["the cat sleeps", "dogs eating.", "sky"] * 30  # more than one call's
        rows = command("embed", ENCODER, "--numerics", "exact", *texts)
        vectors = self.llm.embed(texts)
        self.assertEqual([f32(row["embedding"]) for row in rows], vectors)
        self.assertEqual(self.llm.embed("sky"), vectors[2])
        self.assertEqual(len(self.llm.embed("sky", dimensions=8)), 8)
        self.assertEqual(self.llm.embed([]), [])
        self.assertTrue(self.llm.info.is_encoder)

    def test_refusals(self):
        with self.assertRaisesRegex(pelton.InvalidArgumentError, r"texts\[1\]"):
            self.llm.embed(["a", "the cat " * 100])
        self.assertEqual(len(self.llm.embed("the cat " * 100, truncate_tokens=10)), 64)
        with self.assertRaisesRegex(pelton.InvalidArgumentError, "embeddings"):
            self.llm.generate("a")


class PackageTest(unittest.TestCase):
    def test_it_is_typed_and_documented(self):
        folder = pathlib.Path(pelton.__file__).parent
        for name in ["py.typed", "_native.pyi", "libpelton.so.0"]:
            self.assertTrue((folder / name).exists(), name)
        self.assertIn("def submit(", (folder / "_native.pyi").read_text(encoding="utf-8"))
        for name in pelton.__all__:
            if name.startswith("__"):
                continue
            self.assertTrue(inspect.getdoc(getattr(pelton, name)), name)
        for name, member in inspect.getmembers(pelton.LLM, inspect.isfunction):
            if not name.startswith("_"):
                self.assertTrue(member.__doc__, name)

    def test_it_leaves_signals_alone(self):
        code = ("import signal\n"
                "before = [signal.getsignal(s) for s in signal.valid_signals()]\n"
                "import pelton\n"
                f"pelton.LLM({str(MODEL)!r}, threads=1).generate('a', max_tokens=1)\n"
                "assert before == [signal.getsignal(s) for s in signal.valid_signals()]\n")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


if __name__ == "__main__":
    tiny_models.make_chat_model(CHAT)
    tiny_models.make_encoder(ENCODER)
    unittest.main(argv=sys.argv[:1])
