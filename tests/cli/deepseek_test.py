"""Chats with DeepSeek-V3.2, which comes without a template: prompts, modes, calls.

Usage: deepseek_test.py PELTON, in the root of the sources. The model is a small one with random
weights that the test makes itself; V4's is that of the golden folder, where it is.
"""

import http.client
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PELTON = os.path.abspath(sys.argv[1])
CASES = pathlib.Path("tests/data/text/deepseek_chat")
GOLDEN_V4 = pathlib.Path(os.environ.get("PELTON_GOLDEN", "../shared/golden"), "models/deepseek-v4")
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
CONFIG = {
    "model_type": "deepseek_v32", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "q_lora_rank": 32,
    "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
    "first_k_dense_replace": 1, "n_routed_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6, "rope_theta": 10000, "bos_token_id": 256, "eos_token_id": 257,
    "index_n_heads": 4, "index_head_dim": 32, "index_topk": 16, "torch_dtype": "float32"}
LAYER = "model.layers.0."
SHAPES = {
    "lm_head": [320, 64], "model.embed_tokens": [320, 64], "model.norm": [64],
    LAYER + "input_layernorm": [64], LAYER + "post_attention_layernorm": [64],
    LAYER + "mlp.gate_proj": [96, 64], LAYER + "mlp.up_proj": [96, 64],
    LAYER + "mlp.down_proj": [64, 96], LAYER + "self_attn.q_a_proj": [32, 64],
    LAYER + "self_attn.q_a_layernorm": [32], LAYER + "self_attn.q_b_proj": [96, 32],
    LAYER + "self_attn.kv_a_proj_with_mqa": [80, 64], LAYER + "self_attn.kv_a_layernorm": [64],
    LAYER + "self_attn.kv_b_proj": [128, 64], LAYER + "self_attn.o_proj": [64, 64],
    LAYER + "self_attn.indexer.wq_b": [128, 32], LAYER + "self_attn.indexer.wk": [32, 64],
    LAYER + "self_attn.indexer.k_norm": [32], LAYER + "self_attn.indexer.weights_proj": [4, 64]}


def write_vocabulary(folder):
    """One token for each byte, and DeepSeek's own."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    alphabet = {**{byte: chr(byte) for byte in plain},
                **{byte: chr(256 + i) for i, byte in enumerate(rest)}}
    added = [(BOS, True), (EOS, True), (USER, True), (ASSISTANT, True), ("<think>", False),
             ("</think>", False), ("｜DSML｜", False)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 256 + i, "content": text, "special": special, "single_word": False,
                          "lstrip": False, "rstrip": False, "normalized": False}
                         for i, (text, special) in enumerate(added)],
        "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {alphabet[byte]: byte for byte in range(256)},
                  "merges": []}}), encoding="utf-8")


def make_model(folder, kv_rank=64):
    folder.mkdir()
    write_vocabulary(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"kv_lora_rank": kv_rank}),
                                        encoding="utf-8")
    draw = random.Random(1)
    header, data = {}, b""
    tensors = {name + ".weight": shape for name, shape in SHAPES.items()}
    tensors[LAYER + "self_attn.indexer.k_norm.bias"] = [32]
    tensors[LAYER + "self_attn.kv_a_proj_with_mqa.weight"] = [kv_rank + 16, 64]
    tensors[LAYER + "self_attn.kv_a_layernorm.weight"] = [kv_rank]
    tensors[LAYER + "self_attn.kv_b_proj.weight"] = [128, kv_rank]
    for name, shape in tensors.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        mean = 1.0 if "norm.weight" in name else 0.0
        values = struct.pack(f"<{count}f", *(draw.gauss(mean, 0.1) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


class Server:
    def __init__(self, model):
        self.process = subprocess.Popen(
            [PELTON, "serve", str(model), "--port", "0", "--ctx", "4096"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.port = int(re.search(r":(\d+) ", self.process.stdout.readline()).group(1))

    def ask(self, path, **body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.process.stdout.close()


class DeepSeekTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.model = cls.folder / "v32"
        make_model(cls.model)
        cls.server = Server(cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        shutil.rmtree(cls.folder)

    def check_prompts(self, model, cases):
        lines = (CASES / cases).read_text(encoding="utf-8")
        done = subprocess.run([PELTON, "render", str(model), "--jsonl"], input=lines, check=True,
                              capture_output=True, encoding="utf-8", timeout=120)
        # Texts hold separators that splitlines() takes for ends of lines.
        rendered, cases = (text.removesuffix("\n").split("\n") for text in (done.stdout, lines))
        self.assertEqual(len(rendered), len(cases))
        for line, case in zip(rendered, map(json.loads, cases)):
            self.assertEqual(json.loads(line), {"text": case["text"]}, case["name"])

    def test_prompts_are_those_of_deepseeks_code(self):
        self.check_prompts(self.model, "v3.2.jsonl")

    def test_prompts_of_v4(self):
        if not GOLDEN_V4.exists():
            self.skipTest(f"53 golden cases not seen: there is no {GOLDEN_V4}")
        model = self.folder / "v4"
        model.mkdir()
        for name in ["config.json", "model.safetensors"]:
            shutil.copyfile(GOLDEN_V4 / name, model / name)
        write_vocabulary(model)
        self.check_prompts(model, "v4.jsonl")

    def prompt(self, messages, **fields):
        status, answer = self.server.ask("/tokenize", messages=messages, **fields)
        self.assertEqual(status, 200, answer)
        status, answer = self.server.ask("/detokenize", tokens=answer["tokens"])
        self.assertEqual(status, 200, answer)
        return answer["prompt"]

    def test_the_server_writes_the_same(self):
        user = {"role": "user", "content": "Hi"}
        self.assertEqual(self.prompt([user]), f"{BOS}{USER}Hi{ASSISTANT}</think>")
        self.assertEqual(self.prompt([user], add_generation_prompt=False), f"{BOS}{USER}Hi")
        # What OpenAI calls a developer is no search agent.
        self.assertEqual(self.prompt([{"role": "developer", "content": "S"}, user]),
                         f"{BOS}S{USER}Hi{ASSISTANT}</think>")

    def test_reasoning_is_told_apart(self):
        user = [{"role": "user", "content": "Hi"}]
        for fields, thinks in [({}, False), ({"reasoning_effort": "high"}, True),
                               ({"reasoning_effort": "none"}, False),
                               ({"chat_template_kwargs": {"enable_thinking": True}}, True)]:
            status, answer = self.server.ask("/v1/chat/completions", messages=user, max_tokens=8,
                                             logit_bias={"97": 100}, **fields)
            self.assertEqual(status, 200, answer)
            message = answer["choices"][0]["message"]
            self.assertEqual(message.get("reasoning_content"), "a" * 8 if thinks else None, fields)
            self.assertEqual(message["content"] or "", "" if thinks else "a" * 8)

    def test_latent_rows_in_floats_of_8_bits(self):
        model = str(self.folder / "v32_rank_128")
        make_model(pathlib.Path(model), kv_rank=128)

        def ask(*arguments):
            done = subprocess.run([PELTON, *arguments], check=True, capture_output=True,
                                  encoding="utf-8", timeout=120)
            return json.loads(done.stdout)

        # One layer of 128 + 16 numbers, and the indexer's 32 in f16.
        for dtype, size in [("f16", 2 * 144 + 64), ("fp8", 128 + 4 + 2 * 16 + 64)]:
            use = ask("inspect", model, "--memory", "--json", "--kv-cache-dtype", dtype)
            self.assertEqual(use["kv_bytes_per_token"], size)
        prompt = ",".join(str(i * 7 % 256) for i in range(60))
        answers = {tokens: ask("run", model, "--prompt-ids", prompt, "--json", "--max-tokens", "24",
                               "--ignore-eos", "--temperature", "0", "--kv-cache-dtype", "fp8",
                               "--step-tokens", str(tokens))["ids"] for tokens in (1, 7, 512)}
        self.assertEqual(answers[1], answers[512])
        self.assertEqual(answers[7], answers[512])

    def test_calls_can_be_forced(self):
        units, kinds = ["c", "f \"x\""], [1, True, None, {"a": [2]}]
        parameters = {"type": "object", "required": ["unit", "kind"], "additionalProperties": False,
                      "properties": {"unit": {"enum": units}, "kind": {"enum": kinds},
                                     "word": {"type": "string", "maxLength": 4}}}
        tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}},
                 {"type": "function", "function": {"name": "g"}}]
        seen = set()
        for seed in range(6):
            choice = {"type": "function", "function": {"name": "f"}} if seed % 2 else "required"
            status, answer = self.server.ask(
                "/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}], tools=tools,
                tool_choice=choice, seed=seed, max_tokens=400, temperature=1.0)
            self.assertEqual(status, 200, answer)
            if answer["choices"][0]["finish_reason"] == "length":
                continue
            calls = answer["choices"][0]["message"]["tool_calls"]
            self.assertEqual(answer["choices"][0]["message"]["content"] or "", "")
            for call in calls:
                seen.add(call["function"]["name"])
                if call["function"]["name"] != "f":
                    continue
                arguments = json.loads(call["function"]["arguments"])
                self.assertIn(arguments["unit"], units)
                self.assertIn(arguments["kind"], kinds)
                self.assertLessEqual(len(arguments.get("word", "")), 4)
        self.assertIn("f", seen)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
