"""Builds the Debian package, unpacks it and runs what it holds.

Usage: package_test.py PELTON, in the root of the sources; PELTON lies in its build folder. Needs
dpkg-deb and dpkg-shlibdeps; without them it says so and is skipped (exit code 77).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PELTON = os.path.abspath(sys.argv[1])
BUILD = os.path.dirname(PELTON)
UNIT = "deploy/systemd/pelton.service"

if shutil.which("dpkg-deb") is None or shutil.which("dpkg-shlibdeps") is None:
    print("skipped: dpkg-deb or dpkg-shlibdeps (package dpkg-dev) is not installed")
    sys.exit(77)


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        run("cpack", "-G", "DEB", "--config", f"{BUILD}/CPackConfig.cmake", "-B", cls.folder.name)
        names = [name for name in os.listdir(cls.folder.name) if name.endswith(".deb")]
        assert len(names) == 1, names
        cls.package = os.path.join(cls.folder.name, names[0])
        cls.root = os.path.join(cls.folder.name, "root")
        run("dpkg-deb", "-x", cls.package, cls.root)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def test_it_names_what_it_needs(self):
        fields = run("dpkg-deb", "-f", self.package)
        self.assertIn("Package: pelton\n", fields)
        self.assertRegex(fields, r"Depends: .*libc6 \(>= ")
        self.assertIn("Recommends: libcurl4", fields)

    def test_the_binary_runs(self):
        binary = os.path.join(self.root, "usr/bin/pelton")
        self.assertEqual(run(binary, "--version"), run(PELTON, "--version"))

    def test_manual_and_completions_are_this_binarys(self):
        for path, kind in [("usr/share/man/man1/pelton.1", "man"),
                           ("usr/share/bash-completion/completions/pelton", "bash"),
                           ("usr/share/zsh/vendor-completions/_pelton", "zsh"),
                           ("usr/share/fish/vendor_completions.d/pelton.fish", "fish")]:
            self.assertEqual(self.text(path), run(PELTON, "completion", kind))
        with open("LICENSE", encoding="utf-8") as file:
            self.assertEqual(self.text("usr/share/doc/pelton/copyright"), file.read())

    # Builds with sanitizers have no shared library.
    @unittest.skipUnless(os.path.exists(os.path.join(os.path.dirname(PELTON), "libpelton.so")),
                         "this build folder has no libpelton.so")
    def test_it_carries_the_library(self):
        with open("include/pelton.h", encoding="utf-8") as file:
            self.assertEqual(self.text("usr/include/pelton.h"), file.read())
        library = os.path.join(self.root, "usr/lib/libpelton.so")
        self.assertTrue(os.path.exists(library))
        self.assertIn("pelton_open", run("nm", "-D", library))
        self.assertIn("-lpelton", run("pkg-config", "--libs", "pelton", env={
            **os.environ, "PKG_CONFIG_PATH": os.path.join(self.root, "usr/lib/pkgconfig")}))

    def test_the_service_is_sound_and_closed(self):
        self.assertIn("DynamicUser=yes", self.text("usr/lib/systemd/system/pelton.service"))
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed")
        unit = os.path.join(self.folder.name, "pelton.service")
        with open(UNIT, encoding="utf-8") as file:
            text = file.read()
        # The program is not installed where this test runs.
        text = text.replace("/usr/bin/pelton", PELTON).replace("man:pelton(1)", "file:/dev/null")
        with open(unit, "w", encoding="utf-8") as file:
            file.write(text)
        self.assertEqual(run("systemd-analyze", "verify", unit), "")
        # 1.5 of 10, where 10 is open.
        run("systemd-analyze", "security", "--offline=yes", "--threshold=20", unit)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
