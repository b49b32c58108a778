"""Spans of `pelton serve` at a collector that the test serves itself.

Usage: trace_test.py PELTON, in the root of the sources.
"""

import http.client
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import unittest

PELTON = os.path.abspath(sys.argv[1])
MODEL = "tests/data/golden/llama/model-Q4_0.gguf"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def value_of(attribute):
    (kind, value), = attribute["value"].items()
    return int(value) if kind == "intValue" else value


class TraceTest(unittest.TestCase):
    def setUp(self):
        self.collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.collector.posts = []
        self.collector.status = 200
        thread = threading.Thread(target=self.collector.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.collector.server_close)
        self.addCleanup(self.collector.shutdown)

    def start(self, *options, **environment):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT":
                       f"http://127.0.0.1:{self.collector.server_port}/", **environment}
        self.process = subprocess.Popen(
            [PELTON, "serve", MODEL, "--port", "0", *options], env={**os.environ, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+) ", self.process.stdout.readline()).group(1))

    def ask(self, body, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer, text

    def spans(self):
        """Ends the server, which sends what waits; the spans and the server's own log."""
        self.process.send_signal(signal.SIGTERM)
        log = self.process.communicate(timeout=60)[1]
        self.assertEqual(self.process.returncode, 0, log)
        found = []
        for path, _, body in self.collector.posts:
            self.assertEqual(path, "/v1/traces")
            for resource in body["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    found += scope["spans"]
        return found, log

    def test_a_request_and_its_parts(self):
        self.start(OTEL_EXPORTER_OTLP_HEADERS="x-token=a secret,x-other=b", OTEL_SERVICE_NAME="mine")
        answer, text = self.ask({"prompt": "of the", "max_tokens": 5},
                                traceparent=f"00-{TRACE}-{CALLER}-01")
        usage = json.loads(text)["usage"]
        spans, _ = self.spans()
        whole = spans[-1]
        self.assertEqual([s["name"] for s in spans],
                         ["read", "queue", "prefill", "decode", "POST /completions"])
        self.assertEqual({s["traceId"] for s in spans}, {TRACE})
        self.assertEqual(whole["parentSpanId"], CALLER)
        self.assertEqual({s["parentSpanId"] for s in spans[:-1]}, {whole["spanId"]})
        self.assertEqual(len({s["spanId"] for s in spans}), 5)
        last = int(whole["startTimeUnixNano"])
        for part in spans[:-1]:
            self.assertLessEqual(last, int(part["startTimeUnixNano"]) + 50_000_000)
            self.assertLess(int(part["startTimeUnixNano"]), int(part["endTimeUnixNano"]))
            last = int(part["endTimeUnixNano"])
        self.assertLessEqual(last, int(whole["endTimeUnixNano"]))
        values = {a["key"]: value_of(a) for a in whole["attributes"]}
        self.assertEqual(values["http.response.status_code"], 200)
        self.assertEqual(values["pelton.request_id"], answer.headers["X-Request-Id"])
        self.assertEqual(values["gen_ai.usage.input_tokens"], usage["prompt_tokens"])
        self.assertEqual(values["gen_ai.usage.output_tokens"], usage["completion_tokens"])
        self.assertEqual(values["gen_ai.request.model"], "model-Q4_0")
        _, headers, body = self.collector.posts[0]
        self.assertEqual((headers["x-token"], headers["x-other"]), ("a secret", "b"))
        resource = body["resourceSpans"][0]["resource"]["attributes"]
        self.assertEqual(resource[0], {"key": "service.name", "value": {"stringValue": "mine"}})

    def test_which_requests_are_traced(self):
        self.start("--trace-ratio", "0")
        self.ask({"prompt": "of", "max_tokens": 1})
        self.ask({"prompt": "of", "max_tokens": 1}, traceparent=f"00-{TRACE}-{CALLER}-00")
        self.ask({"prompt": "of", "max_tokens": 1}, traceparent="00-what")
        self.ask({"prompt": 5}, traceparent=f"00-{TRACE}-{CALLER}-01")
        spans, _ = self.spans()
        self.assertEqual([s["name"] for s in spans], ["POST /completions"])
        values = {a["key"]: value_of(a) for a in spans[0]["attributes"]}
        self.assertEqual(values["http.response.status_code"], 400)

    def test_a_collector_that_refuses_harms_no_request(self):
        self.collector.status = 400
        self.start()
        for _ in range(3):
            answer, _ = self.ask({"prompt": "of", "max_tokens": 1})
            self.assertEqual(answer.status, 200)
        _, log = self.spans()
        self.assertEqual(log.count("spans are dropped"), 1, log)

    def test_settings_that_are_none(self):
        for options, word in [(["--otlp-endpoint", "nothing"], "--otlp-endpoint"),
                              (["--otlp-endpoint", "http://x", "--trace-ratio", "2"], "ratio")]:
            done = subprocess.run([PELTON, "serve", MODEL, "--port", "0", *options],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(word, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
