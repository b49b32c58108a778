#!/usr/bin/env python3
"""What a format of weights and fast arithmetic cost in quality: the perplexity of one model whose
matrices are stored anew in each format.

usage: formats.py MODEL.gguf TEXT [--formats Q8_0,Q4_0] [--pelton build/release/pelton]

For each format the model is written with all its matrices in it, from the values that MODEL gives,
and `pelton perplexity` reads TEXT with `--numerics exact`, which is the reference of that format,
and `fast`. Another line tells the same of `--weights w8`, made from MODEL. The first column compares
exact results with those of MODEL itself: what storing it anew has cost.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

FORMATS = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
# What the writer states itself.
OWN_FIELDS = ("general.architecture", "GGUF.version", "GGUF.tensor_count", "GGUF.kv_count")


def write_anew(reader, path, quantization):
    """A copy of the model whose matrices are in one format; lists stay as they are."""
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    for name, field in reader.fields.items():
        if name in OWN_FIELDS:
            continue
        of_list = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=of_list)
    for tensor in reader.tensors:
        if len(tensor.shape) < 2:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, quantize(values, quantization), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def perplexity(pelton, model, text, *options):
    result = subprocess.run([pelton, "perplexity", model, text, "--json", *options],
                            capture_output=True, text=True, check=True)
    return json.loads(result.stdout)["perplexity"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--pelton", default="build/release/pelton")
    options = parser.parse_args()
    reader = gguf.GGUFReader(options.model)
    stored = perplexity(options.pelton, options.model, options.text, "--numerics", "exact")
    print("| weights | exact | to the model as it is | fast | to exact |")
    print("|---|--:|--:|--:|--:|")

    def line(name, model, *more):
        exact, fast = (perplexity(options.pelton, model, options.text, *more, "--numerics", numerics)
                       for numerics in ("exact", "fast"))
        print(f"| {name} | {exact:.4f} | {exact / stored - 1:+.2%} | {fast:.4f} | "
              f"{fast / exact - 1:+.2%} |", flush=True)

    line("as it is", options.model)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.formats.split(","):
            path = pathlib.Path(folder) / f"{name}.gguf"
            write_anew(reader, path, gguf.GGMLQuantizationType[name])
            line(name, str(path))
            path.unlink()
    line("W8", options.model, "--weights", "w8")


if __name__ == "__main__":
    main()
