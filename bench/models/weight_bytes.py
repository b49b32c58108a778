#!/usr/bin/env python3
"""Prints how many bytes of weights one decoded token reads from a GGUF file: every tensor but an
embedding table of its own, of which a token reads one row only."""
import sys

import gguf

tensors = {t.name: int(t.n_bytes) for t in gguf.GGUFReader(sys.argv[1]).tensors}
if "output.weight" in tensors:
    tensors.pop("token_embd.weight", None)
print(sum(tensors.values()))
