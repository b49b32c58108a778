"""What to generate: `Sampling`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import InvalidArgumentError

# As in pelton.h.
_JSON_OBJECT, _JSON_SCHEMA, _REGEX, _CHOICE, _GRAMMAR, _STRUCTURAL_TAG = range(1, 7)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an answer is drawn, and where it ends.

    `None` stands for what the model's authors advise, else for what changes nothing; a temperature
    that nobody advises is 0. At most one of the last six fields may be given: what the output must
    be.
    """

    temperature: float | None = None  # below 0.001: the most probable token
    top_p: float | None = None
    top_k: int | None = None  # 0: all
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window: int = 64  # tokens that penalties look back; -1: all
    logit_bias: Mapping[int, float] | None = None  # token id to what is added
    seed: int | None = None  # None: another one for each request

    max_tokens: int | None = 1024  # None: until the context is full
    min_tokens: int = 0
    stop: str | Sequence[str] = ()  # texts that end the output and are no part of it
    stop_ids: Sequence[int] = ()
    ignore_eos: bool = False

    logprobs: int | None = None  # so many alternatives of each token; 0: its own only
    prompt_logprobs: int | None = None

    cache_salt: str = ""  # only requests of equal salts share cached prefixes
    service_class: str = "standard"  # "realtime", "standard", "batch", "background"

    json_object: bool = False  # any JSON object
    json_schema: Mapping[str, Any] | str | None = None
    regex: str | None = None
    choice: Sequence[str] | None = None
    grammar: str | None = None  # GBNF
    structural_tag: Mapping[str, Any] | str | None = None

    def _constraint(self) -> tuple[int, str]:
        def text(value: Any) -> str:
            return value if isinstance(value, str) else json.dumps(value)

        given = [("json_object", _JSON_OBJECT, self.json_object or None),
                 ("json_schema", _JSON_SCHEMA, self.json_schema),
                 ("regex", _REGEX, self.regex),
                 ("choice", _CHOICE, None if self.choice is None else list(self.choice)),
                 ("grammar", _GRAMMAR, self.grammar),
                 ("structural_tag", _STRUCTURAL_TAG, self.structural_tag)]
        given = [entry for entry in given if entry[2] is not None]
        if len(given) > 1:
            names = " and ".join(name for name, _, _ in given)
            raise InvalidArgumentError(f"{names} are given, expected at most one")
        if not given:
            return 0, ""
        _, kind, value = given[0]
        return kind, "" if kind == _JSON_OBJECT else text(value)

    def _native(self) -> dict[str, Any]:
        """The arguments of the module's submit."""
        constraint, constraint_text = self._constraint()
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                  if field.name not in ("json_object", "json_schema", "regex", "choice", "grammar",
                                        "structural_tag")}
        shared["logit_bias"] = list((self.logit_bias or {}).items())
        shared["stop"] = [self.stop] if isinstance(self.stop, str) else list(self.stop)
        shared["stop_ids"] = list(self.stop_ids)
        return {**shared, "constraint": constraint, "constraint_text": constraint_text}
