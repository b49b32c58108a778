"""Asks `pelton serve` and `pelton embed` for embeddings, scores and rankings.

Usage: embedding_test.py PELTON, in the root of the sources. They need the embedding model that
tools/fetch_model minilm fetches; without it those tests are skipped.
"""

import base64
import http.client
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import unittest

PELTON = os.path.abspath(sys.argv[1])
LANGUAGE_MODEL = "tests/data/golden/llama/model-Q4_0.gguf"


def stored(name):
    out = subprocess.run([PELTON, "list", "--json"], capture_output=True, check=True).stdout
    return any(model["name"] == name for model in json.loads(out))


HAS_MINILM = stored("minilm")


class Server:
    def __init__(self, model, *options):
        self.process = subprocess.Popen(
            [PELTON, "serve", model, "--port", "0", *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        banner = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+) ", banner).group(1))

    def json(self, path, body=None, code=200):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = None if body is None else json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", path, data)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == code, (path, body, answer.status, text)
        return json.loads(text)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b))


class NoEncoderTest(unittest.TestCase):
    def test_a_language_model_alone_gives_no_embeddings(self):
        server = Server(LANGUAGE_MODEL)
        error = server.json("/v1/embeddings", {"input": "a"}, 404)["error"]
        self.assertIn("--embedding-model", error["message"])
        self.assertEqual(server.end(), 0)
        run = subprocess.run([PELTON, "embed", LANGUAGE_MODEL, "a"], capture_output=True, text=True)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("expected an encoder", run.stderr)


@unittest.skipUnless(HAS_MINILM, "the embedding model is not in the store")
class EncoderTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("minilm", "--numerics", "exact")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def embed(self, code=200, **fields):
        return self.server.json("/v1/embeddings", fields, code)

    def test_vectors_of_texts_and_ids(self):
        out = self.embed(input=["Hello!", "A cat sleeps."], model="minilm")
        self.assertEqual(out["usage"], {"prompt_tokens": 10, "total_tokens": 10})
        first, second = (entry["embedding"] for entry in out["data"])
        self.assertEqual(len(first), 384)
        self.assertAlmostEqual(sum(x * x for x in first), 1, places=5)
        self.assertEqual(self.embed(input="Hello!")["data"][0]["embedding"], first)
        ids = self.embed(input=[[101, 7592, 999, 102]])["data"][0]["embedding"]
        self.assertEqual(ids, first)
        packed = self.embed(input="A cat sleeps.", encoding_format="base64")
        raw = base64.b64decode(packed["data"][0]["embedding"])
        self.assertEqual(list(struct.unpack("<384f", raw)),
                         [struct.unpack("f", struct.pack("f", x))[0] for x in second])

    def test_what_is_alike_is_near(self):
        texts = ["A man is eating food.", "A man eats something.", "The sky is blue."]
        a, b, c = (e["embedding"] for e in self.embed(input=texts)["data"])
        self.assertGreater(cosine(a, b), cosine(a, c) + 0.3)

    def test_long_texts_are_cut_only_when_asked(self):
        text = "word " * 600
        error = self.embed(400, input=["a", text])["error"]
        self.assertEqual(error["message"], "input 1: found 602 tokens, expected at most 512; "
                                           "truncate_prompt_tokens cuts them")
        for route, fields in [("/v1/embeddings", {"input": ["a", "word " * 100000]}),
                              ("/v1/rerank", {"query": "a", "documents": ["word " * 100000]}),
                              ("/v1/score", {"text_1": "a", "text_2": "word " * 100000})]:
            error = self.server.json(route, fields, 400)["error"]
            self.assertIn("found at least 100002 tokens, expected at most 512", error["message"])
            self.server.json(route, {**fields, "truncate_prompt_tokens": -1})
        cut = self.embed(input=text, truncate_prompt_tokens=12)
        self.assertEqual(cut["usage"]["prompt_tokens"], 12)
        self.assertEqual(cut["data"], self.embed(input="word " * 10)["data"])
        self.assertEqual(self.embed(input=text, truncate_prompt_tokens=-1)["usage"]
                         ["prompt_tokens"], 512)

    def test_refusals_name_the_field(self):
        for fields, param in [({"input": []}, "input"), ({"input": "a", "dimensions": 100},
                                                         "dimensions"),
                              ({"input": "a", "encoding_format": "x"}, "encoding_format"),
                              ({"input": [[40000]]}, "input"), ({"input": "a", "n": 1}, "n")]:
            self.assertEqual(self.embed(400, **fields)["error"]["param"], param)
        self.embed(404, input="a", model="other")
        self.embed(input="a", dimensions=384)
        error = self.server.json("/v1/chat/completions", {"messages": []}, 400)["error"]
        self.assertIn("gives embeddings and no text", error["message"])

    def test_rerank_and_score(self):
        documents = ["Bread is baked.", "Paris is the capital of France.", {"text": "Cats sleep."}]
        out = self.server.json("/v1/rerank", {"query": "What is the capital of France?",
                                              "documents": documents, "top_n": 2})
        self.assertEqual([r["index"] for r in out["results"]][0], 1)
        self.assertEqual(len(out["results"]), 2)
        self.assertEqual(out["results"][0]["document"]["text"], documents[1])
        score = self.server.json("/v1/score", {"text_1": "What is the capital of France?",
                                               "text_2": documents[1]})["data"][0]["score"]
        self.assertAlmostEqual(score, out["results"][0]["relevance_score"], places=6)
        self.assertGreater(score, 0.7)

    def test_ollama_forms(self):
        want = self.embed(input="Hello!")["data"][0]["embedding"]
        out = self.server.json("/api/embed", {"model": "minilm", "input": ["Hello!", "b"]})
        self.assertEqual(out["embeddings"][0], want)
        self.assertEqual(len(out["embeddings"]), 2)
        out = self.server.json("/api/embeddings", {"model": "minilm", "prompt": "Hello!"})
        self.assertEqual(out["embedding"], want)

    def test_the_command_gives_the_same(self):
        lines = '"Hello!"\n{"text":"A cat sleeps."}\n'
        run = subprocess.run([PELTON, "embed", "minilm", "--numerics", "exact", "--jsonl"],
                             input=lines, capture_output=True, text=True, check=True)
        vectors = [json.loads(line)["embedding"] for line in run.stdout.splitlines()]
        out = self.embed(input=["Hello!", "A cat sleeps."])
        self.assertEqual(vectors, [entry["embedding"] for entry in out["data"]])

    def test_fast_numerics_stay_near(self):
        fast = subprocess.run([PELTON, "embed", "minilm", "A cat sleeps."], capture_output=True,
                              text=True, check=True)
        want = self.embed(input="A cat sleeps.")["data"][0]["embedding"]
        self.assertGreater(cosine(json.loads(fast.stdout)["embedding"], want), 0.999)


@unittest.skipUnless(HAS_MINILM, "the embedding model is not in the store")
class BothTest(unittest.TestCase):
    def test_a_language_model_and_an_encoder_share_a_port(self):
        server = Server(LANGUAGE_MODEL, "--embedding-model", "minilm", "--served-model-name", "tiny")
        names = [model["id"] for model in server.json("/v1/models")["data"]]
        self.assertEqual(names, ["tiny", "minilm"])
        self.assertEqual(server.json("/v1/models/minilm")["max_model_len"], 512)
        self.assertEqual(len(server.json("/v1/embeddings", {"input": "a"})["data"]), 1)
        out = server.json("/v1/completions", {"prompt": "a", "max_tokens": 2, "model": "tiny"})
        self.assertEqual(len(out["choices"]), 1)
        self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
