"""/openapi.json, and schemathesis that asks what it says.

Usage: openapi_test.py PELTON [EXAMPLES], in the root of the sources.
"""

import json
import os
import subprocess
import sys
import tempfile

from client_case import KEY, ClientCase, need, run

need("schemathesis")
EXAMPLES = sys.argv[2] if len(sys.argv) > 2 else "12"
# What a generator cannot know: ids are of a vocabulary, names of a model that is served, and values
# depend on each other. So a request that fits the document may be refused, but nothing else.
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_schema_conformance", "negative_data_rejection", "ignored_auth"]


class OpenApiTest(ClientCase):
    def document(self):
        return self.server.json("/openapi.json", headers={"X-Api-Key": KEY})

    def test_every_route_is_described(self):
        paths = self.document()["paths"]
        for path, item in paths.items():
            for method, operation in item.items():
                self.assertTrue(operation["summary"], (method, path))
        for path in ["/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/embeddings"]:
            self.assertIn("requestBody", paths[path]["post"])

    def test_it_needs_a_key_as_the_routes_do(self):
        self.assertEqual(self.server.ask("/openapi.json")[0], 401)

    def test_fields_are_those_that_are_read(self):
        """A field of the document with a wrong value is refused by its name, not as unknown; one
        that it does not have is unknown."""
        for path, item in self.document()["paths"].items():
            if "requestBody" not in item.get("post", {}):
                continue
            content = item["post"]["requestBody"]["content"]
            if "application/json" not in content:
                continue  # a form, whose fields are read otherwise
            schema = content["application/json"]["schema"]
            for name in schema["properties"]:
                status, text, _ = self.server.ask(path, {name: [[{}]]}, headers={"X-Api-Key": KEY})
                self.assertLess(status, 500, (path, name, text))
                self.assertNotIn(f'unknown field \\"{name}\\"', text.decode(), path)
            if item["post"]["requestBody"]["required"] and path.startswith(("/v1/c", "/api/show")):
                status, text, _ = self.server.ask(path, {"nonsense": 1}, headers={"X-Api-Key": KEY})
                self.assertEqual(status, 400, path)

    def test_schemathesis_finds_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "schemathesis.toml"), "w", encoding="ascii") as file:
                # 503 is what a request gets whose deadline cannot be met.
                file.write('checks.not_a_server_error.expected-statuses = '
                           '["2xx", "3xx", "4xx", "503"]\n')
            done = subprocess.run(
                [os.path.join(sys.prefix, "bin", "schemathesis"), "run",
                 self.url + "/openapi.json", "-H", "Authorization: Bearer " + KEY,
                 "--checks", ",".join(CHECKS), "--max-examples", EXAMPLES, "--seed", "1",
                 "--phases", "examples,coverage,fuzzing", "--exclude-path", "/debug/profile",
                 "--request-timeout", "60", "--no-color", "--warnings", "off",
                 "--suppress-health-check", "all", "--generation-database", "none"],
                capture_output=True, text=True, timeout=550, check=False, cwd=folder,
                env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": folder})
        print(done.stdout[-1500:])
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-2000:])
        self.assertEqual(json.loads(self.server.ask("/ready")[1]), {"status": "ready"})


if __name__ == "__main__":
    run()
