#!/usr/bin/env python3
"""Runs clang-tidy over the sources, those that changed first, within a time limit.

usage: check_tidy.py [--seconds N] [--base COMMIT] [FILE...] | check_tidy.py --self-test

A file is skipped when it passed before with the same text, the same headers of ours, the same
configuration and the same clang-tidy; the memory is $XDG_CACHE_HOME/pelton/tidy, shared by all
checkouts. Files that differ from the base commit come first. When the time is over, the files left
are counted, not failed: the next run goes on with them.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIDY = "clang-tidy-19"
RELEASE = ROOT / "build/release"
DATABASE = ROOT / "build/tidy"
CACHE = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
MEMORY = pathlib.Path(CACHE) / "pelton/tidy"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def git(*arguments):
    result = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
    return result.stdout.splitlines() if result.returncode == 0 else []


def compiled_files():
    """Sources that the release preset compiles. Writes a database with one command for each: a
    kernel file is compiled once per instruction set, of which the widest common one is looked at.
    """
    chosen = {}
    for command in json.loads((RELEASE / "compile_commands.json").read_text()):
        file = pathlib.Path(command["directory"], command["file"]).resolve()
        if ROOT in file.parents and ROOT / "build" not in file.parents:
            if file not in chosen or "KERNEL_ISA=avx512" in command["command"]:
                chosen[file] = command
    DATABASE.mkdir(parents=True, exist_ok=True)
    (DATABASE / "compile_commands.json").write_text(json.dumps(list(chosen.values())))
    return sorted(chosen)


def changed_files(base):
    if not base:
        head = git("rev-parse", "HEAD")
        merge_base = git("merge-base", "HEAD", "origin/HEAD") or git("merge-base", "HEAD", "origin/main")
        # A clone whose branch is the remote's own: look at the last change instead.
        base = merge_base[0] if merge_base and merge_base != head else "HEAD~1"
    names = git("diff", "--name-only", base) + git("ls-files", "--others", "--exclude-standard")
    return {ROOT / name for name in names}


def closure(path, seen):
    """The file and every header of ours that it includes, directly or not."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for name in INCLUDE.findall(path.read_text(errors="replace")):
        closure(ROOT / "src" / name, seen)
        closure(path.parent / name, seen)


def key_of(path, version):
    digest = hashlib.sha256(version.encode())
    seen = set()
    closure(path, seen)
    configurations = [ROOT / ".clang-tidy"] + [f / ".clang-tidy" for f in path.parents if ROOT in f.parents]
    for part in sorted(seen) + [c for c in configurations if c.is_file()]:
        digest.update(part.relative_to(ROOT).as_posix().encode() + b"\0" + part.read_bytes())
    return digest.hexdigest()


def run_tidy(path, database, timeout):
    command = ["nice", "-n", "10", TIDY, "--quiet", "-p", str(database), str(path)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    return result.returncode == 0, result.stdout


def check(paths, seconds):
    version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True).stdout
    MEMORY.mkdir(parents=True, exist_ok=True)
    todo = [(p, MEMORY / key_of(p, version)) for p in paths]
    todo = [(p, mark) for p, mark in todo if not mark.exists()]
    deadline = time.monotonic() + seconds
    failed, left = [], 0

    def one(item):
        path, mark = item
        remaining = deadline - time.monotonic()
        outcome = run_tidy(path, DATABASE, remaining) if remaining > 0 else None
        if outcome and outcome[0]:
            mark.touch()
        return path, outcome

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, outcome in pool.map(one, todo):
            if outcome is None:
                left += 1
            elif not outcome[0]:
                failed.append(path)
                print(outcome[1].strip())
    print(f"tidy: {len(paths) - left - len(failed)} of {len(paths)} files clean, "
          f"{len(failed)} with findings, {left} left for the next run")
    return not failed


def self_test():
    """A badly named variable must fail, and the same code well named must pass."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / ".clang-tidy").write_text((ROOT / ".clang-tidy").read_text())
        (folder / "compile_commands.json").write_text("[]")
        for text, expected in (("int Twice(int x) {\n  int BadName = 2 * x;\n  return BadName;\n}\n", False),
                               ("int Twice(int x) {\n  int good_name = 2 * x;\n  return good_name;\n}\n", True)):
            source = folder / "planted.cc"
            source.write_text(text)
            (folder / "compile_commands.json").write_text(json.dumps([{
                "directory": name, "file": "planted.cc",
                "command": "clang++-19 -std=c++20 -c planted.cc"}]))
            passed, output = run_tidy(source, folder, 60)
            assert passed == expected, output
            assert expected or "readability-identifier-naming" in output, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--base", default="")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if arguments.self_test:
        self_test()
        print("tidy self-test ok")
        return 0
    compiled = compiled_files()
    paths = [pathlib.Path(f).resolve() for f in arguments.files]
    if not paths:
        changed = changed_files(arguments.base)
        paths = sorted(compiled, key=lambda p: (p not in changed, p))
    return 0 if check(paths, arguments.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
