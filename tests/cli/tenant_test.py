"""Keys, rates, quotas and isolation of tenants, through `pelton keys` and `pelton serve`.

Usage: tenant_test.py PELTON, in the root of the sources.
"""

import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

PELTON = os.path.abspath(sys.argv[1])
MODEL = "tests/data/golden/llama/model-Q4_0.gguf"


class TenantTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "tenants.json")
        self.audit = os.path.join(self.folder.name, "audit.jsonl")
        self.process = None

    def tearDown(self):
        if self.process is not None and self.process.poll() is None:
            self.end()
        self.folder.cleanup()

    def keys(self, *arguments, code=0):
        done = subprocess.run([PELTON, "keys", *arguments, "--tenant-file", self.file],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.strip()

    def start(self, *options):
        self.process = subprocess.Popen(
            [PELTON, "serve", MODEL, "--port", "0", "--served-model-name", "tiny",
             "--tenant-file", self.file, "--audit-log", self.audit, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+) ", self.process.stdout.readline()).group(1))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        log = self.process.communicate(timeout=60)[1]
        self.assertEqual(self.process.returncode, 0)
        return log

    def ask(self, key, path="/v1/completions", **fields):
        body = json.dumps({"prompt": [1, 2, 3], "max_tokens": 4, "ignore_eos": True, **fields})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {} if key is None else {"Authorization": "Bearer " + key}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, (json.loads(text) if text.startswith(b"{") else text), answer.headers

    def metric(self, key, line):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics", headers={"X-Api-Key": key})
        text = connection.getresponse().read().decode()
        connection.close()
        return float(re.search("^" + re.escape(line) + r" (\S+)$", text, re.M).group(1))

    def until(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_the_life_of_a_key(self):
        first = self.keys("add", "alice", "--requests-per-minute", "600")
        self.assertRegex(first, r"^sk-pelton-[\w-]{43}$")
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        with open(self.file, encoding="utf-8") as file:
            self.assertNotIn(first, file.read())
        self.keys("add", "alice", code=2)
        self.keys("add", "b ob", code=2)
        self.keys("revoke", "bob", code=2)
        listed = json.loads(self.keys("list", "--json"))
        self.assertEqual([(t["name"], t["requests_per_minute"]) for t in listed], [("alice", 600)])
        self.start()
        self.assertEqual(self.ask(first)[0], 200)
        self.assertEqual(self.ask(first + "x")[0], 401)
        self.assertEqual(self.ask(None)[0], 401)
        second = self.keys("rotate", "alice", "--grace-seconds", "3600")
        self.until(lambda: self.ask(second)[0] == 200)
        self.assertEqual(self.ask(first)[0], 200)  # for an hour
        third = json.loads(self.keys("rotate", "alice", "--json"))["key"]
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: self.ask(third)[0] == 200)
        self.assertEqual([self.ask(key)[0] for key in [first, second]], [401, 401])
        with open(self.file, "w", encoding="utf-8") as file:
            file.write("{")  # a broken file changes nothing
        time.sleep(1.5)
        self.assertEqual(self.ask(third)[0], 200)
        os.unlink(self.file)
        self.keys("add", "carol")
        self.until(lambda: self.ask(third)[0] == 401)
        log = self.end()
        self.assertIn("the keys stay as they were", log)
        for key in [first, second, third]:
            self.assertNotIn(key, log)

    def test_nobody_sees_the_requests_of_others(self):
        anna, ben = self.keys("add", "anna"), self.keys("add", "ben")
        self.start()
        self.assertEqual(self.ask(anna)[0], 200)
        self.assertEqual(self.ask(anna, max_tokens=7)[0], 200)
        self.assertEqual(self.ask(ben, max_tokens=5)[0], 200)
        seen = {}
        for name, key in [("anna", anna), ("ben", ben)]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request("GET", "/debug/requests", headers={"X-Api-Key": key})
            told = json.loads(connection.getresponse().read())
            connection.close()
            seen[name] = [each["output_tokens"] for each in told["requests"]]
        self.assertEqual(seen, {"anna": [7, 4], "ben": [5]})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/debug/requests")
        self.assertEqual(connection.getresponse().status, 401)
        connection.close()

    def test_rates_quotas_and_what_the_answer_tells(self):
        slow = self.keys("add", "slow", "--requests-per-minute", "3")
        small = self.keys("add", "small", "--tokens-per-minute", "100")
        daily = self.keys("add", "daily", "--tokens-per-day", "20")
        free = self.keys("add", "free")
        self.start()
        for left in [2, 1, 0]:
            status, _, headers = self.ask(slow)
            self.assertEqual(status, 200)
            self.assertEqual(headers["x-ratelimit-limit-requests"], "3")
            self.assertEqual(headers["x-ratelimit-remaining-requests"], str(left))
        status, body, headers = self.ask(slow)
        self.assertEqual(status, 429)
        self.assertEqual(body["error"]["type"], "rate_limit_error")
        self.assertTrue(1 <= int(headers["Retry-After"]) <= 20)
        self.assertEqual(headers["x-ratelimit-remaining-requests"], "0")
        self.assertEqual(self.ask(small, max_tokens=60)[0], 200)
        status, body, headers = self.ask(small, max_tokens=80)
        self.assertEqual((status, headers["x-ratelimit-limit-tokens"]), (429, "100"))
        self.assertLess(int(headers["x-ratelimit-remaining-tokens"]), 70)
        self.assertTrue(1 <= int(headers["Retry-After"]) <= 60)
        self.assertEqual(self.ask(small, max_tokens=10, stream=True)[0], 200)
        self.assertEqual(self.ask(daily, max_tokens=10)[0], 200)
        status, body, headers = self.ask(daily, max_tokens=10)
        self.assertEqual((status, body["error"]["code"]), (429, "insufficient_quota"))
        self.assertLessEqual(int(headers["Retry-After"]), 86400)
        self.until(lambda: self.ask(daily, max_tokens=4)[0] == 200)  # 13 and 7 are 20
        self.assertEqual(self.ask(daily, max_tokens=1)[0], 429)
        self.assertEqual(self.ask(free)[0], 200)  # the others' limits are not its own
        self.assertEqual(
            self.metric(free, 'pelton_tenant_tokens_total{tenant="daily",kind="output"}'), 14)
        self.assertGreaterEqual(self.metric(free, 'pelton_tenant_refused_total{tenant="daily"}'), 2)

    def test_only_so_many_at_once_and_a_client_that_leaves_pays(self):
        key = self.keys("add", "one", "--max-concurrent", "1")
        self.start()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda _: self.ask(key, max_tokens=400), range(8)))
        statuses = sorted({status for status, _, _ in done})
        self.assertEqual(statuses, [200, 429])
        before = self.metric(key, 'pelton_tenant_tokens_total{tenant="one",kind="output"}')
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": [1], "max_tokens": 900, "stream": True, "ignore_eos": True, "n": 20}),
            {"X-Api-Key": key})
        connection.getresponse().read(500)
        connection.close()
        self.until(lambda: self.metric(key, 'pelton_tenant_requests_running{tenant="one"}') == 0)
        after = self.metric(key, 'pelton_tenant_tokens_total{tenant="one",kind="output"}')
        self.assertGreater(after, before)
        self.assertEqual(self.ask(key)[0], 200)

    def unread(self, key, path, fields):
        """A streamed answer that waits to be read: the server holds it once its buffers are full."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.port))
        body = json.dumps(fields).encode()
        client.sendall(b"POST %s HTTP/1.0\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n%s"
                       % (path.encode(), key.encode(), len(body), body))
        return client

    def test_what_an_answer_uses_is_counted_while_it_is_made(self):
        key = self.keys("add", "one")
        self.start()
        tokens = {kind: f'pelton_tenant_tokens_total{{tenant="one",kind="{kind}"}}'
                  for kind in ["prompt", "output"]}
        client = self.unread(key, "/v1/completions", {
            "prompt": [[1, 2, 3], [4, 5]], "n": 10, "max_tokens": 900, "stream": True,
            "ignore_eos": True})
        self.until(lambda: self.metric(key, tokens["output"]) > 0)
        self.assertEqual(self.metric(key, 'pelton_tenant_requests_running{tenant="one"}'), 1)
        self.until(lambda: self.metric(key, tokens["prompt"]) == 5)  # each prompt once
        client.close()
        self.until(lambda: self.metric(key, 'pelton_tenant_requests_running{tenant="one"}') == 0)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/debug/requests", headers={"X-Api-Key": key})
        told = json.loads(connection.getresponse().read())["requests"]
        connection.close()
        self.assertEqual({each["state"] for each in told}, {"cancelled"})
        output = sum(each["output_tokens"] for each in told)
        self.assertEqual(self.metric(key, tokens["output"]), output)
        self.assertEqual(self.metric(key, tokens["prompt"]), 5)
        self.end()
        with open(self.audit, encoding="utf-8") as file:
            line = json.loads(file.readline())
        self.assertEqual((line["prompt_tokens"], line["output_tokens"]), (5, output))

    def test_an_answer_whose_quota_ends_goes_on_and_the_next_is_refused(self):
        key = self.keys("add", "one", "--tokens-per-day", "400")
        self.start()
        # Without a length of its own, 256 tokens are set aside for it; its form makes it longer.
        client = self.unread(key, "/api/generate", {
            "model": "tiny", "prompt": "of the", "raw": True,
            "format": {"type": "array", "items": {"type": "integer"}, "minItems": 2000}})
        self.assertEqual(self.ask(key)[0], 200)
        answer = client.makefile("rb")
        lines = []
        while len(lines) < 500:
            lines.append(answer.readline())
        status, body, headers = self.ask(key)
        self.assertEqual((status, body["error"]["code"]), (429, "insufficient_quota"))
        self.assertLessEqual(int(headers["Retry-After"]), 86400)
        lines += answer.readlines()
        client.close()
        last = json.loads(lines[-1])
        self.assertEqual(last["done_reason"], "length")
        self.assertGreater(last["eval_count"], 1000)
        self.assertEqual(self.ask(key)[0], 429)

    def test_models_expiry_and_the_audit_log(self):
        other = self.keys("add", "other", "--allow-model", "huge")
        right = self.keys("add", "right", "--allow-model", "tiny")
        old = self.keys("add", "old", "--expires", "2020-01-01T00:00:00Z")
        self.start()
        secret = "a very secret word"
        self.assertEqual(self.ask(right, prompt=secret)[0], 200)
        status, body, _ = self.ask(other)
        self.assertEqual((status, body["error"]["param"]), (403, "model"))
        self.assertEqual(self.ask(old)[0], 401)
        self.end()
        with open(self.audit, encoding="utf-8") as file:
            text = file.read()
        lines = [json.loads(line) for line in text.splitlines()]
        lines.sort(key=lambda line: line["status"])  # each is written when all of it has ended
        self.assertEqual([(line["tenant"], line["status"]) for line in lines],
                         [("right", 200), ("", 401), ("other", 403)])
        self.assertEqual(lines[0]["output_tokens"], 4)
        self.assertEqual(lines[0]["model"], "tiny")
        self.assertEqual(len(lines[0]["request_id"]), 32)
        self.assertEqual(stat.S_IMODE(os.stat(self.audit).st_mode), 0o600)
        for word in [secret, "secret", right, other, old]:
            self.assertNotIn(word, text)

    def test_no_tenant_finds_anothers_prefixes(self):
        keys = [self.keys("add", f"t{i}") for i in range(4)]
        self.start("--ctx", "1024")
        for probe in range(25):
            prompt = [(probe * 7 + i * 11) % 300 for i in range(100)]
            hits = []
            for key in [*keys, keys[0]]:
                body = self.ask(key, prompt=prompt, max_tokens=1)[1]
                hits.append(body["usage"]["prompt_tokens_details"]["cached_tokens"])
            self.assertEqual(hits[:4], [0, 0, 0, 0])
            self.assertGreaterEqual(hits[4], 64)  # one's own is found

    def test_a_file_that_others_may_read_is_refused(self):
        self.keys("add", "alice")
        os.chmod(self.file, 0o644)
        self.keys("list", code=2)
        done = subprocess.run([PELTON, "serve", MODEL, "--port", "0", "--tenant-file", self.file],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("644", done.stderr)

    def test_an_audit_log_that_cannot_be_written_stops_nobody(self):
        key = self.keys("add", "alice")
        self.audit = "/dev/full"
        if not os.path.exists(self.audit):
            self.skipTest("there is no /dev/full here")
        self.start()
        for _ in range(20):
            self.assertEqual(self.ask(key)[0], 200)
        self.until(lambda: self.ask(key)[0] == 200 and
                   self.metric(key, "pelton_audit_lines_lost") > 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
