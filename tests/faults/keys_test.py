"""Who may ask what, and what a tenant learns of another: rows B2 and B4 of docs/reliability.md.

Usage: keys_test.py PELTON, in the root of the sources.
"""

import http.client
import json
import random
import time
import unittest

from fault_case import Server, report, run

KEYS = ["sk-of-alice", "sk-of-bob"]
# Everything that answers without a key.
OPEN = {"/", "/assets/{name}", "/v1/health", "/health", "/ready", "/version"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


class KeyCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--ctx", "1024", "--kv-tokens", "65536",
                            *[part for key in KEYS for part in ("--api-key", key)])

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0

    def test_b2_only_what_is_allowed_is_open(self):
        server = self.server
        right = {"Authorization": "Bearer " + KEYS[0]}
        paths = server.json("/openapi.json", headers=right)["paths"]
        self.assertGreater(len(paths), 20)
        described = {path for path, item in paths.items()
                     if all("security" not in operation for operation in item.values())}
        self.assertEqual(described | {"/health"}, OPEN)
        routes = set()
        for path in paths:
            routes.add(path)
            routes.add(path.removeprefix("/v1"))
        routes |= {"/v1/nothing", "/nothing", "/v1", "/api", "/v1/messages/nothing", "/debug/",
                   "/internal/x", "/invocations", "/pause", "/v2/models/tiny/infer", "/../v1/models"}
        states = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": KEYS[0]},
                  {"Authorization": "Basic " + KEYS[0]}, {"Authorization": "Bearer " + KEYS[0] + "x"},
                  {"Authorization": "Bearer " + KEYS[0][:-1]}, {"X-Api-Key": "wrong"},
                  {"X-Api-Key": ""}]
        named = lambda route: route.replace("{name}", "look.css" if "assets" in route else "tiny")
        is_open = {named(route) for route in OPEN}
        asked = 0
        for path in sorted(named(route) for route in routes):
            for method in METHODS:
                for headers in states:
                    status, text, _ = server.ask(path, method=method, headers=headers)
                    asked += 1
                    if path in is_open and method in ("GET", "HEAD"):
                        self.assertEqual(status, 200, (path, method))
                    else:
                        self.assertIn(status, [400, 401], (path, method, headers, text))
                for headers in [right, {"X-Api-Key": KEYS[1]}]:
                    if path.startswith(("/debug/profile",)) and method == "POST":
                        continue
                    status, text, _ = server.ask(path, method=method, headers=headers)
                    asked += 1
                    self.assertNotEqual(status, 401, (path, method))
                    self.assertLess(status, 500, (path, method, text))
        report("B2", f"{len(routes)} paths x {len(METHODS)} methods x {len(states) + 2} states of the "
                     f"key ({asked} requests): {len(OPEN)} paths are open, nothing else answers")

    def ask(self, connection, key, prompt):
        body = json.dumps({"prompt": prompt, "max_tokens": 1, "temperature": 0})
        begin = time.perf_counter()
        connection.request("POST", "/v1/completions", body, {"X-Api-Key": key})
        answer = connection.getresponse()
        data = json.loads(answer.read())
        taken = time.perf_counter() - begin
        return taken, data["usage"]["prompt_tokens_details"]["cached_tokens"]

    def test_b4_a_tenant_learns_nothing_of_anothers_prompts(self):
        choose = random.Random(1)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        fresh = lambda: [choose.randrange(3, 300) for _ in range(512)]
        asked_before, new, hits, own_hits, own = [], [], 0, 0, []
        probes = 1000
        for probe in range(probes):
            secret, other = fresh(), fresh()
            self.ask(connection, KEYS[0], secret)
            pair = [(secret, asked_before), (other, new)]
            choose.shuffle(pair)
            for prompt, times in pair:
                taken, cached = self.ask(connection, KEYS[1], prompt)
                times.append(taken)
                hits += cached > 0
            if probe % 10 == 0:
                taken, cached = self.ask(connection, KEYS[0], secret)
                own_hits += cached > 0
                own.append(taken)
        connection.close()
        curve = auc(asked_before, new)
        control = auc(own, new)
        report("B4", f"{probes} probes: {hits} hits across tenants, {own_hits} of {len(own)} of the "
                     f"tenant's own; area under the curve of times {curve:.3f} across, "
                     f"{control:.3f} of its own")
        self.assertEqual(hits, 0)
        self.assertEqual(own_hits, len(own))
        # 1,000 against 1,000 have a standard error of 0.013.
        self.assertLessEqual(max(curve, 1 - curve), 0.55)
        # The same measure finds what a tenant does have.
        self.assertGreater(control, 0.6)


def auc(faster, slower):
    """How likely one of `faster` takes less time than one of `slower`."""
    ranked = sorted([(t, 0) for t in faster] + [(t, 1) for t in slower])
    below, wins = 0, 0
    for _, is_slower in ranked:
        if is_slower:
            wins += below
        else:
            below += 1
    return wins / (len(faster) * len(slower))


if __name__ == "__main__":
    run()
