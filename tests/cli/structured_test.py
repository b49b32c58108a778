"""Asks `pelton serve` for outputs of a given form and checks each with a library of its own.

Usage: structured_test.py PELTON [GENERATIONS], in the root of the sources. Temperature 1.5 makes a
small model write nonsense, which only the grammar holds together. With GENERATIONS (24 otherwise)
schemas take turns, those of the golden folder included where it is.
"""

import concurrent.futures
import http.client
import json
import os
import re
import subprocess
import sys
import unittest

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is missing")
    sys.exit(77)

PELTON = os.path.abspath(sys.argv[1])
GENERATIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 24
GOLDEN = os.path.join(os.environ.get("PELTON_GOLDEN", "../shared/golden"), "text/structured")

NODE = {"type": "object", "properties": {
    "value": {"type": "integer", "minimum": 0, "maximum": 9},
    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
    "required": ["value", "next"], "additionalProperties": False}
SCHEMAS = [
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                                      "age": {"type": "integer", "minimum": 3, "maximum": 120}},
     "required": ["name", "age"], "additionalProperties": False},
    {"type": "array", "items": {"enum": ["red", "green", 7, None, {"a": [1]}]},
     "minItems": 2, "maxItems": 5},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date"},
                                      "at": {"type": "string", "pattern": "^[0-2][0-9]:[0-5]0$"}},
     "required": ["when", "at"], "additionalProperties": False},
    {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "boolean"},
                                     "maxItems": 2}]},
    {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
               {"properties": {"b": {"const": "x"}}, "required": ["a", "b"]}]},
    {"type": "object", "properties": {"n": {"type": "number", "minimum": -1.5, "maximum": 2.5}},
     "required": ["n"], "additionalProperties": False},
]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 20},
                                     "unit": {"enum": ["c", "f"]}},
    "required": ["city", "unit"], "additionalProperties": False}}},
    {"type": "function", "function": {"name": "get_time", "parameters": {
        "type": "object", "properties": {"zone": {"type": "integer"}}, "required": ["zone"],
        "additionalProperties": False}}}]


def golden_schemas():
    path = os.path.join(GOLDEN, "schemas.jsonl")
    if not os.path.exists(path):
        print(f"{path}: its schemas were not seen.")
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line)["schema"] for line in file]


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [PELTON, "serve", "smollm2", "--port", "0", "--ctx", "4096"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        banner = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+) ", banner).group(1))

    def ask(self, **fields):
        body = {"messages": [{"role": "user", "content": "Tell me of Paris."}], "max_tokens": 300,
                "temperature": 1.5, **fields}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def choice(self, **fields):
        status, text = self.ask(**fields)
        assert status == 200, text
        return json.loads(text)["choices"][0]

    def error(self, **fields):
        status, text = self.ask(**fields)
        assert status == 400, text
        return json.loads(text)["error"]


class StructuredTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.process.terminate()
        cls.server.process.wait(timeout=60)
        cls.server.process.stdout.close()

    def test_every_answer_follows_its_schema(self):
        schemas = SCHEMAS + (golden_schemas() if GENERATIONS > 100 else [])
        counts = {"valid": 0, "cut": 0, "refused": 0}

        def run(number):
            schema = schemas[number % len(schemas)]
            status, text = self.server.ask(seed=number, response_format={
                "type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
            if status == 400:
                self.assertIn(schema, schemas[len(SCHEMAS):], text)
                return "refused"
            self.assertEqual(status, 200, text)
            choice = json.loads(text)["choices"][0]
            if choice["finish_reason"] == "length":
                return "cut"
            content = choice["message"]["content"]
            value = json.loads(content)
            try:
                jsonschema.Draft202012Validator(schema).validate(value)
            except jsonschema.ValidationError as error:
                raise AssertionError(f"{content}: {error}") from error
            return "valid"

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for outcome in pool.map(run, range(GENERATIONS)):
                counts[outcome] += 1
        print(f"{GENERATIONS} generations: {counts}")
        self.assertGreater(counts["valid"], GENERATIONS * 0.6)

    def test_every_spelling(self):
        ask = self.server.choice
        for fields, pattern in [
                ({"guided_regex": "[A-Z]{2}-[0-9]{3}"}, "[A-Z]{2}-[0-9]{3}"),
                ({"guided_choice": ["yes", "no"]}, "yes|no"),
                ({"guided_grammar": 'root ::= "a" [bc]{2}'}, "a[bc][bc]"),
                ({"grammar": 'root ::= "x" | "y"'}, "x|y"),
                ({"json_schema": {"const": 5}}, "5"),
                ({"guided_json": {"const": "q"}}, '"q"'),
                ({"structured_outputs": {"regex": "z{3}"}}, "zzz"),
                ({"response_format": {"type": "structural_tag", "format": {
                    "type": "const_string", "value": "done"}}}, "done")]:
            choice = ask(**fields)
            self.assertRegex(choice["message"]["content"], f"^({pattern})$", fields)
            self.assertEqual(choice["finish_reason"], "stop")

    def test_streams_say_the_same(self):
        fields = {"guided_regex": "[a-z]{5,9}( [a-z]{3}){2}", "seed": 4}
        whole = self.server.choice(**fields)["message"]["content"]
        status, text = self.server.ask(**fields, stream=True)
        self.assertEqual(status, 200)
        pieces = [json.loads(line[6:]) for line in text.split("\n\n")
                  if line.startswith("data: {")]
        self.assertEqual("".join(piece["choices"][0]["delta"].get("content", "")
                                 for piece in pieces), whole)

    def test_log_probabilities_are_the_models_own(self):
        choice = self.server.choice(guided_choice=["qzx"], logprobs=True, top_logprobs=1)
        first = choice["logprobs"]["content"][0]
        self.assertLess(first["logprob"], first["top_logprobs"][0]["logprob"])

    def test_tool_calls_can_be_forced(self):
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}
        named = {"type": "function", "function": {"name": "get_time"}}
        for seed in range(3):
            for choice in ("required", named):
                answer = self.server.choice(tools=TOOLS, tool_choice=choice, seed=seed,
                                            parallel_tool_calls=False)
                if answer["finish_reason"] == "length":
                    continue
                self.assertEqual(answer["finish_reason"], "tool_calls")
                self.assertEqual(len(answer["message"]["tool_calls"]), 1)
                function = answer["message"]["tool_calls"][0]["function"]
                if choice is named:
                    self.assertEqual(function["name"], "get_time")
                jsonschema.validate(json.loads(function["arguments"]), schemas[function["name"]])

    def test_refusals_name_the_field(self):
        error = self.server.error
        two = error(guided_regex="a", grammar='root ::= "a"')
        self.assertIn("guided_regex", two["message"])
        self.assertIn("grammar", two["message"])
        for fields, param in [
                ({"response_format": {"type": "xml"}}, "response_format"),
                ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
                ({"guided_regex": "("}, "guided_regex"),
                ({"guided_regex": "(a{1,900}){1,900}"}, "guided_regex"),
                ({"guided_json": {"not": {}}}, "guided_json"),
                ({"guided_json": {"type": "array", "minItems": 10 ** 9}}, "guided_json"),
                ({"guided_choice": []}, "guided_choice"),
                ({"grammar": 'root ::= root "a"'}, "grammar"),
                ({"structured_outputs": {"nope": 1}}, "structured_outputs.nope"),
                ({"tool_choice": "required"}, "tool_choice"),
                ({"tools": TOOLS, "tool_choice": "required", "grammar": 'root ::= "a"'},
                 "tool_choice")]:
            self.assertEqual(error(**fields)["param"], param, fields)


def has_default_model():
    out = subprocess.run([PELTON, "list", "--json"], capture_output=True, check=True).stdout
    return any(model["name"] == "smollm2" for model in json.loads(out))


if __name__ == "__main__":
    if not has_default_model():
        print("the default model is missing")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
