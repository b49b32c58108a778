"""Installs the library as a package does, and builds and runs C programs with it.

Usage: library_test.py PELTON, in the root of the sources; PELTON lies in its build folder. Needs a C
compiler and pkg-config.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import tiny_models

PELTON = os.path.abspath(sys.argv[1])
BUILD = os.path.dirname(PELTON)
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
COMPILERS = [name for name in ["gcc", "clang-19"] if shutil.which(name)]


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def f32(value):
    return struct.unpack("<f", struct.pack("<f", float(value)))[0]


class LibraryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = cls.scratch.name
        cls.prefix = os.path.join(cls.folder, "usr")
        run("cmake", "--install", BUILD, "--prefix", cls.prefix, "--component", "library")
        cls.pkg_config = next(os.path.join(path, "pkgconfig") for path, folders, _ in
                              os.walk(cls.prefix) if "pkgconfig" in folders)
        cls.libraries = os.path.dirname(cls.pkg_config)
        cls.chat_model = os.path.join(cls.folder, "chat")
        cls.encoder = os.path.join(cls.folder, "encoder")
        tiny_models.make_chat_model(cls.chat_model)
        tiny_models.make_encoder(cls.encoder)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def flags(self, *which):
        return run("pkg-config", *which, "pelton",
                   env={**os.environ, "PKG_CONFIG_PATH": self.pkg_config}).split()

    def build(self, compiler, source):
        program = os.path.join(self.folder, f"{os.path.basename(source)}-{compiler}")
        run(compiler, "-std=c11", *WARNINGS, source, *self.flags("--cflags", "--libs"),
            "-o", program)
        return program

    def environment(self):
        return {**os.environ, "LD_LIBRARY_PATH": self.libraries}

    def test_programs_of_both_compilers_get_what_the_commands_give(self):
        self.assertIn("gcc", COMPILERS)
        messages = [{"role": "user", "content": 'hello "there"'}]
        request = {"messages": messages, "temperature": 1, "seed": 5, "max_tokens": 16,
                   "ignore_eos": True}
        path = os.path.join(self.folder, "requests.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(request) + "\n")
        want = json.loads(run(PELTON, "run", self.chat_model, "--prompts", path, "--json",
                              "--numerics", "exact"))
        vectors = [json.loads(line)["embedding"] for line in
                   run(PELTON, "embed", self.encoder, "the cat sleeps", "dogs eating").splitlines()]
        for compiler in COMPILERS:
            program = self.build(compiler, "tests/library/program.c")
            done = subprocess.run([program, self.chat_model, self.encoder], capture_output=True,
                                  text=True, env=self.environment(), timeout=300, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            lines = done.stdout.splitlines()
            self.assertEqual(lines[0], "prompt " + ",".join(map(str, want["prompt_ids"])))
            self.assertEqual(lines[1], "ids " + ",".join(map(str, want["ids"])))
            for line, vector in zip(lines[2:4], vectors):
                found = [f32(x) for x in line.removeprefix("vector ").split(",")]
                self.assertEqual(found, [f32(x) for x in vector])
            # Nothing else was printed.
            self.assertEqual(lines[4:], [lines[-1]])
            self.assertIn(lines[-1].removeprefix("version "), run(PELTON, "--version"))

    def test_the_example_chats(self):
        program = self.build("gcc", "examples/c/chat.c")
        done = subprocess.run([program, self.chat_model], input='say "hi"\nand\tagain\n',
                              capture_output=True, text=True, errors="replace",
                              env=self.environment(), timeout=300, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertGreater(len(done.stdout), 20)
        done = subprocess.run([program, "no/such/model"], capture_output=True, text=True,
                              env=self.environment(), timeout=300, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no/such/model", done.stderr)

    def test_the_header_is_plain_cpp_too(self):
        source = os.path.join(self.folder, "header.cc")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <pelton.h>\nint main() { pelton_generate_options options;\n"
                       "pelton_generate_options_init(&options);\n"
                       "return options.max_tokens == 1024 ? 0 : 1; }\n")
        for standard in ["c++11", "c++20"]:
            program = os.path.join(self.folder, standard)
            run("g++", f"-std={standard}", *WARNINGS, source, *self.flags("--cflags"), "-o", program)
            run(program)

    def test_the_library_shows_its_functions_only(self):
        library = os.path.join(self.libraries, "libpelton.so")
        self.assertEqual(os.readlink(library), "libpelton.so.0")
        symbols = {line.split()[-1].split("@")[0] for line in
                   run("nm", "-D", "--defined-only", library).splitlines()
                   if line.split()[1] != "A"}
        with open("include/pelton.h", encoding="utf-8") as file:
            declared = set(re.findall(r"^PELTON_API [^(]*?(pelton_\w+)\(", file.read(), re.M))
        self.assertEqual(symbols, declared)
        needed = run("readelf", "-d", library)
        self.assertIn("SONAME", needed)
        # Neither the server's libraries nor the programs', but in a unity build, whose objects hold
        # whole folders.
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
            if re.search(r"^CMAKE_UNITY_BUILD:\w+=ON$", file.read(), re.M):
                return
        for name in ["libssl", "libcurl", "libboost", "libreadline", "yaml"]:
            self.assertNotIn(name, needed)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
