#!/usr/bin/env python3
"""Writes the seeds of fuzz_packed_file: fuzz/corpus/packed_file."""

import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "packed_file"


def write(name, pieces, data_bytes):
    begin = (72 + 16 * len(pieces) + 4095) // 4096 * 4096
    head = struct.pack("<8sII32sQQQ", b"PELTONPW", 1, 0, b"k" * 32, begin, data_bytes, len(pieces))
    head += b"".join(struct.pack("<QII", *piece) for piece in pieces)
    # The target's first word: bytes that follow, and that it is to make the checksum right.
    word = (begin - len(head) + data_bytes) << 1 | 1
    CORPUS.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).write_bytes(struct.pack("<I", word) + head)


write("empty", [], 0)
write("two", [(0, 100, 1), (4096, 5000, 2)], 9096)
write("gap", [(0, 1, 0), (4096, 4096, 7), (8192, 1, 3)], 8193)
