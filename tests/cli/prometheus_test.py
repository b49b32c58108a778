"""Lets a real Prometheus read `pelton serve`, and asks it what dashboards and rules ask.

Usage: prometheus_test.py PELTON, in the root of the sources. Needs Debian's prometheus; without it
it says so and is skipped (exit code 77).
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

PELTON = os.path.abspath(sys.argv[1])
MODEL = "tests/data/golden/llama/model-Q4_0.gguf"
RULES = "deploy/prometheus/pelton-rules.yml"
# What promtool's style rules say about names that are vLLM's choice.
FOREIGN_STYLE = re.compile(
    r"^vllm:\S+ (metric names should not contain ':'"
    r"|non-counter metrics should not have \"_total\" suffix"
    r"|non-histogram and non-summary metrics should not have \"_count\" suffix)$")

if shutil.which("prometheus") is None or shutil.which("promtool") is None:
    print("skipped: prometheus is not installed")
    sys.exit(77)


def fetch(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dashboards():
    for name in ["pelton", "vllm"]:
        with open(f"deploy/grafana/{name}.json", encoding="utf-8") as file:
            yield name, json.load(file)


class PrometheusTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.pelton = subprocess.Popen(
            [PELTON, "serve", MODEL, "--port", "0", "--ctx", "512", "--served-model-name", "tiny",
             "--metrics-compat", "vllm"], stdout=subprocess.PIPE, text=True)
        cls.url = re.search(r"http://\S+", cls.pelton.stdout.readline()).group(0)
        cls.work()
        config = os.path.join(cls.folder.name, "prometheus.yml")
        with open("deploy/prometheus/prometheus.yml", encoding="utf-8") as file:
            text = file.read()
        text = text.replace("127.0.0.1:8080", cls.url.removeprefix("http://"))
        text = text.replace("10s", "1s").replace("pelton-rules.yml", os.path.abspath(RULES))
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        port = free_port()
        cls.prometheus = f"http://127.0.0.1:{port}"
        cls.server = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={cls.folder.name}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
        deadline = time.monotonic() + 60
        while cls.scrapes() < 3:
            assert time.monotonic() < deadline, "prometheus reads nothing"
            cls.work()
            time.sleep(0.3)

    @classmethod
    def tearDownClass(cls):
        for process in [cls.server, cls.pelton]:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        cls.pelton.stdout.close()
        cls.folder.cleanup()

    @classmethod
    def work(cls):
        fetch(cls.url + "/v1/completions",
              {"prompt": list(range(1, 80)), "max_tokens": 4, "ignore_eos": True, "n": 2})
        for path in ["/nothing", "/v1/completions"]:
            try:
                fetch(cls.url + path)
            except urllib.error.HTTPError as error:
                error.close()

    @classmethod
    def scrapes(cls):
        try:
            found = cls.query("count_over_time(up{job=\"pelton\"}[5m])")
        except (urllib.error.URLError, ConnectionError):
            return 0
        return int(found[0]["value"][1]) if found else 0

    @classmethod
    def query(cls, expr):
        text = fetch(cls.prometheus + "/api/v1/query?" + urllib.parse.urlencode({"query": expr}))
        answer = json.loads(text)
        assert answer["status"] == "success", text
        return answer["data"]["result"]

    def series_exist(self, expr, where):
        for name in set(re.findall(r"\b(?:pelton|vllm|process)[a-z_:0-9]*", expr)):
            if name in ["pelton"]:  # a job's name
                continue
            self.assertTrue(self.query(f'count({{__name__="{name}"}})'), f"{where}: {name}")

    def lint(self, text):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, check=False)
        self.assertIn(done.returncode, [0, 3], done.stderr)
        return [line for line in (done.stdout + done.stderr).splitlines() if line]

    def test_promtool_finds_nothing_to_say_about_our_names(self):
        text = fetch(self.url + "/metrics")
        own = "".join(line + "\n" for line in text.splitlines() if "vllm:" not in line)
        self.assertEqual(self.lint(own), [])

    def test_promtool_reads_the_foreign_names(self):
        said = self.lint(fetch(self.url + "/metrics"))
        self.assertEqual([line for line in said if not FOREIGN_STYLE.match(line)], [])
        self.assertTrue(said)

    def test_every_query_of_the_dashboards_finds_its_metrics(self):
        for name, board in dashboards():
            exprs = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
            self.assertGreater(len(exprs), 30)
            for expr in exprs:
                asked = (expr.replace("$__rate_interval", "1m").replace("$job", "pelton")
                         .replace("$model_name", "tiny"))
                self.assertNotIn("$", asked)
                self.assertTrue(self.query(asked), f"{name}: {asked} gives no series")
                self.series_exist(asked, name)

    def test_variables_of_the_dashboards_have_values(self):
        for name, board in dashboards():
            for variable in board["templating"]["list"]:
                if variable["type"] != "query":
                    continue
                series, label = re.fullmatch(r"label_values\((\S+), (\S+)\)",
                                             variable["query"]["query"]).groups()
                found = self.query(f"count by ({label}) ({series})")
                self.assertTrue(found and found[0]["metric"].get(label), f"{name}: {variable}")

    def test_rules_are_sound_and_evaluated(self):
        subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
        groups = json.loads(fetch(self.prometheus + "/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertGreaterEqual(len(rules), 8)
        for rule in rules:
            self.query(rule["query"])
            for name in set(re.findall(r"\b(?:pelton|process)_[a-z_0-9]+", rule["query"])):
                self.series_exist(name, rule["name"])
        self.assertEqual([rule["name"] for rule in rules if rule.get("state") == "firing"], [])

    def test_a_dead_server_raises_the_alarm(self):
        tests = os.path.join(self.folder.name, "alarm.yml")
        with open(tests, "w", encoding="utf-8") as file:
            file.write(f"""
rule_files: [{os.path.abspath(RULES)}]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {{ series: 'up{{job="pelton",instance="a"}}', values: '1x4 0x20' }}
      - {{ series: 'pelton_requests_running{{job="pelton",instance="b"}}', values: '3x40' }}
      - {{ series: 'pelton_engine_steps_total{{job="pelton",instance="b"}}', values: '7x40' }}
    alert_rule_test:
      - eval_time: 1m
        alertname: PeltonDown
      - eval_time: 4m
        alertname: PeltonDown
        exp_alerts:
          - exp_labels: {{ job: pelton, instance: a, severity: critical }}
            exp_annotations: {{ summary: "a does not answer /metrics" }}
      - eval_time: 4m
        alertname: PeltonStuck
        exp_alerts:
          - exp_labels: {{ job: pelton, instance: b, severity: critical }}
            exp_annotations: {{ summary: "b has 3 running sequences and makes no step" }}
""")
        done = subprocess.run(["promtool", "test", "rules", tests], text=True, check=False,
                              capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_dashboards_are_what_their_program_makes(self):
        subprocess.run([sys.executable, "deploy/grafana/make_dashboards.py", "--check"], check=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
