#!/usr/bin/env python3
"""OpenVINO GenAI's side of compare.py: one fresh process for each call, one JSON object on stdout.

    openvino_bench.py MODEL.gguf THREADS single PROMPT_TOKENS GENERATED
    openvino_bench.py MODEL.gguf THREADS batched GENERATED BATCH[,BATCH...]
    openvino_bench.py MODEL.gguf THREADS start PROMPT TOKENS    (prints the text as it comes)

Prompts are random token ids, as in llama-bench, and never the same: the prefix cache would know
them. Decode rates leave out the prompts' time: that of a run of one token is taken off.
"""
import json
import sys
import time

import numpy
import openvino
import openvino_genai

SEQUENCE_PROMPT = 16
LEAST_ID, MOST_ID = 300, 10000  # ordinary tokens of every vocabulary that is measured
RANDOM = numpy.random.default_rng()


def pipeline(model, threads):
    return openvino_genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)


def seconds(pipe, rows, length, generated):
    ids = RANDOM.integers(LEAST_ID, MOST_ID, (rows, length), dtype=numpy.int64)
    mask = numpy.ones_like(ids)
    inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(mask))
    start = time.perf_counter()
    out = pipe.generate(inputs, max_new_tokens=generated, min_new_tokens=generated,
                        ignore_eos=True, do_sample=False, apply_chat_template=False)
    took = time.perf_counter() - start
    if any(len(tokens) != generated for tokens in out.tokens):
        raise RuntimeError("an answer has another length than was asked for")
    return took


def main():
    model, threads, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    pipe = pipeline(model, threads)
    rates = {}
    if mode == "single":
        prompt, generated = int(sys.argv[4]), int(sys.argv[5])
        seconds(pipe, 1, prompt, 1)  # the first run compiles kernels for its shape
        rates[f"pp{prompt}"] = prompt / seconds(pipe, 1, prompt, 1)
        seconds(pipe, 1, 2, 4)
        first = seconds(pipe, 1, 2, 1)
        rates[f"tg{generated}"] = (generated - 1) / (seconds(pipe, 1, 2, generated) - first)
    elif mode == "batched":
        generated = int(sys.argv[4])
        for batch in map(int, sys.argv[5].split(",")):
            seconds(pipe, batch, SEQUENCE_PROMPT, 4)
            first = seconds(pipe, batch, SEQUENCE_PROMPT, 1)
            took = seconds(pipe, batch, SEQUENCE_PROMPT, generated) - first
            rates[f"tg{generated}@{batch}"] = batch * (generated - 1) / took
    else:
        prompt, tokens = sys.argv[4], int(sys.argv[5])
        pipe.generate(prompt, streamer=lambda piece: print(piece, end="", flush=True),
                      max_new_tokens=tokens, do_sample=False, apply_chat_template=False)
        return
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
