"""What tests of the clients share: a server with a chatting model, and the examples that they ask."""

import importlib.util
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from serve_test import Server  # noqa: E402

from chat_model import write_chat_model  # noqa: E402

KEY = "sk-of-the-clients"
MESSAGES = [{"role": "user", "content": "Name a colour."}]
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"enum": [1, 2, 3]}},
    "required": ["city", "days"], "additionalProperties": False}


VENV = "build/venv/bin/python"


def need(*modules):
    """Goes on in the Python that has the clients; skipped where they are not installed, which
    `make test` does."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return
    if os.path.exists(VENV) and not sys.prefix.endswith("build/venv"):
        os.execv(VENV, [VENV, *sys.argv])
    print(f"{', '.join(missing)}: not installed in {sys.prefix}")
    sys.exit(77)


class ClientCase(unittest.TestCase):
    """Each class has a server of its own."""

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.server = Server(write_chat_model(folder), "--served-model-name", "chatty",
                                "--api-key", KEY, "--ctx", "2048")
        cls.url = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        assert cls.server.end() == 0


def run():
    unittest.main(argv=sys.argv[:1])
