"""Sends files and runs batches on `pelton serve`, through OpenAI's own client.

Usage: batch_test.py PELTON, in the root of the sources. Needs the client, which tools/setup
installs, and the default model; without them it is skipped.
"""

import json
import os
import signal
import stat
import sys
import tempfile
import time
import unittest

from openai_client import connect, openai, unknown_members
from openai.types import Batch, FileObject
from serve_test import MODEL, Server, has_default_model

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def jsonl(endpoint, bodies):
    return "".join(json.dumps({"custom_id": f"c{i}", "method": "POST", "url": endpoint,
                               "body": body}) + "\n" for i, body in enumerate(bodies)).encode()


def wait(client, batch, *states):
    """The batch when it has come to one of the states, or has ended."""
    for _ in range(2400):
        batch = client.batches.retrieve(batch.id)
        assert not unknown_members(batch), unknown_members(batch)
        if batch.status in states or batch.status in ("completed", "failed", "expired",
                                                      "cancelled"):
            return batch
        time.sleep(0.05)
    raise AssertionError(f"it does not end: {batch}")


def lines(client, file_id):
    text = client.files.content(file_id).text
    return {line["custom_id"]: line for line in map(json.loads, text.splitlines())}


class BatchTest(unittest.TestCase):
    """With a tiny model, which completes texts and knows no chats."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.store = os.path.join(self.folder.name, "batches")

    def serve(self, *options, model=MODEL):
        server = Server(model, "--served-model-name", "tiny", "--ctx", "512", "--invariant", "on",
                        "--batch-folder", self.store, *options)
        self.addCleanup(lambda: server.process.poll() is None and server.end())
        return server

    def create(self, client, endpoint, bodies, **fields):
        sent = client.files.create(file=("in.jsonl", jsonl(endpoint, bodies)), purpose="batch")
        return client.batches.create(input_file_id=sent.id, endpoint=endpoint,
                                     completion_window="24h", **fields)

    def test_files(self):
        server = self.serve()
        client = connect(server)
        content = jsonl(TEXT, [{"prompt": "of the"}]) * 3000
        sent = client.files.create(file=("a \"b\" é.jsonl", content), purpose="batch",
                                   expires_after={"anchor": "created_at", "seconds": 3600})
        self.assertFalse(unknown_members(FileObject.model_validate(sent.model_dump())))
        self.assertEqual((sent.bytes, sent.purpose), (len(content), "batch"))
        self.assertEqual(sent.expires_at, sent.created_at + 3600)
        self.assertEqual(client.files.content(sent.id).read(), content)
        self.assertEqual(client.files.retrieve(sent.id), sent)
        more = [client.files.create(file=("x", b"x"), purpose="batch") for _ in range(4)]
        ids = [sent.id, *(f.id for f in more)]
        self.assertEqual(sorted(f.id for f in client.files.list(limit=2)), sorted(ids))
        self.assertEqual([f.id for f in client.files.list(purpose="batch_output")], [])
        self.assertEqual(stat.S_IMODE(os.stat(self.store).st_mode), 0o700)
        for name in os.listdir(self.store):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.store, name)).st_mode), 0o600)
        self.assertEqual(server.metric("pelton_file_store_bytes"), len(content) + 4)
        self.assertTrue(client.files.delete(sent.id).deleted)
        for call in [client.files.retrieve, client.files.delete, client.files.content]:
            with self.assertRaises(openai.NotFoundError):
                call(sent.id)
        for fields, param in [({"purpose": "fine-tune"}, "purpose"),
                              ({"purpose": "batch", "expires_after": {
                                  "anchor": "created_at", "seconds": 5}}, "expires_after")]:
            with self.assertRaises(openai.BadRequestError) as caught:
                client.files.create(file=("x", b"x"), **fields)
            self.assertEqual(caught.exception.body["param"], param)
        status, text, _ = server.ask("/v1/files", b"--b\r\n", headers={
            "Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual(status, 400, text)
        self.assertEqual(server.ask("/v1/files", {})[0], 400)
        # By its length alone: nothing of it is read.
        status, _, _ = server.ask("/v1/files", b"", headers={"Content-Length": str(65 << 20)})
        self.assertEqual(status, 413)
        self.assertEqual(server.ask("/v1/completions", b"x" * (17 << 20))[0], 413)

    def test_the_same_answers_as_over_http(self):
        server = self.serve()
        client = connect(server)
        bodies = [{"prompt": [1, 2, i % 200 + 3], "max_tokens": 16, "seed": i} for i in range(40)]
        bodies[7]["top_p"] = 5
        bodies[8]["model"] = "huge"
        made = self.create(client, TEXT, bodies, metadata={"a": "b"})
        self.assertEqual(made.status, "validating")
        batch = wait(client, made)
        self.assertEqual((batch.status, batch.metadata), ("completed", {"a": "b"}))
        self.assertFalse(unknown_members(Batch.model_validate(batch.model_dump())))
        counts = batch.request_counts
        self.assertEqual((counts.total, counts.completed, counts.failed), (40, 38, 2))
        output, errors = lines(client, batch.output_file_id), lines(client, batch.error_file_id)
        self.assertEqual({c: e["response"]["status_code"] for c, e in errors.items()},
                         {"c7": 400, "c8": 404})
        self.assertEqual(errors["c7"]["response"]["body"]["error"]["param"], "top_p")
        self.assertEqual(len(output), 38)
        for i in [0, 1, 39]:
            line = output[f"c{i}"]
            self.assertIsNone(line["error"])
            alone = server.json(TEXT, bodies[i])
            self.assertEqual(line["response"]["body"]["choices"], alone["choices"])
        self.assertEqual(server.metric('pelton_batch_requests_total{result="completed"}'), 38)
        self.assertEqual([b.id for b in client.batches.list()], [batch.id])
        with self.assertRaises(openai.BadRequestError):
            client.batches.cancel(batch.id)

    def test_what_is_wrong_is_said(self):
        server = self.serve()
        client = connect(server)
        sent = client.files.create(file=("x", jsonl(TEXT, [{}]) + b"nonsense\n"), purpose="batch")
        fields = {"input_file_id": sent.id, "endpoint": TEXT, "completion_window": "24h"}
        batch = wait(client, client.batches.create(**fields))
        self.assertEqual((batch.status, batch.errors.data[0].line), ("failed", 2))
        streamed = wait(client, self.create(client, TEXT, [{"stream": True}]))
        self.assertEqual(streamed.errors.data[0].param, "body.stream")
        for field, value, status in [("endpoint", "/v1/images", 400), ("metadata", [], 400),
                                     ("completion_window", "1h", 400), ("nonsense", 1, 400),
                                     ("input_file_id", "file-none", 404),
                                     ("output_expires_after", {"seconds": 5}, 400)]:
            error = server.json("/v1/batches", {**fields, field: value}, status)["error"]
            self.assertTrue(error["param"].startswith(field), error)

    def test_a_later_server_goes_on(self):
        server = self.serve()
        client = connect(server)
        bodies = [{"prompt": [1, 2, i % 200 + 3], "max_tokens": 120, "seed": i, "ignore_eos": True}
                  for i in range(400)]
        batch = self.create(client, TEXT, bodies)
        while client.batches.retrieve(batch.id).request_counts.completed < 10:
            time.sleep(0.02)
        # Without any warning.
        server.end(signal.SIGKILL)
        server = self.serve()
        client = connect(server)
        batch = wait(client, batch)
        self.assertEqual(batch.status, "completed")
        output = client.files.content(batch.output_file_id).text.splitlines()
        self.assertEqual(len(output), 400)
        self.assertEqual(len({json.loads(line)["custom_id"] for line in output}), 400)
        self.assertEqual(server.end(), 0)

    def test_cancelling(self):
        server = self.serve()
        client = connect(server)
        batch = self.create(client, TEXT, [{"prompt": "of the", "max_tokens": 400,
                                            "ignore_eos": True}] * 500)
        wait(client, batch, "in_progress")
        self.assertIn(client.batches.cancel(batch.id).status, ["cancelling", "cancelled"])
        batch = wait(client, batch)
        self.assertEqual(batch.status, "cancelled")
        self.assertLess(batch.request_counts.completed, 500)
        self.assertTrue(client.files.delete(batch.input_file_id).deleted)

    def test_tenants_are_apart(self):
        server = self.serve("--api-key", "a", "--api-key", "b")
        alice, bob = connect(server, "a"), connect(server, "b")
        batch = wait(alice, self.create(alice, TEXT, [{"prompt": "of", "max_tokens": 2}]))
        self.assertEqual(batch.status, "completed")
        for call in [bob.files.retrieve, bob.files.content, bob.files.delete]:
            for file_id in [batch.input_file_id, batch.output_file_id]:
                with self.assertRaises(openai.NotFoundError):
                    call(file_id)
        for call in [bob.batches.retrieve, bob.batches.cancel]:
            with self.assertRaises(openai.NotFoundError):
                call(batch.id)
        self.assertEqual(list(bob.files.list()) + list(bob.batches.list()), [])
        with self.assertRaises(openai.NotFoundError):
            bob.batches.create(input_file_id=batch.input_file_id, endpoint=TEXT,
                               completion_window="24h")
        self.assertEqual(server.ask("/v1/files")[0], 401)
        alice.files.delete(batch.input_file_id)

    def test_the_store_is_bounded(self):
        server = self.serve("--batch-store-mb", "1")
        client = connect(server)
        client.files.create(file=("x", b"x" * (900 << 10)), purpose="batch")
        with self.assertRaises(openai.InternalServerError) as caught:
            client.files.create(file=("x", b"x" * (200 << 10)), purpose="batch")
        self.assertEqual((caught.exception.status_code, caught.exception.body["code"]),
                         (507, "storage_full"))

    def test_without_a_folder_there_are_none(self):
        server = Server(MODEL)
        try:
            for path in ["/v1/files", "/v1/batches"]:
                error = server.json(path, code=404)["error"]
                self.assertEqual(error["code"], "not_enabled")
                self.assertIn("--batch-folder", error["message"])
        finally:
            server.end()

    @unittest.skipUnless(has_default_model(), "the default model is not here")
    def test_chats_and_responses(self):
        server = self.serve(model="smollm2")
        client = connect(server)
        chat = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8,
                "temperature": 0}
        response = {"input": "Name a colour.", "max_output_tokens": 8, "temperature": 0}
        for endpoint, body in [(CHAT, chat), ("/v1/responses", response)]:
            batch = wait(client, self.create(client, endpoint, [body] * 3))
            self.assertEqual((batch.status, batch.request_counts.completed), ("completed", 3))
            for line in lines(client, batch.output_file_id).values():
                answer = line["response"]["body"]
                if endpoint == CHAT:
                    text = answer["choices"][0]["message"]["content"]
                else:
                    text = answer["output"][0]["content"][0]["text"]
                    client.responses.retrieve(answer["id"])
                self.assertEqual(
                    text, server.json(CHAT, chat)["choices"][0]["message"]["content"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
