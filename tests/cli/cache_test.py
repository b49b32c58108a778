"""What `pelton serve` tells of its prefix caches.

Usage: cache_test.py PELTON, in the root of the sources.
"""

import os
import subprocess
import sys
import tempfile
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
            once = server.json("/cache")["models"][0]
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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
