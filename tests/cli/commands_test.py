"""Runs every verb of the program as a user would, on the small models that the repository carries.

Usage: commands_test.py PELTON, in the root of the sources.
"""

import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PELTON = os.path.abspath(sys.argv[1])
FOLDER = pathlib.Path("tests/data/golden/llama")
MODEL = str(FOLDER / "model-Q4_0.gguf")
GOLDEN = json.loads((FOLDER / "golden-Q4_0.json").read_text())


def pelton(*arguments, stdin="", code=0):
    done = subprocess.run(
        [PELTON, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done if code else done.stdout


def lines(objects):
    return "".join(json.dumps(one) + "\n" for one in objects)


def ids_text(ids):
    return ",".join(map(str, ids))


class RunTest(unittest.TestCase):
    def test_exact_numerics_give_the_references_greedy_tokens(self):
        for prompt in GOLDEN["prompts"]:
            want = prompt["greedy_ids"]
            out = json.loads(
                pelton("run", MODEL, "--prompt-ids", ids_text(prompt["ids"]), "--json",
                       "--ignore-eos", "--numerics", "exact", "--temperature", 0,
                       "--max-tokens", len(want)))
            self.assertEqual(out["prompt_ids"], prompt["ids"])
            self.assertEqual(out["ids"], want)
            self.assertEqual(out["finish_reason"], "length")
            self.assertEqual(out["timings"]["output_tokens"], len(want))

    def test_a_file_of_prompts_is_answered_in_its_order(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            requests = [{"prompt_ids": p["ids"], "max_tokens": 1 + i, "temperature": 0}
                        for i, p in enumerate(GOLDEN["prompts"])]
            requests.append({"prompt": "of the", "max_tokens": 2, "logprobs": 3})
            file.write(lines(requests))
            file.flush()
            out = [json.loads(line) for line in
                   pelton("run", MODEL, "--prompts", file.name, "--json", "--numerics", "exact",
                          "--ignore-eos").splitlines()]
        self.assertEqual(len(out), len(requests))
        for i, prompt in enumerate(GOLDEN["prompts"]):
            self.assertEqual(out[i]["ids"], prompt["greedy_ids"][: 1 + i])
        for token in out[-1]["logprobs"]:
            self.assertEqual(len(token["top"]), 3)

    def test_an_answer_keeps_to_a_form(self):
        schema = {"type": "array", "items": {"enum": ["alpha", "beta"]}, "minItems": 2,
                  "maxItems": 3}
        with tempfile.TemporaryDirectory() as folder:
            schema_file, prompts = os.path.join(folder, "schema.json"), os.path.join(folder, "p")
            with open(schema_file, "w", encoding="utf-8") as file:
                json.dump(schema, file)
            with open(prompts, "w", encoding="utf-8") as file:
                file.write(lines([{"prompt": "of the", "guided_regex": "(ab){3,5}"},
                                  {"prompt": "of the", "json_schema": schema}]))
            for given in (schema_file, json.dumps(schema)):
                for mode in ("ngram", "off"):
                    value = json.loads(pelton("run", MODEL, "of the", "-j", given, "--seed", 3,
                                              "--temperature", 1, "--speculate", mode))
                    self.assertTrue(2 <= len(value) <= 3 and set(value) <= {"alpha", "beta"})
            out = pelton("run", MODEL, "--prompts", prompts, "--temperature", 1).splitlines()
            self.assertRegex(out[0], "^(ab){3,5}$")
            self.assertIn(json.loads("".join(out[1:]))[0], ["alpha", "beta"])
            self.assertRegex(pelton("run", MODEL, "x", "--regex", "x[yz]"), "^x[yz]\n$")
            self.assertRegex(pelton("run", MODEL, "x", "--grammar", 'root ::= "one" | "two"'),
                             "^(one|two)\n$")
            for wrong in (("--regex", "("), ("-j", folder + "/none"), ("--grammar", "root ::= "),
                          ("--regex", "a", "-j", "{}")):
                pelton("run", MODEL, "x", *wrong, code=2)

    def test_a_seed_repeats_a_draw(self):
        draw = lambda seed: json.loads(
            pelton("run", MODEL, "of the", "--json", "--seed", seed, "--temperature", 1,
                   "--max-tokens", 24, "--ignore-eos"))["ids"]
        self.assertEqual(draw(7), draw(7))
        self.assertNotEqual(draw(7), draw(8))

    def test_a_draft_model_changes_no_token(self):
        ask = lambda *more: json.loads(
            pelton("run", MODEL, "of the", "--json", "--max-tokens", 40, "--ignore-eos", *more))
        for how in [("--temperature", 0), ("--temperature", 1, "--seed", 7)]:
            plain = ask(*how, "--speculate", "off")
            # The model itself is always right; it is no faster than itself, so it is asked rarely.
            for more in [(), ("--speculate", "draft", "--draft-tokens", 1, "--numerics", "fast")]:
                self.assertEqual(ask(*how, "--draft-model", MODEL, *more)["ids"], plain["ids"])

    def test_a_draft_model_that_does_not_fit_is_refused(self):
        for code, words, more in [
                (2, "found no --draft-model", ["--speculate", "draft"]),
                (2, "expected draft, auto or off", ["--draft-model", MODEL, "--speculate", "ngram"]),
                (2, "same vocabulary", ["--draft-model", "tests/data/golden/qwen3"]),
                (2, "no/model", ["--draft-model", "no/model"])]:
            self.assertIn(words, pelton("run", MODEL, "x", *more, code=code).stderr)

    def test_chat_keeps_on_after_a_command_it_does_not_know(self):
        out = pelton("run", MODEL, "--max-tokens", 4, stdin="of the\n")
        self.assertTrue(out)


class MeasureTest(unittest.TestCase):
    def test_a_cache_of_8_bits_costs_little(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("It was the best of times, it was the worst of times. " * 40)
            file.flush()
            of = lambda dtype: json.loads(
                pelton("perplexity", MODEL, file.name, "--window", 128, "--json",
                       "--kv-cache-dtype", dtype))["perplexity"]
            self.assertEqual(of("auto"), of("f16"))
            self.assertNotEqual(of("q8"), of("f16"))
            # A random model is unsteady; a trained one loses less than 0.1 %.
            self.assertAlmostEqual(of("q8") / of("f32"), 1, delta=0.05)

    def test_a_cache_that_does_not_fit_the_model_is_refused(self):
        latent = "tests/data/golden/deepseek-v3-fp8-edge"
        for model, dtype, words in [
                (latent, "q8", "found a cache of latent rows, expected heads with keys and values; "
                               "use f16 or f32"),
                (latent, "fp8", "found latent rows of 64 + 16 numbers, expected a multiple of 128, "
                                "and up to 1024 in all; use f16 or f32"),
                (MODEL, "fp8", "found heads with keys and values, expected the latent rows of "
                               "multi-head latent attention (DeepSeek V2 to V3.2); use q8, f16 or "
                               "f32"),
                ("tests/data/golden/qwen3", "fp8", "; use ")]:
            done = pelton("run", model, "x", "--kv-cache-dtype", dtype, code=3)
            self.assertIn(f"{model}: --kv-cache-dtype {dtype}: found ", done.stderr)
            self.assertIn(words, done.stderr)

    def test_perplexity_is_that_of_the_prompts_log_probabilities(self):
        text = "It was the best of times, it was the worst of times. " * 40
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            out = json.loads(pelton("perplexity", MODEL, file.name, "--window", 64, "--json",
                                    "--numerics", "exact"))
        ids = json.loads(pelton("tokenize", MODEL, "--jsonl", stdin=lines([{"text": text}])))["ids"]
        self.assertEqual(out["tokens"], len(ids))
        windows = [ids[i: i + 64] for i in range(0, len(ids), 64)]
        windows = [window for window in windows if len(window) > 1]
        self.assertGreater(len(windows), 8)
        self.assertEqual(out["windows"], len(windows))
        total, count = 0.0, 0
        for window in windows:
            one = json.loads(pelton("run", MODEL, "--prompt-ids", ids_text(window), "--json",
                                    "--prompt-logprobs", 0, "--max-tokens", 1,
                                    "--numerics", "exact"))
            values = [t["logprob"] for t in one["prompt_logprobs"] if t]
            total -= sum(values)
            count += len(values)
        self.assertEqual(out["predicted"], count)
        self.assertAlmostEqual(out["perplexity"], math.exp(total / count), delta=1e-3)

    def test_bench_prints_a_row_for_each_test(self):
        arguments = ["bench", MODEL, "-p", "32", "-n", "4", "--batch", "1,3", "-r", "2", "-o"]
        rows = json.loads(pelton(*arguments, "json"))
        self.assertEqual([row.get("test") for row in rows[:-1]], ["pp32", "tg4", "tg4@3"])
        for row in rows[:-1]:
            self.assertGreater(row["avg_ts"], 0)
        self.assertGreater(rows[-1]["peak_rss_bytes"], 1 << 20)
        self.assertTrue(0 <= rows[-1]["others_share"] <= 1)
        csv = pelton(*arguments, "csv").splitlines()
        self.assertEqual(len(csv), 4)
        markdown = pelton(*arguments, "md", "--invariant", "off").splitlines()
        self.assertEqual(len(markdown), 5)
        self.assertIn("price", markdown[0])

    def test_bench_shows_the_roofline(self):
        out = pelton("bench", MODEL, "-p", 16, "-n", 4, "-b", "1,2", "-r", 1, "--threads", 1,
                     "--roofline")
        for test in ["pp16", "tg4", "tg4@2"]:
            part = out[out.index(f"\n{test}, a step (mean of"):]
            rows = [line.split("|") for line in part.split("\n\n")[1].splitlines()[2:]]
            self.assertTrue(any(row[1].strip().startswith("matmul ") for row in rows), part)
            share = sum(float(row[5].strip(" %")) for row in rows)
            self.assertTrue(95 < share < 105, rows)
        self.assertEqual(out.count("at the limits they would take"), 3)

    def test_doctor_names_the_kernels(self):
        out = json.loads(pelton("doctor", "--json", "--threads", 1))
        self.assertTrue(out)

    def test_tune_writes_choices_that_others_follow(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "new" / "tuning.json"
            out = pelton("tune", "--weights", "Q4_0", "--rounds", 1, "--out", file)
            if "nothing to choose" in out:
                self.skipTest("this processor has one kernel for everything")
            self.assertIn("| rows |", out)
            self.assertIn(f"written to {file}", out)
            tuning = json.loads(file.read_text())
            self.assertTrue(tuning["matmul"])
            self.assertEqual({choice["weights"] for choice in tuning["matmul"]}, {"Q4_0"})
            # What was found of other formats stays.
            pelton("tune", "--weights", "Q8_0", "--rounds", 1, "--out", file)
            both = json.loads(file.read_text())["matmul"]
            self.assertEqual([c for c in both if c["weights"] == "Q4_0"], tuning["matmul"])
            self.assertTrue([c for c in both if c["weights"] == "Q8_0"])
            ask = ["run", MODEL, "--prompt-ids", ids_text(GOLDEN["prompts"][0]["ids"]), "--json",
                   "--ignore-eos", "--temperature", 0, "--max-tokens", 8]
            # Every choice gives the same answer, the slowest kernel too.
            for choice in both:
                choice["kernel"] = "generic"
            slow = pathlib.Path(folder) / "slow.json"
            slow.write_text(json.dumps({**tuning, "matmul": both}))
            plain = json.loads(pelton(*ask, "--tuning", "off"))["ids"]
            for followed in [file, slow]:
                self.assertEqual(json.loads(pelton(*ask, "--tuning", followed))["ids"], plain)
            slow.write_text(json.dumps({**tuning, "processor": "another"}))
            self.assertIn("found choices for another", pelton(*ask, "--tuning", slow, code=2).stderr)
            slow.write_text("{")
            self.assertIn(str(slow), pelton(*ask, "--tuning", slow, code=2).stderr)
            missing = pathlib.Path(folder) / "none.json"
            self.assertIn("no such file", pelton(*ask, "--tuning", missing, code=2).stderr)
        self.assertIn("expected one of Q4_0", pelton("tune", "--weights", "F32", code=2).stderr)
        self.assertIn("--rounds", pelton("tune", "--rounds", 0, code=2).stderr)


class TextTest(unittest.TestCase):
    def test_tokenize_and_back(self):
        texts = ["of the ship", "", "né 😀 x"]
        ids = [json.loads(line)["ids"] for line in
               pelton("tokenize", MODEL, "--jsonl",
                      stdin=lines({"text": t} for t in texts)).splitlines()]
        back = [json.loads(line)["text"] for line in
                pelton("tokenize", MODEL, "--jsonl", "--decode",
                       stdin=lines({"ids": i} for i in ids)).splitlines()]
        self.assertEqual([text.strip() for text in back], texts)

    def test_render_a_template_and_its_errors(self):
        out = [json.loads(line) for line in pelton(
            "render", "-", "--jsonl",
            stdin=lines([{"template": "{{ a + 1 }}", "variables": {"a": 2}},
                         {"template": "{% if %}", "variables": {}}])).splitlines()]
        self.assertEqual(out[0], {"text": "3"})
        self.assertIn("error", out[1])

    def test_parse_splits_what_a_model_wrote(self):
        tools = [{"type": "function", "function": {"name": "add", "parameters": {
            "type": "object", "properties": {"a": {"type": "integer"}}}}}]
        call = ("<think>hm</think>So:\n<tool_call>add<arg_key>a</arg_key>"
                "<arg_value>5</arg_value></tool_call>")
        out = [json.loads(line) for line in pelton(
            "parse", "glm", "--jsonl",
            stdin=lines([{"text": call, "tools": tools}, {"text": call},
                         {"text": "a</think>b", "reasoning_open": True}])).splitlines()]
        self.assertEqual(out[0], {"content": "So:\n", "reasoning_content": "hm", "tool_calls": [
            {"name": "add", "arguments": {"a": 5}}]})
        self.assertEqual(out[1]["content"], call.split("</think>")[1])
        self.assertEqual(out[1]["tool_calls"], [])
        self.assertEqual(out[2], {"content": "b", "reasoning_content": "a", "tool_calls": []})
        self.assertIn("hermes", pelton("parse", "hermit", code=2).stderr)
        self.assertIn("line 1", pelton("parse", "glm", stdin="[]\n", code=2).stderr)


class InspectTest(unittest.TestCase):
    def test_every_view(self):
        self.assertIn("architecture  llama", pelton("inspect", MODEL))
        for view, word in [("--graph", "matmul"), ("--plan", "attention"),
                           ("--passes", "fold-constants"), ("--memory", "KV")]:
            self.assertIn(word, pelton("inspect", MODEL, view))

    def test_weights_in_8_bits_are_packed_so(self):
        plan = pelton("inspect", MODEL, "--plan", "--weights", "w8")
        self.assertIn("rotate", plan)
        self.assertIn("as W8", pelton("inspect", MODEL, "--graph", "--weights", "w8"))
        self.assertNotIn("W8", pelton("inspect", MODEL, "--graph"))

    def test_a_graph_at_level_0_is_plain(self):
        self.assertIn("kv_scores", pelton("inspect", MODEL, "--plan", "--fusion-level", 0))

    def test_list(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(json.loads(pelton("list", "--json", "--models", folder)), [])
            os.symlink(os.path.abspath(MODEL), folder + "/small.gguf")
            listed = json.loads(pelton("list", "--json", "--models", folder))
            self.assertEqual(listed[0]["name"], "small")
            self.assertIn("prompt_ids", pelton("run", "small", "--models", folder, "--json",
                                               "--prompt-ids", "1,2", "--max-tokens", 1))

    def test_completion_of_each_shell(self):
        for shell, word in [("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete"),
                            ("man", ".TH"), ("docs", "pelton run")]:
            self.assertIn(word, pelton("completion", shell))


class ErrorTest(unittest.TestCase):
    def one_sentence(self, done, *words):
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_usage(self):
        self.one_sentence(pelton("runn", code=2), '"runn"', '"run"')
        self.one_sentence(pelton("run", code=2), "model")
        self.one_sentence(pelton("run", "smolm2", "hi", "--models", "/none", code=2), '"smollm2"')
        self.one_sentence(pelton("run", MODEL, "hi", "--temperature", "warm", code=2), "warm")
        self.one_sentence(pelton("run", MODEL, "--ctx", 16, "of the " * 50, code=2), "context")
        self.one_sentence(pelton("run", MODEL, "--prompt-ids", "5,320", code=2), "320")
        self.one_sentence(pelton("run", MODEL, "hi", "--weights", "w5", code=2), "w5", "w8")

    def test_models(self):
        whole = pathlib.Path(MODEL).read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            for name, content, words in [
                ("cut", whole[:20000], ["found", "expected"]),
                ("magic", b"GGML" + whole[4:], ["GGUF"]),
                ("version", whole[:4] + b"\x09" + whole[5:], ["version", "9"]),
                ("count", whole[:8] + b"\xff" * 8 + whole[16:], ["tensor"]),
                ("empty", b"", []),
            ]:
                path = pathlib.Path(folder, name + ".gguf")
                path.write_bytes(content)
                self.one_sentence(pelton("run", path, "hi", code=3), name + ".gguf", *words)

    def test_tensors_of_a_folder(self):
        source = pathlib.Path("tests/data/golden/deepseek-v3-fp8-edge")
        weights = (source / "model.safetensors").read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(source / "config.json", folder)
            for name in ["experts.3.up_proj.weight", "experts.5.down_proj.weight_scale_inv",
                         "self_attn.kv_b_proj.weight"]:
                named = f'{name}"'.encode()
                self.assertIn(named, weights)
                # As many bytes, so that the header stays as long.
                renamed = weights.replace(named, named.replace(b".w", b".W"))
                pathlib.Path(folder, "model.safetensors").write_bytes(renamed)
                done = pelton("run", folder, "--prompt-ids", "5", code=3)
                self.one_sentence(done, name, "model.safetensors", "found none")

    def test_memory(self):
        done = pelton("run", MODEL, "hi", "--kv-tokens", 1 << 30, code=4)
        self.one_sentence(done, "--")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
