"""Pelton: language models and encoders on the CPU.

    with pelton.LLM("smollm2") as llm:
        print(llm.chat([{"role": "user", "content": "Name a colour."}]).text)
"""

from ._native import Info, version
from .errors import (CancelledError, DataLossError, DeadlineExceededError, Error, InternalError,
                     InvalidArgumentError, NotFoundError, ResourceExhaustedError, UnavailableError,
                     UnimplementedError)
from .llm import LLM
from .results import Chunk, Output, TokenLogprobs, ToolCall, Usage
from .sampling import Sampling

__version__ = version()

__all__ = ["CancelledError", "Chunk", "DataLossError", "DeadlineExceededError", "Error", "Info",
           "InternalError", "InvalidArgumentError", "LLM", "NotFoundError", "Output",
           "ResourceExhaustedError", "Sampling", "TokenLogprobs", "ToolCall", "UnavailableError",
           "UnimplementedError", "Usage", "__version__"]
