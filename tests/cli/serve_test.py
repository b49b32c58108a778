"""Asks `pelton serve` as clients do, politely and otherwise.

Usage: serve_test.py PELTON, in the root of the sources. Chats need the default model; without it
those tests are skipped.
"""

import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PELTON = os.path.abspath(sys.argv[1])
MODEL = "tests/data/golden/llama/model-Q4_0.gguf"
KEY = "sk-right"


class Server:
    def __init__(self, model, *options, before=None):
        # `before` runs in the new process.
        self.process = subprocess.Popen(
            [PELTON, "serve", model, "--port", "0", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)
        self.banner = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+) ", self.banner).group(1))

    def ask(self, path, body=None, method=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text, dict(answer.headers)

    def json(self, path, body=None, code=200, **more):
        status, text, _ = self.ask(path, body, **more)
        assert status == code, (path, body, status, text)
        return json.loads(text)

    def events(self, path, body):
        status, text, headers = self.ask(path, {**body, "stream": True})
        assert status == 200, text
        assert headers["Content-Type"].startswith("text/event-stream")
        events = [line[6:] for line in text.decode().split("\n\n") if line.startswith("data: ")]
        assert events[-1] == "[DONE]", events[-1]
        return [json.loads(event) for event in events[:-1]]

    def metric(self, line, headers=None):
        """The sum over all models of a metric, as the text format states it without a model."""
        text = self.ask("/metrics", headers=headers)[1].decode()
        text = re.sub(r'\{model="[^"]*"\} ', " ", text)
        text = re.sub(r'\{model="[^"]*",', "{", text)
        found = re.findall("^" + re.escape(line) + r" (\S+)$", text, re.M)
        assert found, line
        return sum(float(value) for value in found)

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def has_default_model():
    out = subprocess.run([PELTON, "list", "--json"], capture_output=True, check=True).stdout
    return any(model["name"] == "smollm2" for model in json.loads(out))


class CompletionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(MODEL, "--served-model-name", "tiny", "--ctx", "512")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def complete(self, code=200, **fields):
        return self.server.json("/v1/completions", fields, code)

    def test_whole_and_streamed_answers_are_equal(self):
        for fields in [{"prompt": "of the", "max_tokens": 40, "temperature": 0},
                       {"prompt": [1, 2, 3], "max_tokens": 40, "seed": 3},
                       {"prompt": "of the", "max_tokens": 40, "stop": ["e", "o"], "seed": 5}]:
            whole = self.complete(**fields)
            chunks = self.server.events("/v1/completions", fields)
            text = "".join(c["choices"][0]["text"] for c in chunks)
            self.assertEqual(text, whole["choices"][0]["text"])
            self.assertEqual(chunks[-1]["choices"][0]["finish_reason"],
                             whole["choices"][0]["finish_reason"])
            self.assertEqual({c["id"] for c in chunks}, {chunks[0]["id"]})

    def test_usage_comes_when_it_is_asked_for(self):
        fields = {"prompt": [5, 6, 7], "max_tokens": 4, "ignore_eos": True}
        self.assertFalse(any("usage" in c for c in self.server.events("/v1/completions", fields)))
        last = self.server.events("/v1/completions",
                                  {**fields, "stream_options": {"include_usage": True}})[-1]
        self.assertEqual(last["choices"], [])
        self.assertEqual(last["usage"]["prompt_tokens"], 3)
        self.assertEqual(last["usage"]["completion_tokens"], 4)
        self.assertEqual(last["usage"]["total_tokens"], 7)

    def test_several_prompts_and_answers(self):
        out = self.complete(prompt=[[1, 2], [3, 4]], n=3, max_tokens=8, seed=1, ignore_eos=True)
        choices = out["choices"]
        self.assertEqual([c["index"] for c in choices], list(range(6)))
        self.assertEqual(out["usage"]["prompt_tokens"], 4)
        self.assertEqual(out["usage"]["completion_tokens"], 48)
        self.assertGreater(len({c["text"] for c in choices}), 3)
        again = self.complete(prompt=[[1, 2], [3, 4]], n=3, max_tokens=8, seed=1, ignore_eos=True)
        self.assertEqual([c["text"] for c in again["choices"]], [c["text"] for c in choices])

    def test_echo_and_log_probabilities(self):
        out = self.complete(prompt="of the", max_tokens=3, echo=True)
        self.assertTrue(out["choices"][0]["text"].startswith("of the"))
        lists = self.complete(prompt="of the", max_tokens=3, logprobs=2, temperature=0,
                              ignore_eos=True)["choices"][0]["logprobs"]
        self.assertEqual(len(lists["tokens"]), 3)
        for chosen, best in zip(lists["token_logprobs"], lists["top_logprobs"]):
            self.assertEqual(chosen, max(best.values()))

    def test_answers_do_not_depend_on_company(self):
        prompts = [[1 + i, 20 + i, 300 - i] for i in range(24)]
        ask = lambda ids: self.complete(prompt=ids, max_tokens=32, seed=9,
                                        ignore_eos=True)["choices"][0]["text"]
        alone = [ask(ids) for ids in prompts]
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            together = list(pool.map(ask, prompts))
        self.assertEqual(together, alone)

    def test_bad_values_name_their_field_and_disturb_nobody(self):
        wanted = {"prompt": [9, 8, 7], "max_tokens": 200, "temperature": 0, "ignore_eos": True}
        alone = self.complete(**wanted)["choices"][0]["text"]
        bad = [float("nan"), float("inf"), -1, 2**31, 2**63, 1e308, "x", [], {}, True]
        cases = []
        for field in ["temperature", "top_p", "min_p", "typical_p", "repetition_penalty", "n",
                      "max_tokens", "logprobs", "top_k", "seed", "min_tokens", "best_of",
                      "presence_penalty", "frequency_penalty", "penalty_window"]:
            for value in bad:
                cases.append((field, value))
        cases += [("prompt", v) for v in [None, 5, [], [[]], [-1], [320], [2**31], [1, "x"], {}]]
        cases += [("stop", v) for v in [5, [5], {}, [""], ["x" * 2000], ["x"] * 100]]
        cases += [("logit_bias", v) for v in [5, {"x": 1}, {"-1": 1}, {"320": 1}, {"1": 1e9}]]
        cases += [("stop_token_ids", v) for v in [5, [-1], [320], [2**31 - 1], ["x"]]]
        cases += [("stream", 1), ("stream_options", 5), ("echo", "x"), ("suffix", "x"),
                  ("response_format", {"type": "json_object"}), ("nonsense", 1), ("model", 5)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            streams = [pool.submit(self.complete, **wanted) for _ in range(2)]
            for field, value in cases:
                body = json.dumps({"prompt": [1, 2], "max_tokens": 2, field: value})
                started = time.monotonic()
                status, text, _ = self.server.ask("/v1/completions", body.encode())
                self.assertLess(time.monotonic() - started, 5)
                if status == 200:  # a value that the field may have
                    continue
                error = json.loads(text)["error"]
                self.assertEqual(status, 400, (field, value, text))
                self.assertEqual(error["type"], "invalid_request_error")
                if error["message"] != "found text that is not JSON":  # NaN and infinity
                    self.assertEqual(error["param"], field, (field, value, error))
            for stream in streams:
                self.assertEqual(stream.result()["choices"][0]["text"], alone)

    def test_what_does_not_fit_is_refused_with_both_lengths(self):
        error = self.complete(400, prompt=[1] * 600, max_tokens=4)["error"]
        self.assertEqual(error["code"], "context_length_exceeded")
        self.assertIn("600", error["message"])
        self.assertIn("512", error["message"])

    def test_a_long_text_that_cannot_fit_is_refused_by_its_size(self):
        text = "of the " * (1 << 20)
        error = self.complete(400, prompt=text, max_tokens=4)["error"]
        self.assertEqual((error["param"], error["code"]), ("prompt", "context_length_exceeded"))
        found = re.fullmatch(r"the prompt has at least (\d+) tokens, but the context holds 512",
                             error["message"])
        self.assertTrue(found, error)
        short = self.server.json("/tokenize", {"prompt": text[:70000]})  # any length is counted
        self.assertGreater(short["count"], 512)
        self.assertLessEqual(int(found[1]), short["count"] * len(text) // 70000)
        error = self.complete(400, prompt=["of", text, [1]], max_tokens=4)["error"]
        self.assertEqual((error["param"], error["code"]), ("prompt", "context_length_exceeded"))
        error = self.complete(400, prompt=text, max_tokens=4, nonsense=1)["error"]
        self.assertEqual(error["param"], "nonsense")

    def test_a_client_that_leaves_ends_its_work(self):
        before = self.server.metric('pelton_requests_finished_total{reason="cancelled"}')
        for stream in [True, False]:
            body = json.dumps({"prompt": [1, 2], "max_tokens": 500, "ignore_eos": True, "n": 100,
                               "stream": stream}).encode()
            client = socket.create_connection(("127.0.0.1", self.server.port))
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                           % len(body) + body)
            time.sleep(0.05)
            client.close()
        deadline = time.monotonic() + 20
        while self.server.metric("pelton_requests_running") > 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        after = self.server.metric('pelton_requests_finished_total{reason="cancelled"}')
        self.assertGreater(after, before)

    def test_tokens_and_back(self):
        ids = self.server.json("/tokenize", {"prompt": "of the ship"})
        self.assertEqual(ids["count"], len(ids["tokens"]))
        text = self.server.json("/v1/detokenize", {"tokens": ids["tokens"]})["prompt"]
        self.assertIn("of the ship", text)
        self.server.json("/detokenize", {"tokens": [320]}, 400)
        self.server.json("/tokenize", {}, 400)

    def test_models_and_the_routes_that_are_not_there(self):
        self.assertEqual(self.server.json("/v1/models")["data"][0]["id"], "tiny")
        self.assertEqual(self.server.json("/models/tiny")["id"], "tiny")
        self.server.json("/v1/models/huge", code=404)
        self.assertEqual(self.complete(404, prompt="x", model="huge")["error"]["param"], "model")
        self.server.json("/nothing", code=404)
        self.server.json("/v1/completions", code=405)
        self.assertEqual(self.server.ask("/v1/models", {}, "DELETE")[2]["Allow"], "GET")
        self.assertEqual(self.server.ask("/v1/completions", b"x" * (17 << 20))[0], 413)
        self.server.json("/v1/completions", b"[" * 100000, 400)
        members = ",".join(f'"{i}":1' for i in range(500000))
        started = time.monotonic()
        self.server.json("/v1/completions", ("{" + members + "}").encode(), 400)
        self.assertLess(time.monotonic() - started, 5)  # it took minutes once
        # This model has no chat template.
        message = {"messages": [{"role": "user", "content": "x"}]}
        error = self.server.json("/v1/chat/completions", message, 400)["error"]
        self.assertIn("template", error["message"])

    def test_pages_of_other_origins_are_refused(self):
        status, _, _ = self.server.ask("/v1/models", headers={"Origin": "https://evil.example"})
        self.assertEqual(status, 403)
        own = {"Origin": f"http://127.0.0.1:{self.server.port}"}
        self.assertEqual(self.server.ask("/v1/models", headers=own)[0], 200)

    def test_other_names_of_this_machine_are_refused_without_a_key(self):
        for host, code in [("evil.example", 403), (f"evil.example:{self.server.port}", 403),
                           ("127.evil.example", 403), ("localhost", 200), ("localhost:1", 200),
                           ("[::1]:1", 200), ("[::1]", 200), ("127.0.0.1", 200), ("[evil", 403)]:
            self.assertEqual(self.server.ask("/v1/models", headers={"Host": host})[0], code, host)


class OriginsTest(unittest.TestCase):
    PAGE = "https://chat.example:8443"

    def test_an_invited_page_and_no_other(self):
        server = Server(MODEL, "--api-key", KEY, "--cors-origins", self.PAGE,
                        "--cors-origins", "http://other")
        try:
            ask = {"Origin": self.PAGE, "Access-Control-Request-Method": "POST",
                   "Access-Control-Request-Headers": "authorization,content-type"}
            status, body, headers = server.ask("/v1/completions", method="OPTIONS", headers=ask)
            self.assertEqual((status, body), (204, b""))
            self.assertEqual(headers["Access-Control-Allow-Origin"], self.PAGE)
            self.assertIn("POST", headers["Access-Control-Allow-Methods"])
            for name in ("Authorization", "Content-Type"):
                self.assertIn(name, headers["Access-Control-Allow-Headers"].split(", "))
            # A refusal, too, must be readable; it is no more than anybody would get.
            for key, code in [({}, 401), ({"Authorization": f"Bearer {KEY}"}, 200)]:
                status, _, headers = server.ask("/v1/models", headers={"Origin": self.PAGE, **key})
                self.assertEqual(status, code)
                self.assertEqual(headers["Access-Control-Allow-Origin"], self.PAGE)
                self.assertEqual(headers["Vary"], "Origin")
            for origin in ["https://chat.example", "https://evil.example", "null", "*"]:
                key = {"Authorization": f"Bearer {KEY}", "Origin": origin}
                status, _, headers = server.ask("/v1/models", headers=key)
                self.assertEqual(status, 403)
                self.assertNotIn("Access-Control-Allow-Origin", headers)
                status, _, headers = server.ask("/v1/models", method="OPTIONS",
                                                headers={**ask, "Origin": origin})
                self.assertEqual(status, 401)
                self.assertNotIn("Access-Control-Allow-Origin", headers)
        finally:
            self.assertEqual(server.end(), 0)

    def test_settings_that_are_refused(self):
        for options, word in [(["--cors-origins", "*"], "keys"),
                              (["--cors-origins", "https://x/path"], "https://x/path"),
                              (["--cors-origins", "chat.example"], "chat.example")]:
            done = subprocess.run([PELTON, "serve", MODEL, "--port", "0", *options],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(word, done.stderr)


class KeysTest(unittest.TestCase):
    def test_only_keys_open_what_is_not_for_operators(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("# of nobody\nsk-other\n")
            file.flush()
            server = Server(MODEL, "--api-key", KEY, "--api-key-file", file.name)
        try:
            routes = [("/v1/models", None), ("/metrics", None), ("/v1/chat/completions", {}),
                      ("/v1/completions", {"prompt": [1]}), ("/tokenize", {}), ("/detokenize", {}),
                      ("/nothing", None), ("/v1/completions", None)]
            for path, body in routes:
                for headers in [{}, {"Authorization": "Bearer wrong"}, {"X-Api-Key": "wrong"}]:
                    status, text, _ = server.ask(path, body, headers=headers)
                    self.assertEqual(status, 401, (path, text))
                for headers in [{"Authorization": "Bearer " + KEY}, {"X-Api-Key": "sk-other"}]:
                    self.assertNotEqual(server.ask(path, body, headers=headers)[0], 401)
            for path in ["/health", "/ready", "/version"]:
                self.assertEqual(server.ask(path)[0], 200)
        finally:
            self.assertEqual(server.end(signal.SIGINT), 0)

    def test_a_public_address_needs_a_key(self):
        done = subprocess.run([PELTON, "serve", MODEL, "--host", "0.0.0.0", "--port", "0"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--api-key", done.stderr)


class EndTest(unittest.TestCase):
    def test_a_signal_lets_answers_finish(self):
        server = Server(MODEL, "--parallel", "4", "--drain-seconds", "120")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            fields = {"prompt": [1, 2], "max_tokens": 1000, "ignore_eos": True, "n": 40}
            answer = pool.submit(server.json, "/v1/completions", fields)
            while server.metric("pelton_requests_running") == 0:
                time.sleep(0.005)
            server.process.send_signal(signal.SIGTERM)
            status = 200
            while not answer.done() and status == 200:
                status = server.ask("/ready")[0]
            self.assertEqual(status, 503)
            self.assertEqual(len(answer.result()["choices"]), 40)
        self.assertEqual(server.process.wait(timeout=60), 0)
        server.process.stdout.close()
        server.process.stderr.close()

    def test_a_port_in_use(self):
        server = Server(MODEL)
        done = subprocess.run([PELTON, "serve", MODEL, "--port", str(server.port)],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 5)
        self.assertIn(str(server.port), done.stderr)
        server.end()


@unittest.skipUnless(has_default_model(), "the default model is not here")
class ChatTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("smollm2")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def chat(self, code=200, **fields):
        fields.setdefault("messages", [{"role": "user", "content": "Say hello."}])
        return self.server.json("/v1/chat/completions", fields, code)

    def test_whole_and_streamed_answers_are_equal(self):
        fields = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 20,
                  "temperature": 0, "logprobs": True, "top_logprobs": 2}
        whole = self.chat(**fields)["choices"][0]
        chunks = self.server.events("/chat/completions", fields)
        deltas = [c["choices"][0]["delta"] for c in chunks]
        self.assertEqual(deltas[0]["role"], "assistant")
        self.assertFalse(any("role" in delta for delta in deltas[1:]))
        self.assertEqual("".join(d.get("content", "") for d in deltas), whole["message"]["content"])
        tokens = [entry for c in chunks if c["choices"][0]["logprobs"]
                  for entry in c["choices"][0]["logprobs"]["content"]]
        self.assertEqual(tokens, whole["logprobs"]["content"])
        self.assertEqual(bytes(b for t in tokens for b in t["bytes"]).decode(),
                         whole["message"]["content"])

    def test_a_second_question_finds_the_first_in_the_cache(self):
        messages = [{"role": "user", "content": "Count to three, please. " * 20}]
        self.chat(messages=messages, max_tokens=4)
        details = self.chat(messages=messages, max_tokens=4)["usage"]
        self.assertGreater(details["prompt_tokens_details"]["cached_tokens"], 64)
        self.assertEqual(details["prompt_cache_hit_tokens"] + details["prompt_cache_miss_tokens"],
                         details["prompt_tokens"])

    def test_a_long_chat_that_cannot_fit_is_refused_by_its_size(self):
        error = self.server.json("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "word " * 200000}]}, 400)["error"]
        self.assertEqual((error["param"], error["code"]), ("messages", "context_length_exceeded"))
        self.assertRegex(error["message"], r"^the prompt has at least \d+ tokens")

    def test_parts_of_text_are_a_text(self):
        parts = [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]
        one = self.chat(temperature=0, max_tokens=8)
        two = self.chat(messages=[{"role": "user", "content": parts}], temperature=0, max_tokens=8)
        self.assertEqual(one["choices"][0]["message"], two["choices"][0]["message"])

    def test_what_is_not_supported_is_refused_by_name(self):
        for field, value in [("tools", [{"type": "function", "function": {"name": "f"}}]),
                             ("tool_choice", "required"), ("store", True),
                             ("response_format", {"type": "xml"}), ("functions", []),
                             ("top_logprobs", 3), ("audio", {}), ("modalities", ["audio"])]:
            self.assertEqual(self.chat(400, **{field: value})["error"]["param"], field)
        image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}
        error = self.chat(400, messages=[{"role": "user", "content": [image]}])["error"]
        self.assertEqual(error["param"], "messages[0].content")


@unittest.skipUnless(has_default_model(), "the default model is not here")
class MakeRunTest(unittest.TestCase):
    """tools/run, which `make run` calls when everything is built."""

    def start(self, arguments, **more):
        env = {**os.environ, "PELTON_PROGRAM": PELTON, "PELTON_ARGS": arguments, **more}
        return subprocess.Popen(["tools/run"], env=env, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_it_asks_its_own_server_and_stays_until_it_is_told_to_end(self):
        run = self.start("--port 0")
        shown = ""
        for line in run.stdout:
            shown += line
            if "Ctrl-C" in line:
                break
        self.assertRegex(shown, r"(?s)^> What is the capital of France\?\n.*Paris.*\[\d+ tokens, the "
                                r"first after \d+ ms, then \d+/s\]")
        url = re.search(r"http://(127\.0\.0\.1:\d+)", shown).group(1)
        self.assertIn(f"curl http://{url}/v1/chat/completions", shown)
        connection = http.client.HTTPConnection(url, timeout=60)
        connection.request("GET", "/")
        self.assertIn(b"<!doctype html>", connection.getresponse().read().lower())
        connection.close()
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
        self.assertEqual(run.returncode, 0)

    def test_a_prompt_is_answered_and_that_is_all(self):
        run = self.start("--temperature 0", PELTON_PROMPT="What is the capital of France?")
        out, _ = run.communicate(timeout=120)
        self.assertIn("Paris", out)
        self.assertEqual(run.returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
