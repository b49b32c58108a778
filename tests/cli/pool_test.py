"""Many models behind one port of `pelton serve`: loaded on demand, evicted, unloaded, ended.

Usage: pool_test.py PELTON, in the root of the sources.
"""

import concurrent.futures
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from serve_test import MODEL, PELTON, Server

ASK = {"prompt": [1, 2, 3], "max_tokens": 8, "temperature": 0, "ignore_eos": True}


class PoolTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.server = None

    def tearDown(self):
        if self.server is not None:
            self.assertEqual(self.server.end(), 0)
        self.folder.cleanup()

    def file(self, name):
        path = os.path.join(self.folder.name, name)
        if not os.path.exists(path):
            shutil.copy(MODEL, path)
        return path

    def config(self, text, name="serve.yaml"):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self, *arguments):
        self.server = Server(arguments[0], *arguments[1:])
        return self.server

    def complete(self, model, code=200, **more):
        return self.server.json("/v1/completions", {**ASK, "model": model}, code, **more)

    def loaded(self):
        return [m["id"] for m in self.server.json("/v1/models")["data"] if m["loaded"]]

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_models_of_the_command_line_are_loaded_on_demand(self):
        server = self.start(self.file("a.gguf"), self.file("b.gguf"), "--ctx", "256")
        self.assertIn("2 models are served", server.banner)
        self.assertEqual(self.loaded(), [])
        listed = server.json("/v1/models")["data"]
        self.assertEqual([m["id"] for m in listed], ["a", "b"])
        self.assertEqual(listed[0]["meta"]["quantization"], "Q4_0")
        self.assertEqual(server.json("/api/ps")["models"], [])
        self.assertGreater(server.json("/api/tags")["models"][1]["size"], 700_000)
        answer = self.complete("b")
        self.assertEqual(answer["model"], "b")
        self.assertEqual(self.loaded(), ["b"])
        self.assertEqual(server.json("/v1/models/b")["max_model_len"], 256)
        # Without a name the first one is meant.
        unnamed = server.json("/v1/completions", ASK)
        self.assertEqual(unnamed["model"], "a")
        self.assertEqual(unnamed["choices"][0]["text"], answer["choices"][0]["text"])
        self.assertEqual(self.complete("c", 404)["error"]["param"], "model")
        self.assertEqual(server.ask("/v1/completions", b'{"model":"a",')[0], 400)
        self.assertEqual(sorted(m["name"] for m in server.json("/api/ps")["models"]), ["a", "b"])
        metrics = server.ask("/metrics")[1].decode()
        for model in "ab":
            self.assertIn(f'pelton_output_tokens_total{{model="{model}"}} 8\n', metrics)
            self.assertIn(f'pelton_model_loaded{{model="{model}"}} 1\n', metrics)

    def test_many_requests_load_a_model_once(self):
        self.start(self.file("a.gguf"), self.file("b.gguf"), "--ctx", "256")
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda i: self.complete("ab"[i % 2]), range(24)))
        self.assertEqual(len({a["choices"][0]["text"] for a in answers}), 1)
        for model in "ab":
            text = self.server.ask("/metrics")[1].decode()
            self.assertIn(f'pelton_model_loads_total{{model="{model}"}} 1\n', text)

    def test_a_list_in_the_configuration(self):
        models = f"""
memory: 100MiB
parallel: 4
models:
  - name: chat
    path: {self.file("a.gguf")}
    aliases: [gpt, default-model]
    ctx: 128
    temperature: 0
    preload: true
  - path: {self.file("b.gguf")}
    numerics: exact
    keep-alive: 100ms
    kv-memory: 8MiB
"""
        path = self.config(models)
        subprocess.run([PELTON, "config", "check", path], check=True, capture_output=True)
        server = self.start("--config=" + path)
        self.assertEqual(self.loaded(), ["chat"])
        self.assertEqual(server.json("/v1/models")["data"][0]["aliases"], ["gpt", "default-model"])
        self.assertEqual(self.complete("gpt")["model"], "chat")
        self.assertEqual(server.json("/v1/models/default-model")["id"], "chat")
        # Its own temperature of 0 counts where a request says none.
        texts = {server.json("/v1/completions", {"prompt": [1, 2], "max_tokens": 16,
                                                 "seed": seed})["choices"][0]["text"]
                 for seed in range(5)}
        self.assertEqual(len(texts), 1)
        self.complete("b")
        self.until(lambda: self.loaded() == ["chat"])

    def test_toml_lists_models_too(self):
        path = self.config(f'[[models]]\nname = "x"\npath = "{self.file("a.gguf")}"\n'
                           f'[[models]]\nname = "y"\npath = "{self.file("a.gguf")}"\n', "s.toml")
        self.start("--config=" + path)
        self.assertEqual(self.complete("y")["model"], "y")

    def test_mistakes_in_the_list_are_named_with_their_place(self):
        good = f"path: {self.file('a.gguf')}"
        for text, words in [("models:\n  - name: x\n", ["line 2", "path"]),
                            (f"models:\n  - {good}\n    cxt: 5\n", ["line 3", "ctx"]),
                            (f"models:\n  - {good}\n    numerics: exakt\n", ["line 3", "exact"]),
                            (f"models:\n  - {good}\n    keep-alive: soon\n", ["keep-alive", "5m"]),
                            (f"models:\n  - {good}\n    top-p: 3\n", ["top-p"]),
                            (f"models:\n  - {good}\n    kv-memory: big\n", ["kv-memory"]),
                            (f"models:\n  - {good}\n  - {good}\n", ["\"a\" twice"]),
                            (f"models:\n  - {good}\n    aliases: [a]\n", ["\"a\" twice"]),
                            ("models:\n  - smollm2\n", ["line 2", "names and values"]),
                            ("memory: much\nmodel: x\n", ["memory"])]:
            done = subprocess.run([PELTON, "config", "check", self.config(text)], text=True,
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 2, text)
            for word in words:
                self.assertIn(word, done.stderr)
        done = subprocess.run([PELTON, "serve", "--config", self.config("models:\n  - path: /no\n")],
                              text=True, capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/no", done.stderr)

    def test_the_least_recently_used_makes_room(self):
        entries = "".join(f"  - {{name: {n}, path: {self.file('a.gguf')}, kv-memory: 20MiB}}\n"
                          for n in "abc")
        self.start("--config=" + self.config(f"memory: 60MiB\nmodels:\n{entries}"))
        for model in "abac":
            self.complete(model)
        self.assertEqual(self.loaded(), ["a", "c"])
        text = self.server.ask("/metrics")[1].decode()
        self.assertIn('pelton_model_unloads_total{model="b"} 1\n', text)
        self.assertIn('pelton_model_memory_bytes{model="b"} 0\n', text)

    def test_without_room_the_refusal_says_the_numbers(self):
        entries = "".join(f"  - {{name: {n}, path: {self.file('a.gguf')}, kv-memory: 20MiB, "
                          f"pin: {pin}}}\n" for n, pin in [("a", "true"), ("b", "true"),
                                                           ("c", "false")])
        self.start("--config=" + self.config(f"memory: 60MiB\nmodels:\n{entries}"))
        self.assertEqual(self.loaded(), ["a", "b"])
        status, text, headers = self.server.ask("/v1/completions", {**ASK, "model": "c"})
        error = json.loads(text)["error"]
        self.assertEqual((status, error["code"]), (503, "out_of_memory"))
        self.assertRegex(error["message"], r'"c" needs \d+ MiB .*60 MiB.*"a" \d+ MiB \(pinned\)')
        self.assertIn("Retry-After", headers)
        self.complete("a")

    def test_a_model_that_is_gone_is_told_without_its_path(self):
        path = self.file("b.gguf")
        self.start(self.file("a.gguf"), path)
        os.remove(path)
        error = self.complete("b", 503)["error"]
        self.assertEqual(error["code"], "model_load_failed")
        self.assertNotIn(self.folder.name, error["message"])
        self.complete("a")
        shutil.copy(MODEL, path)
        deadline = time.monotonic() + 60
        while self.server.ask("/v1/completions", {**ASK, "model": "b"})[0] != 200:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)

    def test_ollamas_keep_alive(self):
        server = self.start(self.file("a.gguf"), self.file("b.gguf"), "--ctx", "256")
        body = {"model": "b:latest", "prompt": "of", "raw": True, "stream": False,
                "options": {"num_predict": 2}}
        server.json("/api/generate", {**body, "keep_alive": "10m"})
        expires = server.json("/api/ps")["models"][0]["expires_at"]
        left = time.mktime(time.strptime(expires, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time()
        self.assertAlmostEqual(left, 600, delta=60)
        server.json("/api/generate", {**body, "keep_alive": -1})
        self.assertEqual(server.json("/api/ps")["models"][0]["expires_at"][:4], "2200")
        out = server.json("/api/generate", {"model": "b", "keep_alive": 0})
        self.assertEqual(out["done_reason"], "unload")
        self.until(lambda: not self.loaded())
        # Nothing is loaded only to go.
        out = server.json("/api/chat", {"model": "a", "messages": [], "keep_alive": "0s"})
        self.assertEqual(out["done_reason"], "unload")
        self.assertIn('pelton_model_loads_total{model="a"} 0\n',
                      server.ask("/metrics")[1].decode())
        out = server.json("/api/generate", {"model": "a"})
        self.assertEqual(out["done_reason"], "load")
        self.assertEqual(self.loaded(), ["a"])
        error = server.json("/api/generate", {**body, "keep_alive": "soon"}, 400)["error"]
        self.assertIn("keep_alive", error)

    def test_a_key_loads_only_what_it_may_ask(self):
        tenants = os.path.join(self.folder.name, "tenants.json")
        def key(*arguments):
            return subprocess.run([PELTON, "keys", "add", *arguments, "--tenant-file", tenants],
                                  check=True, capture_output=True, text=True).stdout.strip()
        only_a, admin = key("alice", "--allow-model", "a"), key("root", "--admin")
        self.start(self.file("a.gguf"), self.file("b.gguf"), "--tenant-file", tenants)
        with_key = lambda k: {"headers": {"X-Api-Key": k}}
        self.assertEqual(self.complete("b", 403, **with_key(only_a))["error"]["code"],
                         "model_not_allowed")
        self.complete("a", **with_key(only_a))
        # Who may not administer cannot make a model go.
        quit_a = {"model": "a", "keep_alive": 0}
        self.server.json("/api/generate", quit_a, **with_key(only_a))
        self.complete("a", **with_key(only_a))
        loads = 'pelton_model_loads_total{model="%s"}'
        text = self.server.ask("/metrics", headers={"X-Api-Key": admin})[1].decode()
        self.assertIn(loads % "a" + " 1\n", text)
        self.assertIn(loads % "b" + " 0\n", text)
        self.server.json("/api/generate", quit_a, **with_key(admin))
        self.until(lambda: 'pelton_model_loaded{model="a"} 0\n' in self.server.ask(
            "/metrics", headers={"X-Api-Key": admin})[1].decode())

    def test_a_recording_names_its_model(self):
        self.start(self.file("a.gguf"), self.file("b.gguf"), "--ctx", "256")
        status, text, _ = self.server.ask("/debug/profile?seconds=1&model=b", method="POST")
        self.assertEqual(status, 200)
        self.assertIn("traceEvents", json.loads(text))
        self.assertEqual(self.loaded(), ["b"])
        self.assertEqual(self.server.ask("/debug/profile?model=b", method="POST")[0], 400)
        self.assertEqual(self.server.ask("/debug/profile?seconds=1&model=x", method="POST")[0], 404)

    def test_it_ends_at_any_moment(self):
        """Signals meet loads, unloads, evictions and answers; the server ends each time."""
        entries = "".join(f"  - {{name: {n}, path: {self.file('a.gguf')}, kv-memory: 20MiB, "
                          f"keep-alive: 5ms}}\n" for n in "abc")
        path = self.config(f"memory: 60MiB\ndrain-seconds: 20\nmodels:\n{entries}")
        moments = random.Random(5)
        for _ in range(20):
            server = Server("--config=" + path)
            stop = threading.Event()
            def work(seed):
                names = random.Random(seed)
                while not stop.is_set():
                    try:
                        server.ask("/v1/completions", {**ASK, "model": names.choice("abc"),
                                                       "max_tokens": names.choice([1, 100])})
                    except OSError:
                        return  # it has ended
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                for seed in range(4):
                    pool.submit(work, seed)
                time.sleep(moments.random() * 0.3)
                started = time.monotonic()
                code = server.end()  # waits for 60 s at most
                stop.set()
            self.assertEqual(code, 0)
            self.assertLess(time.monotonic() - started, 60)

    def test_two_signals_end_a_wait(self):
        server = Server(self.file("a.gguf"), self.file("b.gguf"), "--drain-seconds", "600")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            long = {**ASK, "model": "b", "max_tokens": 2000, "n": 100, "stream": True}
            answers = [pool.submit(server.ask, "/v1/completions", long) for _ in range(2)]
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            self.assertEqual(server.end(), 0)
            for answer in answers:
                answer.exception(timeout=60)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
