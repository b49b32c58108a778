"""Files of packed weights, and experts that stay in them: rows M1 to M3 of docs/reliability.md.

Usage: packed_test.py PELTON, in the root of the sources. The last row needs the permission to make a
control group.
"""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from fault_case import MIB, MODEL, Server, report, run
from limits_test import make_group
from serve_test import PELTON

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "library"))
from tiny_models import write_byte_tokenizer  # noqa: E402

PROMPT = ",".join(str(3 + i * 7 % 300) for i in range(40))
# One thread, whose steps wait for no other on a busy machine.
ANSWER = ["--prompt-ids", PROMPT, "--max-tokens", "24", "--ignore-eos", "--json", "--temperature", "0",
          "--ctx", "256", "--threads", "1"]


def answer(model, *options, before=None):
    """The ids of a greedy answer, and what was said beside it."""
    result = subprocess.run([PELTON, "run", model, *ANSWER, *options], capture_output=True, text=True,
                            preexec_fn=before, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["ids"], result.stderr


class Matrices:
    """A safetensors file of matrices in BF16, written as they come."""

    def __init__(self, path):
        self.path, self.header, self.parts, self.end = path, {}, [], 0
        self.random = random.Random(5)

    def add(self, name, *shape, ones=False):
        count = 1
        for size in shape:
            count *= size
        data = bytearray(b"\x80\x3f" * count)  # 1.0
        if not ones:
            # Below 0.06 with either sign: products of a few hundred stay small.
            data[0::2] = self.random.randbytes(count)
            data[1::2] = self.random.randbytes(count).translate(
                bytes(0x3d if byte < 128 else 0xbd for byte in range(256)))
        self.header[name] = {"dtype": "BF16", "shape": list(shape),
                             "data_offsets": [self.end, self.end + len(data)]}
        self.end += len(data)
        self.parts.append(data)

    def write(self):
        header = json.dumps(self.header).encode()
        header += b" " * (-len(header) % 8)
        with open(self.path, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for part in self.parts:
                file.write(part)


def make_mixture(folder, layers, hidden, inner, experts):
    """A model as DeepSeek-V3 is, with random weights; the first layer is dense."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    rank, nope, rope, value, heads, vocabulary = 64, 32, 16, 32, 4, 320
    config = {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": 2 * hidden,
        "moe_intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": heads, "n_shared_experts": 1, "n_routed_experts": experts,
        "num_experts_per_tok": 4, "first_k_dense_replace": 1, "moe_layer_freq": 1,
        "q_lora_rank": None, "kv_lora_rank": rank, "qk_nope_head_dim": nope,
        "qk_rope_head_dim": rope, "v_head_dim": value, "topk_method": "noaux_tc", "n_group": 4,
        "topk_group": 2, "scoring_func": "sigmoid", "norm_topk_prob": True,
        "routed_scaling_factor": 2.5, "attention_bias": False, "hidden_act": "silu",
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000,
        "rope_scaling": None, "bos_token_id": 256, "eos_token_id": 257, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "num_nextn_predict_layers": 0}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    file = Matrices(folder / "model.safetensors")
    file.add("model.embed_tokens.weight", vocabulary, hidden)
    file.add("lm_head.weight", vocabulary, hidden)
    file.add("model.norm.weight", hidden, ones=True)

    def feed_forward(prefix, size):
        file.add(prefix + "gate_proj.weight", size, hidden)
        file.add(prefix + "up_proj.weight", size, hidden)
        file.add(prefix + "down_proj.weight", hidden, size)

    for layer in range(layers):
        block = f"model.layers.{layer}."
        for norm in ["input_layernorm", "post_attention_layernorm"]:
            file.add(f"{block}{norm}.weight", hidden, ones=True)
        file.add(block + "self_attn.q_proj.weight", heads * (nope + rope), hidden)
        file.add(block + "self_attn.kv_a_proj_with_mqa.weight", rank + rope, hidden)
        file.add(block + "self_attn.kv_a_layernorm.weight", rank, ones=True)
        file.add(block + "self_attn.kv_b_proj.weight", heads * (nope + value), rank)
        file.add(block + "self_attn.o_proj.weight", hidden, heads * value)
        if layer == 0:
            feed_forward(block + "mlp.", 2 * hidden)
            continue
        file.add(block + "mlp.gate.weight", experts, hidden)
        file.add(block + "mlp.gate.e_score_correction_bias", experts)
        feed_forward(block + "mlp.shared_experts.", inner)
        for expert in range(experts):
            feed_forward(f"{block}mlp.experts.{expert}.", inner)
    file.write()
    write_byte_tokenizer(folder)
    return str(folder)


class PackedFileTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.cache = os.path.join(self.folder.name, "cache")

    def tearDown(self):
        self.folder.cleanup()

    def files(self):
        return sorted(os.listdir(self.cache)) if os.path.isdir(self.cache) else []

    def test_m1_whatever_happens_to_the_file(self):
        options = ["--packed-cache-dir", self.cache]
        plain, _ = answer(MODEL)
        self.assertEqual(answer(MODEL, *options), (plain, ""))
        self.assertEqual(len(self.files()), 1)
        path = os.path.join(self.cache, self.files()[0])
        with open(path, "rb") as file:
            whole = file.read()
        made = os.stat(path).st_ino
        self.assertEqual(answer(MODEL, *options), (plain, ""))
        self.assertEqual(os.stat(path).st_ino, made, "it was read")
        random_ = random.Random(1)
        damages = 0
        for i in range(40):
            data = bytearray(whole)
            if i % 4 == 0:
                data = data[:random_.randrange(len(data))]
            elif i % 4 == 1:
                data[random_.randrange(200)] ^= 1 << random_.randrange(8)
            elif i % 4 == 2:
                data[random_.randrange(4096, len(data))] ^= 1 << random_.randrange(8)
            else:
                at = random_.randrange(0, 120, 8)
                data[at:at + 8] = random_.randbytes(8)
            with open(path, "wb") as file:
                file.write(data)
            ids, words = answer(MODEL, *options, "--packed-cache-verify")
            self.assertEqual(ids, plain, i)
            # Bytes between the parts belong to nobody.
            damages += "packed anew" in words
            self.assertEqual(self.files(), [os.path.basename(path)])
        report("M1", f"40 damages of a file of {len(whole)} bytes, {damages} found, all answers exact")
        self.assertGreaterEqual(damages, 38)

    def test_m1_a_full_disk(self):
        plain, _ = answer(MODEL)

        def before():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        ids, words = answer(MODEL, "--packed-cache-dir", self.cache, before=before)
        self.assertEqual(ids, plain)
        self.assertIn("they are not kept", words)
        self.assertEqual(self.files(), [], "nothing is left")
        ids, words = answer(MODEL, "--packed-cache-dir", "/proc/none")
        self.assertEqual(ids, plain)
        self.assertIn("they are not kept", words)

    def test_m1_several_at_once(self):
        plain, _ = answer(MODEL)
        for _ in range(3):
            command = [PELTON, "run", MODEL, *ANSWER, "--threads", "2", "--packed-cache-dir",
                       self.cache]
            running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                       for _ in range(6)]
            for process in running:
                out, words = process.communicate(timeout=120)
                self.assertEqual(process.returncode, 0, words)
                self.assertEqual(json.loads(out)["ids"], plain)
            self.assertEqual(len(self.files()), 1)
            os.unlink(os.path.join(self.cache, self.files()[0]))

    def test_m2_experts_that_stay_in_the_file(self):
        model = make_mixture(os.path.join(self.folder.name, "mixture"), 4, 128, 128, 16)
        for more in [[], ["--numerics", "exact"], ["--weights", "w8"]]:
            plain, _ = answer(model, *more)
            packed, words = answer(model, *more, "--packed-cache-dir", self.cache)
            self.assertEqual((packed, words), (plain, ""))
            for size in ["1", "300K", "2M", "1G", "off", "auto"]:
                got = answer(model, *more, "--packed-cache-dir", self.cache, "--expert-memory", size,
                             "--packed-cache-verify")
                self.assertEqual(got, (plain, ""), size)
        self.assertEqual(len(self.files()), 3)
        plain, _ = self.serve(model)
        text, counted = self.serve(model, "--expert-memory", "2M")
        self.assertEqual(text, plain)
        report("M2", f"an answer of 64 tokens in {counted}")
        # A file whose expert is damaged is found where it is looked for.
        path = os.path.join(self.cache, self.files()[0])
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 64]))
        plain, _ = answer(model)
        words = ""
        for more in [[], ["--numerics", "exact"], ["--weights", "w8"]]:
            words += answer(model, *more, "--packed-cache-dir", self.cache, "--expert-memory", "2M",
                            "--packed-cache-verify")[1]
        self.assertIn("packed anew", words)
        # Without a file they cannot stay there.
        result = subprocess.run(
            [PELTON, "run", model, "--prompt-ids", PROMPT, "--packed-cache-dir", "/proc/none",
             "--expert-memory", "2M"], capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
        self.assertIn("/proc/none", result.stderr)

    def serve(self, model, *options, before=None):
        """The text of the greedy answer of a server, and in words what it counted of experts."""
        server = Server("--ctx", "256", "--packed-cache-dir", self.cache, *options, model=model,
                        before=before)
        try:
            body = {"prompt": [int(i) for i in PROMPT.split(",")], "max_tokens": 64,
                    "temperature": 0, "ignore_eos": True}
            begin = time.monotonic()
            text = server.json("/v1/completions", body)["choices"][0]["text"]
            seconds = time.monotonic() - begin
            if "pelton_expert_cache" not in server.ask("/metrics")[1].decode():
                return text, f"{seconds:.2f} s"
            hits, foreseen, misses, fetched, evicted, resident = [
                server.metric(f"pelton_expert_cache_{name}") for name in
                ["hits_total", "foreseen_total", "misses_total", "fetched_bytes_total",
                 "evicted_bytes_total", "resident_bytes"]]
            self.assertGreater(hits + foreseen, misses / 10)
            self.assertGreater(evicted, 0)
            self.assertEqual(foreseen > 0, "foresee-experts" not in options)
            uses = hits + foreseen + misses
            return text, (f"{seconds:.2f} s, of {uses:.0f} uses of experts {hits / uses:.0%} found in "
                          f"{resident / MIB:.0f} MiB and {foreseen / uses:.0%} foreseen, "
                          f"{fetched / MIB:.0f} MiB asked for")
        finally:
            self.assertEqual(server.end(), 0)

    def test_m3_a_model_larger_than_memory(self):
        made = make_group()
        if made is None:
            self.skipTest("no control group can be made")
        group, limit = made
        memory = 160 * MIB
        try:
            model = make_mixture(os.path.join(self.folder.name, "large"), 6, 512, 512, 32)
            size = os.path.getsize(os.path.join(model, "model.safetensors"))
            plain, _ = answer(model)
            plain_text, all_in_memory = self.serve(model)
            shutil.rmtree(self.cache)
            with open(f"{group}/{limit}", "w", encoding="ascii") as file:
                file.write(str(memory))

            def join():
                with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
                    file.write(str(os.getpid()))

            refused = subprocess.run([PELTON, "run", model, "--prompt-ids", PROMPT],
                                     capture_output=True, text=True, preexec_fn=join, check=False)
            self.assertEqual(refused.returncode, 4, refused.stderr)
            self.assertIn("--packed-cache-dir", refused.stderr)
            begin = time.monotonic()
            self.assertEqual(answer(model, "--packed-cache-dir", self.cache, before=join), (plain, ""))
            packing = time.monotonic() - begin
            # So much, and not what is left: how many uses are found should not depend on the machine.
            memories = ["--expert-memory", "44MiB"]
            text, counted = self.serve(model, *memories, before=join)
            self.assertEqual(text, plain_text)
            text, unforeseen = self.serve(model, *memories, "--pass-off", "foresee-experts",
                                          before=join)
            self.assertEqual(text, plain_text)
        finally:
            os.rmdir(group)
        report("M3", f"weights of {size / MIB:.0f} MiB in a control group of {memory / MIB:.0f}: exact; "
                     f"{packing:.1f} s with packing; an answer of 64 tokens in {counted}; "
                     f"without foreseeing in {unforeseen}; with all of them in memory "
                     f"{all_in_memory}")
        self.assertGreaterEqual(size, 1.5 * memory)


if __name__ == "__main__":
    run()
