#!/usr/bin/env python3
"""Prints how many bytes of weights one decoded token reads from a GGUF file: every tensor but an
embedding table of its own, of which a token reads one row only, and of experts those that a token
uses."""
import sys

import gguf

reader = gguf.GGUFReader(sys.argv[1])
tensors = {t.name: int(t.n_bytes) for t in reader.tensors}
if "output.weight" in tensors:
    tensors.pop("token_embd.weight", None)
values = {name.partition(".")[2]: field for name, field in reader.fields.items()}
share = 1.0
if "expert_count" in values:
    share = values["expert_used_count"].contents() / values["expert_count"].contents()
print(round(sum(size * (share if "_exps." in name else 1) for name, size in tensors.items())))
