"""What `pelton serve` tells of its prefix caches, and how they last from one run to the next.

Usage: cache_test.py PELTON, in the root of the sources.
"""

import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from serve_test import MODEL, PELTON, Server

BLOCK = 32  # tokens


def ask(length, start=1, **more):
    return {"prompt": [start + i % 200 for i in range(length)], "max_tokens": 2, "temperature": 0,
            "ignore_eos": True, **more}


class StatisticsTest(unittest.TestCase):
    def test_hits_misses_and_what_is_kept(self):
        server = Server(MODEL, "--ctx", "512", "--kv-memory", "16MiB", "--served-model-name", "m")
        try:
            before = server.json("/v1/cache")["models"][0]
            self.assertEqual((before["model"], before["hits"], before["misses"]), ("m", 0, 0))
            self.assertIsNone(before["hit_rate"])
            self.assertEqual(before["bytes"] // before["block_bytes"], before["blocks"])
            self.assertLessEqual(before["bytes"], 16 << 20)
            self.assertGreater(before["bytes"], 15 << 20)
            server.json("/v1/completions", ask(5 * BLOCK + 3))
            # Its blocks are given back just after the answer.
            for _ in range(100):
                once = server.json("/cache")["models"][0]
                if once["blocks_in_use"] == 0:
                    break
                time.sleep(0.05)
            self.assertEqual((once["hits"], once["misses"]), (0, 5))
            self.assertEqual((once["blocks_in_use"], once["blocks_kept"]), (0, 5))
            self.assertEqual(once["bytes_kept"], 5 * once["block_bytes"])
            server.json("/v1/completions", ask(5 * BLOCK + 3))
            server.json("/v1/completions", ask(2 * BLOCK + 1, start=50))
            out = server.json("/v1/cache")
            model = out["models"][0]
            self.assertEqual((model["hits"], model["misses"]), (5, 7))
            self.assertAlmostEqual(model["hit_rate"], 5 / 12)
            self.assertEqual(model["cached_tokens"], 5 * BLOCK)
            self.assertEqual(out["tenants"], [{"tenant": "anonymous", "models": [
                {"model": "m", "prompt_tokens": 12 * BLOCK + 7, "cached_tokens": 5 * BLOCK,
                 "hit_rate": 5 * BLOCK / (12 * BLOCK + 7)}]}])
        finally:
            self.assertEqual(server.end(), 0)

    def test_evictions(self):
        server = Server(MODEL, "--ctx", "256", "--kv-tokens", str(10 * BLOCK))
        try:
            for start in range(1, 120, 20):
                server.json("/v1/completions", ask(6 * BLOCK, start=start))
            model = server.json("/v1/cache")["models"][0]
            self.assertGreater(model["evictions"], 10)
            self.assertLessEqual(model["blocks_kept"], 10)
        finally:
            self.assertEqual(server.end(), 0)

    def test_a_key_sees_its_own(self):
        with tempfile.TemporaryDirectory() as folder:
            tenants = os.path.join(folder, "tenants.json")
            keys = {name: subprocess.run(
                [PELTON, "keys", "add", name, "--tenant-file", tenants, *more], check=True,
                capture_output=True, text=True).stdout.strip()
                    for name, more in [("alice", []), ("bob", []), ("root", ["--admin"])]}
            server = Server(MODEL, "--ctx", "512", "--tenant-file", tenants)
            try:
                def cache(name):
                    return server.json("/v1/cache", headers={"X-Api-Key": keys[name]})
                for name in ["alice", "alice", "bob"]:
                    server.json("/v1/completions", ask(4 * BLOCK + 1),
                                headers={"X-Api-Key": keys[name]})
                self.assertEqual(server.ask("/v1/cache")[0], 401)
                alice, bob = cache("alice"), cache("bob")
                self.assertNotIn("models", alice)
                self.assertEqual([t["tenant"] for t in alice["tenants"]], ["alice"])
                self.assertEqual(alice["tenants"][0]["models"][0]["cached_tokens"], 4 * BLOCK)
                # Nobody finds what another one left.
                self.assertEqual(bob["tenants"][0]["models"][0]["cached_tokens"], 0)
                everything = cache("root")
                self.assertEqual([t["tenant"] for t in everything["tenants"]],
                                 ["alice", "bob", "root"])
                self.assertEqual(everything["models"][0]["hits"], 4)
            finally:
                self.assertEqual(server.end(), 0)


class WarmStartTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.store = os.path.join(self.folder.name, "kv")

    def tearDown(self):
        self.folder.cleanup()

    def run_once(self, *options, how=signal.SIGTERM, store=None):
        """A server's answer to the prompt, how many tokens it found, its metrics and its log."""
        server = Server(MODEL, "--ctx", "512", "--kv-cache-dir", store or self.store, *options)
        try:
            out = server.json("/v1/completions", ask(6 * BLOCK + 5, max_tokens=16))
            metrics = server.ask("/metrics")[1].decode()
        finally:
            server.process.send_signal(how)
            code = server.process.wait(timeout=60)
            log = server.process.stderr.read()
            server.process.stdout.close()
            server.process.stderr.close()
        if how == signal.SIGTERM:
            self.assertEqual(code, 0)
        return (out["choices"][0]["text"], out["usage"]["prompt_tokens_details"]["cached_tokens"],
                metrics, log)

    def file(self):
        return glob.glob(self.store + "/*.kv")[0]

    def test_the_next_run_begins_where_the_last_one_ended(self):
        text, cached, _, _ = self.run_once()
        self.assertEqual(cached, 0)
        again, cached, metrics, _ = self.run_once()
        self.assertEqual((again, cached), (text, 6 * BLOCK))
        self.assertIn("pelton_kv_store_works 1\n", metrics)
        self.assertEqual(os.stat(self.file()).st_mode & 0o777, 0o600)
        # Other numerics, other K/V.
        self.assertEqual(self.run_once("--numerics", "exact")[1], 0)
        self.assertEqual(self.run_once()[1], 6 * BLOCK)

    def test_damage_is_a_miss(self):
        text = self.run_once()[0]
        with open(self.file(), "r+b") as file:
            file.seek(os.path.getsize(self.file()) - 100)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 4]))
        again, _, metrics, log = self.run_once()
        self.assertEqual(again, text)
        self.assertIn("pelton_kv_store_damaged_files_total 1\n", metrics)
        self.assertIn("checksum", log)
        self.assertEqual(len(glob.glob(self.store + "/*.damaged")), 1)
        self.assertEqual(self.run_once()[:2], (text, 6 * BLOCK))

    def test_a_killed_server_leaves_what_was_there(self):
        text = self.run_once()[0]
        for _ in range(3):
            self.assertEqual(self.run_once(how=signal.SIGKILL)[:2], (text, 6 * BLOCK))

    def test_a_folder_that_cannot_be_written_is_no_trouble(self):
        text = self.run_once()[0]
        again, cached, metrics, log = self.run_once(store="/proc/none/kv")
        self.assertEqual((again, cached), (text, 0))
        self.assertIn("pelton_kv_store_works 0\n", metrics)
        self.assertEqual(log.count("/proc/none/kv"), 1)

    def test_a_model_that_comes_back_knows_what_it_knew(self):
        models = [os.path.join(self.folder.name, name) for name in ["a.gguf", "b.gguf"]]
        for path in models:
            shutil.copy(MODEL, path)
        server = Server(*models, "--ctx", "512", "--kv-cache-dir", self.store)
        try:
            body = ask(4 * BLOCK + 1, model="b")
            self.assertEqual(server.json("/v1/completions", body)["usage"]
                             ["prompt_tokens_details"]["cached_tokens"], 0)
            server.json("/api/generate", {"model": "b", "keep_alive": 0})
            deadline = time.monotonic() + 60
            while server.json("/api/ps")["models"]:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            self.assertEqual(server.json("/v1/completions", body)["usage"]
                             ["prompt_tokens_details"]["cached_tokens"], 4 * BLOCK)
        finally:
            self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
