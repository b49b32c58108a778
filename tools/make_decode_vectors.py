#!/usr/bin/env python3
"""Writes tests/data/kernels/decode_<type>.bin: random stored blocks and the values they stand for.

The values come from the Python package `gguf` (tried: 0.19.0), which shares no code with Pelton;
those of F8_E4M3 from `ml_dtypes` (tried: 0.6.0).
A file holds, little-endian: uint32 stored_bytes, uint32 values, the stored bytes, float32 values.

  python3 tools/make_decode_vectors.py tests/data/kernels
"""
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

# Type: blocks, byte offsets of the float16 fields in a block. All other bytes may be anything.
QUANTIZED = {
    Type.Q4_0: (8, [0]), Type.Q4_1: (8, [0, 2]), Type.Q5_0: (8, [0]), Type.Q5_1: (8, [0, 2]),
    Type.Q8_0: (8, [0]), Type.IQ4_NL: (8, [0]), Type.MXFP4: (16, []), Type.Q2_K: (3, [80, 82]), Type.Q3_K: (3, [108]),
    Type.Q4_K: (3, [0, 2]), Type.Q5_K: (3, [0, 2]), Type.Q6_K: (3, [208]),
}


def stored_blocks(rng, kind):
    blocks, half_fields = QUANTIZED[kind]
    stored = rng.integers(0, 256, (blocks, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    if kind == Type.MXFP4:  # exponents: every end, but not the NaN, which gguf takes for a number
        stored[:, 0] = [0, 1, 2, 3, 254, *rng.integers(100, 140, blocks - 5)]
    for field in half_fields:
        # From subnormal to large, both signs; block 0 has a subnormal and the last one a zero.
        scales = rng.normal(size=blocks) * 10.0 ** rng.uniform(-4, 1, blocks)
        scales[0], scales[-1] = 3.5e-6, 0.0
        stored[:, field:field + 2] = scales.astype("<f2").view(np.uint8).reshape(blocks, 2)
    return stored


def stored_scalars(rng, kind):
    values = (rng.normal(size=200) * 10.0 ** rng.uniform(-6, 3, 200)).astype("<f4")
    edges = np.array([0.0, -0.0, 1.0, -2.5, 65504.0, 6.1e-5, 5.96e-8, -6e-6, np.inf, -np.inf], "<f4")
    values[:len(edges)] = edges
    if kind == Type.F32:
        return values.view(np.uint8)
    if kind == Type.F16:
        return values.astype("<f2").view(np.uint8)
    return (values.view("<u4") >> 16).astype("<u2").view(np.uint8)  # BF16


def write(path, stored, values):
    header = np.array([stored.size, values.size], "<u4").tobytes()
    path.write_bytes(header + stored.tobytes() + values.tobytes())


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    codes = np.arange(256, dtype=np.uint8)
    write(folder / "decode_F8_E4M3.bin", codes, codes.view(ml_dtypes.float8_e4m3fn).astype("<f4"))
    for kind in [Type.F32, Type.F16, Type.BF16, *QUANTIZED]:
        rng = np.random.default_rng(int(kind) + 1)
        stored = stored_blocks(rng, kind) if kind in QUANTIZED else stored_scalars(rng, kind)
        values = dequantize(stored.reshape(1, -1), kind).astype("<f4").reshape(-1)
        write(folder / f"decode_{kind.name}.bin", stored, values)


if __name__ == "__main__":
    main()
