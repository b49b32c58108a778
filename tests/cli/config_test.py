"""Configuration files of `pelton serve`.

Usage: config_test.py PELTON, in the root of the sources.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.request

PELTON = os.path.abspath(sys.argv[1])
MODEL = "tests/data/golden/llama/model-Q4_0.gguf"


class ConfigTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.folder.cleanup()

    def file(self, text, name="serve.yaml"):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def pelton(self, *arguments, code=0, **environment):
        done = subprocess.run([PELTON, *arguments], capture_output=True, text=True, timeout=60,
                              check=False, env={**os.environ, **environment})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_what_counts_before_what(self):
        path = self.file("ctx: 100\nport: 1\nparallel: 3\nmax_queued: 7\n")
        shown = json.loads(self.pelton("config", "show", path, "--json", "--port", "2",
                                       PELTON_PORT="3", PELTON_PARALLEL="4"))
        def of(name):
            return shown[name]["value"], shown[name]["from"]
        self.assertEqual(of("port"), ("2", "command line"))
        self.assertEqual(of("parallel"), ("4", "environment"))
        self.assertEqual(of("ctx"), ("100", "file"))
        self.assertEqual(of("max-queued"), ("7", "file"))
        self.assertEqual(of("drain-seconds"), ("30", "default"))
        text = self.pelton("config", "show", path)
        self.assertRegex(text, r"(?m)^ctx: 100 +# file$")

    def test_secrets_are_not_shown(self):
        path = self.file("api-key: [sk-one, sk-two]\n")
        self.assertNotIn("sk-", self.pelton("config", "show", path))

    def test_mistakes_are_named_with_their_place(self):
        for text, words in [("ctx: 1\nparalel: 2\n", ["line 2", "parallel"]),
                            ("ctx: many\n", ["line 1", "ctx", "whole number"]),
                            ("numerics: exakt\n", ["line 1", "exact"]),
                            ("ctx: 1\nctx-size: 2\n", ["line 2", "the same"]),
                            ("ctx: 1\nctx: 2\n", ["line 2", "twice"]),
                            ("ctx: [1]\n", ["line 1", "list"]),
                            ("model: x\nparallel: 0\n", ["parallel"]),
                            ("- ctx\n", ["line 1"])]:
            stderr = self.pelton("config", "check", self.file(text), code=2)
            for word in words:
                self.assertIn(word, stderr)
        self.assertIn("none.yaml", self.pelton("config", "check", "none.yaml", code=2))
        self.pelton("config", "check", code=2)
        self.assertIn("MODEL", self.pelton("serve", "--config", self.file("ctx: 1\n"), code=2))

    def test_the_server_follows_its_file(self):
        for path in [self.file(f"model: {MODEL}\nctx: 256\nport: 0\nalias: mine\n"),
                     self.file(f'model = "{MODEL}"\nctx = 256\nport = 0\nalias = "mine"\n',
                               "serve.toml")]:
            self.pelton("config", "check", path)
            server = subprocess.Popen([PELTON, "serve", "--config", path], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True)
            banner = server.stdout.readline()
            port = re.search(r":(\d+) ", banner).group(1)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=60) as answer:
                listed = json.load(answer)["data"][0]
            self.assertEqual((listed["id"], listed["max_model_len"]), ("mine", 256))
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(timeout=60), 0)
            server.stdout.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
