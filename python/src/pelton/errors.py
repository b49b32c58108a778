"""Exceptions, one for each way in which a call can fail. All of them are `Error`."""

from __future__ import annotations


class Error(Exception):
    """A call failed. The message is one sentence: what is wrong, what was found, what is expected."""


class InvalidArgumentError(Error, ValueError):
    """An argument is wrong; the message names it."""


class NotFoundError(Error, LookupError):
    """There is no such model."""


class ResourceExhaustedError(Error, MemoryError):
    """Memory does not suffice, or a prompt is longer than the context."""


class UnavailableError(Error):
    """Too many requests wait. Try again later."""


class DeadlineExceededError(Error, TimeoutError):
    """It did not happen in time."""


class CancelledError(Error):
    """The request was cancelled, or its model was closed."""


class DataLossError(Error):
    """A model file is damaged."""


class UnimplementedError(Error, NotImplementedError):
    """Valid, but not supported by this build."""


class InternalError(Error):
    """An error of Pelton's own."""


# In the order of pelton_code in pelton.h; 0 is no error.
_OF_STATUS = [InternalError, InvalidArgumentError, NotFoundError, ResourceExhaustedError,
              UnavailableError, DeadlineExceededError, CancelledError, DataLossError,
              UnimplementedError, InternalError]


def of_status(status: int, message: str) -> Error:
    """The exception for a failed call of the C interface."""
    return (_OF_STATUS[status] if 0 <= status < len(_OF_STATUS) else InternalError)(message)
