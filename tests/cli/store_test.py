"""Fetches, copies and deletes models through `pelton serve --manage-store`.

Usage: store_test.py PELTON, in the root of the sources.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import pull_test
from pull_test import MODEL, PELTON
from serve_test import Server

ASK = {"prompt": [1, 2, 3], "max_tokens": 4, "temperature": 0, "ignore_eos": True}


class StoreTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.store = self.folder / "store"
        self.store.mkdir()
        self.hub = pull_test.Server()
        thread = threading.Thread(target=self.hub.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.hub.add_files({"tiny-Q4_0.gguf": MODEL})
        self.server = None

        def close():
            if self.server is not None:
                self.assertEqual(self.server.end(), 0)
            self.hub.ending.set()
            self.hub.shutdown()
            self.hub.server_close()
            thread.join()

        self.addCleanup(close)

    def start(self, *options, manage=True):
        environment = {name: os.environ.pop(name) for name in list(os.environ)
                       if "proxy" in name.lower() or name in ("HF_TOKEN", "HF_ENDPOINT")}
        os.environ["HF_ENDPOINT"] = self.hub.address
        try:
            self.server = Server("--models=" + str(self.store), "--ctx", "256",
                                 *(["--manage-store"] if manage else []), *options)
        finally:
            del os.environ["HF_ENDPOINT"]
            os.environ.update(environment)
        return self.server

    def add(self, name):
        (self.store / (name + ".gguf")).write_bytes(MODEL)

    def names(self):
        return [model["name"] for model in self.server.json("/api/tags")["models"]]

    def pull(self, code=200, **body):
        return self.server.ask("/api/pull", {"model": "hf.co/someone/tiny:Q4_0", **body})

    def test_a_model_is_fetched_served_and_there_the_next_time(self):
        server = self.start()
        self.assertEqual(self.names(), [])
        status, text, headers = self.pull()
        self.assertEqual((status, headers["Content-Type"]), (200, "application/x-ndjson"))
        lines = [json.loads(line) for line in text.decode().splitlines()]
        self.assertEqual(lines[0]["status"], "pulling manifest")
        self.assertEqual(lines[-1], {"status": "success"})
        last = [line for line in lines if "completed" in line][-1]
        self.assertEqual(last["total"], len(MODEL))
        self.assertTrue(last["digest"].startswith("sha256:"))
        self.assertEqual((self.store / "tiny-Q4_0.gguf").read_bytes(), MODEL)
        # By its name in the store and the one it was asked for by.
        for name in ["tiny-Q4_0", "hf.co/someone/tiny:Q4_0"]:
            out = server.json("/api/generate", {"model": name, "prompt": "of", "raw": True,
                                                "stream": False, "options": {"num_predict": 2}})
            self.assertEqual(out["eval_count"], 2)
        # Once more: it is there already.
        self.assertEqual(json.loads(self.pull(stream=False)[1]), {"status": "success"})
        server.end()
        self.assertEqual(self.start().json("/v1/models")["data"][0]["id"], "tiny-Q4_0")

    def test_what_cannot_be_fetched_is_said(self):
        self.start()
        status, text, _ = self.pull(model="hf.co/someone/tiny:Q9_9", stream=False)
        self.assertEqual(status, 404)
        self.assertIn("Q9_9", json.loads(text)["error"])
        for name in ["http://127.0.0.1/x.gguf", "https://example.com/x.gguf", "llama3", "../x",
                     "hf.co/../x", "hf:a/b/../../c"]:
            status, text, _ = self.pull(model=name, stream=False)
            self.assertEqual(status, 400, name)
        self.assertEqual(self.pull(insecure=True, stream=False)[0], 400)
        self.assertEqual(self.names(), [])

    def test_a_copy_shares_the_data(self):
        self.add("a")
        server = self.start()
        status, _, _ = server.ask("/api/copy", {"source": "a", "destination": "b:latest"})
        self.assertEqual(status, 200)
        self.assertEqual((self.store / "a.gguf").stat().st_ino,
                         (self.store / "b.gguf").stat().st_ino)
        self.assertEqual(self.names(), ["a", "b"])
        self.assertEqual(server.json("/v1/completions", {**ASK, "model": "b"})["model"], "b")
        for body, code in [({"source": "a", "destination": "b"}, 400),
                           ({"source": "no", "destination": "c"}, 404),
                           ({"source": "a", "destination": "../c"}, 400),
                           ({"source": "a", "destination": ".c"}, 400),
                           ({"source": "a", "destination": ""}, 400),
                           ({"source": "a"}, 400)]:
            self.assertEqual(server.ask("/api/copy", body)[0], code, body)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["store"])

    def test_deleting_touches_the_store_only(self):
        outside = self.folder / "outside.gguf"
        outside.write_bytes(MODEL)
        self.add("a")
        (self.store / "link.gguf").symlink_to(outside)
        server = self.start(str(outside))
        self.assertEqual(self.names(), ["outside", "a", "link"])
        server.json("/v1/completions", {**ASK, "model": "a"})
        delete = lambda name: server.ask("/api/delete", {"model": name}, "DELETE")[0]
        self.assertEqual(delete("a"), 200)
        self.assertFalse((self.store / "a.gguf").exists())
        self.assertEqual(self.names(), ["outside", "link"])
        server.json("/v1/completions", {**ASK, "model": "a"}, 404)
        deadline = time.monotonic() + 60
        while server.json("/api/ps")["models"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.assertEqual(delete("link"), 200)
        for name in ["outside", "../outside", str(outside), "a", "", "."]:
            self.assertNotEqual(delete(name), 200, name)
        self.assertEqual(outside.read_bytes(), MODEL)
        server.json("/v1/completions", {**ASK, "model": "outside"})

    def test_it_needs_the_right_and_the_option(self):
        self.add("a")
        tenants = self.folder / "tenants.json"
        keys = {name: subprocess.run(
            [PELTON, "keys", "add", name, "--tenant-file", tenants, *more], check=True,
            capture_output=True, text=True).stdout.strip()
                for name, more in [("alice", []), ("root", ["--admin"])]}
        requests = [("POST", "/api/pull", {"model": "hf.co/someone/tiny:Q4_0", "stream": False}),
                    ("POST", "/api/copy", {"source": "a", "destination": "b"}),
                    ("DELETE", "/api/delete", {"model": "a"})]
        server = self.start("--tenant-file", str(tenants))
        for method, path, body in requests:
            self.assertEqual(server.ask(path, body, method)[0], 401)
            self.assertEqual(server.ask(path, body, method, {"X-Api-Key": keys["alice"]})[0], 403)
        self.assertTrue((self.store / "a.gguf").exists())
        for method, path, body in requests:
            self.assertEqual(server.ask(path, body, method, {"X-Api-Key": keys["root"]})[0], 200)
        server.end()
        self.add("a")
        server = self.start("a", manage=False)
        for method, path, body in requests:
            status, text, _ = server.ask(path, body, method)
            self.assertEqual(status, 403)
            self.assertIn("--manage-store", json.loads(text)["error"])
        for path in ["/api/create", "/api/push"]:
            status, text, _ = server.ask(path, {"model": "a"})
            self.assertEqual(status, 403)
            self.assertIn(path, json.loads(text)["error"])

    def test_a_fetch_ends_with_the_server(self):
        self.hub.pages[pull_test.FILES + "tiny-Q4_0.gguf"] = lambda handler: handler.stall(MODEL)
        server = self.start()
        answer = threading.Thread(target=lambda: self.ignore(self.pull), daemon=True)
        answer.start()
        deadline = time.monotonic() + 60
        while not list(self.store.glob("*.part")):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        server.process.terminate()
        time.sleep(0.2)
        self.assertEqual(server.end(), 0)  # the second signal; within 60 s
        self.server = None
        answer.join(timeout=60)

    @staticmethod
    def ignore(call):
        try:
            call()
        except OSError:
            pass  # the server has ended


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
