"""A model in this process: `LLM`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any, overload

from . import _native
from .errors import InvalidArgumentError
from .results import Calls, Chunk, Output, chunk_of, output_of
from .sampling import Sampling

Message = Mapping[str, Any]
Prompt = str | Sequence[int]  # a text, or token ids

_EMBED_TEXTS = 64  # at a time, so that Control-C is heard between


class LLM:
    """A language model or an encoder, ready to run.

    `model` is a GGUF file, a folder as Hugging Face lays it out, or a name in the store ("smollm2").
    Any thread may call any method. Requests of all threads and tasks run as one continuous batch of
    at most `max_sequences`. The interpreter's lock is free while a call waits, and Control-C ends the
    wait. An object that was made before a fork refuses to work in the child.
    """

    def __init__(self, model: str | os.PathLike[str], *, threads: int = 0, context_tokens: int = 0,
                 kv_tokens: int = 0, step_tokens: int = 512, max_sequences: int = 32,
                 max_queued: int = 1 << 20, numerics: str = "fast", invariant: bool = True,
                 speculate: str = "auto", draft_model: str | os.PathLike[str] | None = None,
                 prefix_cache: bool = True, weights: str = "stored", kv_cache_dtype: str = "auto",
                 packed_cache_folder: str | os.PathLike[str] | None = None,
                 models_folder: str | os.PathLike[str] | None = None) -> None:
        """Opens the model, which takes up to some seconds.

        threads: that compute; 0 for one per core. context_tokens: the longest sequence; 0 for what
        model and memory allow. kv_tokens: size of the cache; 0 for contexts for all sequences, up to
        half the memory. step_tokens: most rows of one step. numerics: "fast" or "exact". invariant:
        False for the fastest kernels, whose results may depend on the batch. speculate: "ngram",
        "mtp", "draft", "off", "auto". draft_model: a smaller model with the same vocabulary, which
        guesses next tokens. weights: in memory, "stored" as in the file, or "w8" for 8 bits and
        faster prompts. kv_cache_dtype: "f32", "f16", "q8", "fp8", "auto". packed_cache_folder: keeps
        packed weights, which later calls map. models_folder: the store.
        """
        self._model = _native.Model(
            os.fspath(model), models_folder=None if models_folder is None else os.fspath(models_folder),
            threads=threads, context_tokens=context_tokens, kv_tokens=kv_tokens,
            step_tokens=step_tokens, max_sequences=max_sequences, max_queued=max_queued,
            numerics=numerics, invariant=invariant, speculate=speculate,
            draft_model=None if draft_model is None else os.fspath(draft_model),
            prefix_cache=prefix_cache, weights=weights, kv_cache_dtype=kv_cache_dtype,
            packed_cache_folder=None if packed_cache_folder is None
            else os.fspath(packed_cache_folder))

    def close(self) -> None:
        """Ends all requests and frees the model. Any number of times."""
        self._model.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def info(self) -> _native.Info:
        """What the model is: architecture, vocab_size, context_tokens, ..."""
        return self._model.info()

    # --- Whole answers

    @overload
    def generate(self, prompts: str, sampling: Sampling | None = ..., **fields: Any) -> Output: ...

    @overload
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling | Sequence[Sampling] | None = ...,
                 **fields: Any) -> list[Output]: ...

    def generate(self, prompts: Prompt | Sequence[Prompt],
                 sampling: Sampling | Sequence[Sampling] | None = None,
                 **fields: Any) -> Output | list[Output]:
        """Continues each prompt, a text or a list of token ids, as it is.

        A list of prompts runs as one batch and gives a list in its order; a single prompt gives its
        output. `sampling` is for all, or a list with one for each; `fields` are fields of Sampling
        that replace its own. The first request that fails raises, and ends the others.
        """
        single = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], int))
        batch = [prompts] if single else list(prompts)  # type: ignore[list-item]
        outputs = self._run([self._prompt_fields(prompt) for prompt in batch], sampling, fields)
        return outputs[0] if single else outputs

    @overload
    def chat(self, messages: Sequence[Message], sampling: Sampling | None = ..., *,
             tools: Sequence[Mapping[str, Any]] | None = ..., tool_choice: str = ...,
             parallel_tool_calls: bool = ..., template_args: Mapping[str, Any] | None = ...,
             **fields: Any) -> Output: ...

    @overload
    def chat(self, messages: Sequence[Sequence[Message]],
             sampling: Sampling | Sequence[Sampling] | None = ..., *,
             tools: Sequence[Mapping[str, Any]] | None = ..., tool_choice: str = ...,
             parallel_tool_calls: bool = ..., template_args: Mapping[str, Any] | None = ...,
             **fields: Any) -> list[Output]: ...

    def chat(self, messages: Sequence[Message] | Sequence[Sequence[Message]],
             sampling: Sampling | Sequence[Sampling] | None = None, *,
             tools: Sequence[Mapping[str, Any]] | None = None, tool_choice: str = "auto",
             parallel_tool_calls: bool = True, template_args: Mapping[str, Any] | None = None,
             **fields: Any) -> Output | list[Output]:
        """Answers a chat: a list of messages with role and content, through the model's template.

        A list of chats runs as one batch. `tools` are in OpenAI's form; `tool_choice` is "auto",
        "none", "required" or a tool's name. `template_args` are further variables of the template.
        """
        single = len(messages) == 0 or isinstance(messages[0], Mapping)
        chats = [messages] if single else list(messages)
        outputs = self._run(
            [self._chat_fields(chat, tools, tool_choice, parallel_tool_calls, template_args)
             for chat in chats], sampling, fields)
        return outputs[0] if single else outputs

    # --- Streams

    def stream(self, prompt: Prompt, sampling: Sampling | None = None,
               **fields: Any) -> Generator[Chunk, None, None]:
        """Continues a prompt, and gives each token's chunk when it is there. Closing the generator,
        as leaving its loop does, ends the request."""
        return self._stream(self._prompt_fields(prompt), _one(sampling, fields))

    def stream_chat(self, messages: Sequence[Message], sampling: Sampling | None = None, *,
                    tools: Sequence[Mapping[str, Any]] | None = None, tool_choice: str = "auto",
                    parallel_tool_calls: bool = True, template_args: Mapping[str, Any] | None = None,
                    **fields: Any) -> Generator[Chunk, None, None]:
        """`stream` for a chat."""
        return self._stream(
            self._chat_fields(messages, tools, tool_choice, parallel_tool_calls, template_args),
            _one(sampling, fields))

    def astream(self, prompt: Prompt, sampling: Sampling | None = None,
                **fields: Any) -> AsyncGenerator[Chunk, None]:
        """`stream` for `async for`. Other tasks run while it waits; cancelling the task, or aclose,
        ends the request."""
        return self._astream(self._prompt_fields(prompt), _one(sampling, fields))

    def astream_chat(self, messages: Sequence[Message], sampling: Sampling | None = None, *,
                     tools: Sequence[Mapping[str, Any]] | None = None, tool_choice: str = "auto",
                     parallel_tool_calls: bool = True,
                     template_args: Mapping[str, Any] | None = None,
                     **fields: Any) -> AsyncGenerator[Chunk, None]:
        """`astream` for a chat."""
        return self._astream(
            self._chat_fields(messages, tools, tool_choice, parallel_tool_calls, template_args),
            _one(sampling, fields))

    # --- Embeddings, text and tokens

    @overload
    def embed(self, texts: str, *, dimensions: int = ..., normalize: bool | None = ...,
              truncate_tokens: int = ...) -> list[float]: ...

    @overload
    def embed(self, texts: Sequence[str], *, dimensions: int = ..., normalize: bool | None = ...,
              truncate_tokens: int = ...) -> list[list[float]]: ...

    def embed(self, texts: str | Sequence[str], *, dimensions: int = 0,
              normalize: bool | None = None,
              truncate_tokens: int = 0) -> list[float] | list[list[float]]:
        """The vector of a text, or of each text of a list, from an encoder.

        dimensions: the first so many numbers; 0 for all. normalize: to a length of 1; None for what
        the model's files say. truncate_tokens: longer texts are cut; 0 refuses them.
        """
        batch = [texts] if isinstance(texts, str) else list(texts)
        vectors: list[list[float]] = []
        for i in range(0, len(batch), _EMBED_TEXTS):
            some, _ = self._model.embed(batch[i: i + _EMBED_TEXTS], dimensions=dimensions,
                                        normalize=normalize, truncate_tokens=truncate_tokens)
            vectors.extend(some)
        return vectors[0] if isinstance(texts, str) else vectors

    def tokenize(self, text: str, *, add_special: bool = False,
                 parse_special: bool = False) -> list[int]:
        """Token ids. add_special: with what the model expects around a text. parse_special: the text
        of a control token is that token."""
        return self._model.tokenize(text, add_special, parse_special)

    def detokenize(self, ids: Sequence[int], *, keep_special: bool = False) -> str:
        """The text of token ids, with control tokens or without."""
        return self._model.detokenize(list(ids), keep_special)

    def render_chat(self, messages: Sequence[Message], *,
                    tools: Sequence[Mapping[str, Any]] | None = None,
                    template_args: Mapping[str, Any] | None = None,
                    add_generation_prompt: bool = True) -> str:
        """The prompt that the model's template makes of a chat."""
        return self._model.render_chat(json.dumps(list(messages)), _json(tools), _json(template_args),
                                       add_generation_prompt)

    # --- Inside

    @staticmethod
    def _prompt_fields(prompt: Prompt) -> dict[str, Any]:
        if isinstance(prompt, str):
            return {"prompt": prompt}
        return {"prompt_ids": list(prompt)}

    @staticmethod
    def _chat_fields(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None,
                     tool_choice: str, parallel_tool_calls: bool,
                     template_args: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"messages_json": json.dumps(list(messages)), "tools_json": _json(tools),
                "tool_choice": tool_choice, "parallel_tool_calls": parallel_tool_calls,
                "template_args_json": _json(template_args)}

    def _run(self, prompts: list[dict[str, Any]], sampling: Sampling | Sequence[Sampling] | None,
             fields: dict[str, Any]) -> list[Output]:
        if sampling is None or isinstance(sampling, Sampling):
            each = [_one(sampling, fields)] * len(prompts)
        else:
            each = [_one(one, fields) for one in sampling]
        if len(each) != len(prompts):
            raise InvalidArgumentError(f"sampling: found {len(each)}, expected one for each of the "
                                       f"{len(prompts)} prompts")
        with contextlib.ExitStack() as stack:
            requests = []
            for prompt, one in zip(prompts, each):
                request = self._model.submit(**prompt, **one._native())
                stack.callback(request.close)
                requests.append(request)
            return [output_of(request.collect(), one.logprobs is not None,
                              one.prompt_logprobs is not None)
                    for request, one in zip(requests, each)]

    def _stream(self, prompt: dict[str, Any], sampling: Sampling) -> Generator[Chunk, None, None]:
        request = self._model.submit(**prompt, **sampling._native())
        calls = Calls()
        try:
            while (event := request.next()) is not None:
                chunk = chunk_of(event, calls, sampling.logprobs is not None)
                if chunk is not None:
                    yield chunk
        finally:
            request.close()

    async def _astream(self, prompt: dict[str, Any],
                       sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        # It tokenises, and may compile a grammar, which takes time.
        submitting = asyncio.ensure_future(
            asyncio.to_thread(self._model.submit, **prompt, **sampling._native()))
        try:
            request = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # The thread goes on; what it started must not.
            submitting.add_done_callback(_close_result)
            raise
        calls = Calls()
        try:
            finished = False
            while not finished:
                event = request.next(0)
                if event is None:
                    await _readable(request.fd())
                    continue
                chunk = chunk_of(event, calls, sampling.logprobs is not None)
                if chunk is not None:
                    finished = chunk.finish_reason is not None
                    yield chunk
        finally:
            request.close()


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _one(sampling: Sampling | None, fields: dict[str, Any]) -> Sampling:
    return dataclasses.replace(sampling or Sampling(), **fields)


def _close_result(submitting: asyncio.Future[_native.Request]) -> None:
    if not submitting.cancelled() and submitting.exception() is None:
        submitting.result().close()


async def _readable(fd: int) -> None:
    """Returns when the descriptor can be read."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)
