"""What a model gives: `Chunk`s of a stream, an `Output` whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from . import _native
from .errors import of_status

_PROMPT_TOKEN, _TOKEN, _FINISH = 1, 2, 3
_REASONS = {1: "stop", 2: "length", 3: "cancelled", 4: "deadline", 5: "error"}


@dataclasses.dataclass(frozen=True)
class TokenLogprobs:
    """A token, its natural log-probability, and the most probable tokens in its place."""

    id: int
    logprob: float
    top: list[tuple[int, float]]  # id and log-probability, best first


@dataclasses.dataclass
class ToolCall:
    """A call of a tool. `arguments` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a request took."""

    prompt_tokens: int
    cached_tokens: int  # of the prompt, not computed anew
    output_tokens: int
    queue_s: float  # until the first step
    prompt_s: float  # until the first token
    output_s: float  # from the first token to the last


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What became certain with one token; the last chunk of a stream has a finish_reason."""

    text: str
    reasoning: str
    token_id: int | None  # None: of the last chunk
    logprobs: TokenLogprobs | None
    tool_calls: list[ToolCall]  # calls that became complete with this token
    finish_reason: str | None = None  # "stop" or "length"
    usage: Usage | None = None


@dataclasses.dataclass(frozen=True)
class Output:
    """A whole answer."""

    text: str
    reasoning: str  # what a model that reasons thought first
    token_ids: list[int]
    tool_calls: list[ToolCall]
    finish_reason: str  # "stop" or "length"
    stop_index: int | None  # in `stop`, of the text that was found
    logprobs: list[TokenLogprobs] | None
    prompt_logprobs: list[TokenLogprobs] | None  # from the prompt's second token on
    usage: Usage


def _logprobs(event: _native.Event) -> TokenLogprobs:
    return TokenLogprobs(event.id, event.logprob, [(one.id, one.logprob) for one in event.top])


def _usage(event: _native.Event) -> Usage:
    return Usage(event.prompt_tokens, event.cached_tokens, event.output_tokens,
                 event.queue_ns * 1e-9, event.prompt_ns * 1e-9, event.output_ns * 1e-9)


def _check(event: _native.Event) -> None:
    if event.kind == _FINISH and event.status != 0:
        raise of_status(event.status, event.message)


class Calls:
    """Tool calls from their parts, which come in the order of the calls."""

    def __init__(self) -> None:
        self.all: list[ToolCall] = []

    def add(self, event: _native.Event) -> list[ToolCall]:
        """The calls that began with this event."""
        known = len(self.all)
        for part in event.calls:
            if part.index == len(self.all):
                self.all.append(ToolCall(part.id, part.name, ""))
            self.all[part.index].arguments += part.arguments
        return self.all[known:]


def chunk_of(event: _native.Event, calls: Calls, logprobs: bool) -> Chunk | None:
    """None for events that are no part of a stream. Raises if the request failed."""
    _check(event)
    if event.kind == _PROMPT_TOKEN:
        return None
    last = event.kind == _FINISH
    return Chunk(event.text, event.reasoning, None if last else event.id,
                 _logprobs(event) if logprobs and not last else None, calls.add(event),
                 _REASONS[event.finish_reason] if last else None, _usage(event) if last else None)


def output_of(events: Iterable[_native.Event], logprobs: bool, prompt_logprobs: bool) -> Output:
    """Raises if the request failed."""
    calls = Calls()
    text: list[str] = []
    reasoning: list[str] = []
    tokens: list[_native.Event] = []
    prompt: list[_native.Event] = []
    finish = None
    for event in events:
        if event.kind == _PROMPT_TOKEN:
            prompt.append(event)
            continue
        text.append(event.text)
        reasoning.append(event.reasoning)
        calls.add(event)
        if event.kind == _TOKEN:
            tokens.append(event)
        else:
            finish = event
    assert finish is not None, "a request ends with its finish"
    _check(finish)
    return Output("".join(text), "".join(reasoning), [event.id for event in tokens], calls.all,
                  _REASONS[finish.finish_reason],
                  finish.stop_index if finish.stop_index >= 0 else None,
                  [_logprobs(event) for event in tokens] if logprobs else None,
                  [_logprobs(event) for event in prompt] if prompt_logprobs else None,
                  _usage(finish))
