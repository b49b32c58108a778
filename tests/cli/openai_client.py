"""OpenAI's own client, for tests that ask the server as its users do.

Importing this runs the test in build/venv, where tools/setup puts the client, and skips the test if
it is not there.
"""

import os
import sys

PYTHON = os.path.abspath("build/venv/bin/python")
if os.path.exists(PYTHON) and "PELTON_TEST_VENV" not in os.environ:
    os.environ["PELTON_TEST_VENV"] = "1"
    os.execv(PYTHON, [PYTHON, *sys.argv])
try:
    import openai
    import pydantic
except ImportError:
    print("OpenAI's client is not here; tools/setup test python installs it")
    sys.exit(77)


def connect(server, key="none"):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=key, max_retries=0,
                         timeout=300)


def unknown_members(value, known=()):
    """Names of members that the client's types do not have, as far down as there are models."""
    names = set()
    if isinstance(value, pydantic.BaseModel):
        names |= set(value.model_extra or {})
        for name in type(value).model_fields:
            names |= unknown_members(getattr(value, name))
    elif isinstance(value, (list, tuple)):
        for one in value:
            names |= unknown_members(one)
    return names - set(known)
