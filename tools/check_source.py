#!/usr/bin/env python3
"""Checks of the source text that no compiler makes. One rule is one entry of RULES.

usage: check_source.py [FILE...] | check_source.py --self-test

With no files it reads every file that git tracks or would track. A finding that has a good reason
is listed in tools/check_exceptions.txt as "rule path reason"; an entry that excuses nothing is
itself a finding, so the list cannot go stale.
"""
import dataclasses
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "tools/check_exceptions.txt"
MAX_LINES = 800
CPP = (".h", ".cc", ".cpp", ".cu", ".cuh", ".inc")
CODE = CPP + (".py", ".sh", ".cmake")


def is_cpp(path):
    return path.endswith(CPP)


def is_code(path):
    name = path.rsplit("/", 1)[-1]
    return path.endswith(CODE) or name in ("CMakeLists.txt", "Makefile") or "." not in name


@dataclasses.dataclass(frozen=True)
class Rule:
    name: str
    applies: object  # path -> bool
    pattern: str     # searched for in each line
    says: str
    planted: tuple   # (path, line) that the self-test must see found


def kernels(path):
    return path.startswith(("src/kernels/", "bench/kernels/"))


def reads_environment(path):
    return path.startswith(("apps/", "tests/", "bench/")) or path.endswith("_test.cc")


def in_product(path):
    return path.startswith(("src/", "apps/")) and is_cpp(path) and not path.endswith("_test.cc")


def in_src(path):
    return path.startswith("src/") and is_cpp(path)


# Patterns of words use a character class, so that this file does not contain the words.
RULES = [
    Rule("regex", is_cpp, r"#\s*include\s*<regex>|\bstd::regex\b",
         "std::regex recurses on input; use PCRE2", ("src/a.cc", "#include <regex>")),
    Rule("iostream", lambda p: p.endswith((".h", ".cuh", ".inc")), r"#\s*include\s*<iostream>",
         "<iostream> in a header adds static constructors everywhere",
         ("src/a.h", "#include <iostream>")),
    Rule("intrinsics", lambda p: is_cpp(p) and not kernels(p),
         r"#\s*include\s*<(\w*intrin|arm_neon|arm_sve)\.h>|\b_mm\d*_\w+\(",
         "intrinsics belong in src/kernels", ("src/base/a.cc", "#include <immintrin.h>")),
    Rule("cuda", lambda p: is_cpp(p) and not kernels(p),
         r"#\s*include\s*<(cuda|cublas|nccl)\w*(\.h)?>|\b__(global|device)__\b",
         "CUDA belongs in src/kernels", ("src/graph/a.cc", "#include <cuda_runtime.h>")),
    Rule("getenv", lambda p: is_cpp(p) and not reads_environment(p), r"\b(secure_)?getenv\s*\(",
         "only apps/, bench/ and tests read the environment", ("src/text/a.cc", 'std::getenv("HOME");')),
    Rule("number-parsing", in_product, r"\bstd::sto(i|l|ll|ul|ull|f|d|ld)\s*\(|\b(atoi|atol|atof)\s*\(",
         "throws or hides errors; use std::from_chars", ("src/a.cc", "int x = std::stoi(s);")),
    Rule("throw", in_src, r"^(?!\s*//).*\bthrow\b(?!\(\))", "errors are values: return a Status",
         ("src/a.cc", 'throw Error("x");')),
    Rule("pragma-once", lambda p: p.endswith((".h", ".cuh")), r"^\s*#\s*ifndef\s+PELTON_\w*_H_?\b",
         "use #pragma once", ("src/a.h", "#ifndef PELTON_A_H_")),
    Rule("todo", is_code, r"\b(FIX[M]E|XX[X]|HAC[K])\b|\bTOD[O]\b(?!\(#\d+\): \S)",
         "a task left open carries its number: TOD" + "O(#12): what",
         ("src/a.cc", "// TOD" + "O: later")),
    Rule("place", lambda p: True,
         r"/wor[k]/|py[p]i\.org|pythonh[o]sted\.org|deb\.deb[i]an\.org",
         "names a place of one machine or a registry's host", ("docs/a.md", "see /wor" + "k/x")),
    Rule("tab", lambda p: is_cpp(p) or p.endswith(".py"), r"\t", "tab in the indentation",
         ("src/a.cc", "\tint x;")),
    Rule("trailing-space", is_code, r"[ \t]+$", "space at the end of the line",
         ("tools/a.py", "x = 1 ")),
    Rule("conflict", lambda p: True, r"^(<{7}|>{7}) ", "merge conflict left in the file",
         ("a.md", "<<<<<<< " + "HEAD")),
]
VAGUE_NAME = re.compile(r"^(utils?|common|misc|helpers?|core|managers?)$")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
BINARY = (".gguf", ".safetensors", ".bin", ".png", ".model", ".npy", ".gz", ".zst")


def tracked_files():
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, capture_output=True)
    if result.returncode == 0:
        names = result.stdout.decode().split("\0")
    else:  # an unpacked archive has no repository
        names = [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*")]
    return sorted({n for n in names if n and not n.startswith("build/") and (ROOT / n).is_file()})


def findings_in_text(path, text):
    """(rule, where, message) for each finding in one file."""
    lines = text.splitlines()
    active = [(rule, re.compile(rule.pattern)) for rule in RULES if rule.applies(path)]
    for number, line in enumerate(lines, 1):
        for rule, pattern in active:
            if pattern.search(line):
                yield rule.name, f"{path}:{number}", rule.says
    if is_code(path) and len(lines) > MAX_LINES:
        yield "size", path, f"{len(lines)} lines, the limit is {MAX_LINES}; split the file"
    if path == "README.md" and len(lines) >= 150:
        yield "size", path, f"{len(lines)} lines, the limit is 149"
    if path.endswith((".h", ".cuh")) and "#pragma once" not in text:
        yield "pragma-once", path, "a header starts with #pragma once"
    yield from findings_in_name(path)
    yield from findings_in_links(path, text)


def findings_in_links(path, text):
    """Links of a page to files of this repository that are not there."""
    if path.endswith(".md"):
        for number, line in enumerate(text.splitlines(), 1):
            for target in LINK.findall(line):
                if not (ROOT / path).parent.joinpath(target).exists():
                    yield "link", f"{path}:{number}", f"{target} does not exist"


def findings_in_name(path):
    if path.startswith(("src/", "apps/", "tools/", "bench/", "tests/", "fuzz/")):
        for part in path.split("/"):
            if VAGUE_NAME.match(part.split(".")[0]):
                yield "name", path, f'"{part}" does not say what it holds'


def read_exceptions():
    entries = {}
    for line in EXCEPTIONS.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            rule, path, reason = line.split(maxsplit=2)
            entries[rule, path] = reason
    return entries


def check(files):
    exceptions, used, bad = read_exceptions(), set(), []
    for path in files:
        if path.endswith(BINARY) or path.startswith(("tests/data/", "fuzz/corpus/", "fuzz/regressions/")):
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            bad.append(f"{path}: [encoding] not UTF-8")
            continue
        for rule, where, message in findings_in_text(path, text):
            if (rule, path) in exceptions:
                used.add((rule, path))
            else:
                bad.append(f"{where}: [{rule}] {message}")
    return bad, set(exceptions) - used


def self_test():
    for rule in RULES:
        path, line = rule.planted
        found = [name for name, _, _ in findings_in_text(path, "#pragma once\n" + line + "\n")]
        assert found == [rule.name], f"{rule.name}: planted line {line!r} in {path} gave {found}"
    clean = "#pragma once\n// Parses a number.\nint Parse(std::string_view text);\n"
    assert not list(findings_in_text("src/base/parse.h", clean))
    assert [f[0] for f in findings_in_text("src/a.cc", "\n" * 801)] == ["size"]
    assert [f[0] for f in findings_in_text("src/a.h", "int x;\n")] == ["pragma-once"]
    assert [f[0] for f in findings_in_text("src/base/utils.cc", "")] == ["name"]
    assert [f[0] for f in findings_in_text("docs/a.md", "[a](gone.md) [b](README.md)\n")] == ["link"]
    assert not list(findings_in_text("src/a.cc", "// TOD" + "O(#12): measure it\n"))


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        print("source self-test ok")
        return 0
    bad, unused = check(sys.argv[1:] or tracked_files())
    if not sys.argv[1:]:
        bad += [f"tools/check_exceptions.txt: {r} {p} excuses nothing" for r, p in sorted(unused)]
    print("\n".join(bad) or "source ok")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
