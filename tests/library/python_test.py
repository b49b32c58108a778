"""Builds the wheel of the Python package, installs it into an environment of its own and runs
python_cases.py there.

Usage: python_test.py PELTON, in the root of the sources; PELTON lies in its build folder, whose
libpelton.so the wheel carries. Needs what tools/requirements-python.txt lists in build/venv; without
it the test is skipped (exit code 77).
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

PELTON = os.path.abspath(sys.argv[1])
BUILD = os.path.dirname(PELTON)
PYTHON = os.path.abspath("build/venv/bin/python")


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)


if subprocess.run([PYTHON, "-c", "import nanobind, scikit_build_core"], capture_output=True,
                  check=False).returncode != 0:
    print("skipped: build/venv lacks the packages of tools/requirements-python.txt")
    sys.exit(77)

with tempfile.TemporaryDirectory() as folder:
    settings = [f"--config-settings=build-dir={BUILD}/python",
                f"--config-settings=cmake.define.PELTON_LIBRARY={BUILD}/libpelton.so"]
    environment = dict(os.environ)
    if shutil.which("ccache"):
        environment["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"
    run(PYTHON, "-m", "pip", "wheel", "python/", "--no-build-isolation", "--no-deps", "--no-index",
        "--wheel-dir", folder, *settings, env=environment)
    wheels = glob.glob(f"{folder}/pelton-*.whl")
    assert len(wheels) == 1, wheels
    # Without pip of its own, so that nothing but the wheel is there.
    fresh = os.path.join(folder, "venv")
    run(PYTHON, "-m", "venv", "--without-pip", fresh)
    run(PYTHON, "-m", "pip", f"--python={fresh}/bin/python", "install", "--no-index", "--no-deps",
        *wheels)
    # From elsewhere: only what is installed is found.
    case = os.path.abspath("tests/library/python_cases.py")
    done = subprocess.run([f"{fresh}/bin/python", "-X", "dev", "-W", "error", case, PELTON, folder],
                          cwd=os.getcwd(), check=False)
sys.exit(done.returncode)
