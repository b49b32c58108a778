"""Clients that stream completions from a server, and what they saw.

A request is one POST to /v1/completions with "stream": true; the client notes when each event with
text arrives. Only the standard library is used, and few instructions per event, because clients and
server share the machine.
"""
import asyncio
import dataclasses
import json
import random
import time

WORDS = ("time year people way day man thing woman life child world school state family student "
         "group country problem hand part place case week company system program question work "
         "government number night point home water room mother area money story fact month lot "
         "right study book eye job word business issue side kind head house service friend").split()


@dataclasses.dataclass
class Seen:
    """One answer: seconds from the request to the first token, and between tokens."""
    first: float
    gaps: list
    tokens: int
    ended: float


def prompt(seed, words):
    """A text that shares no beginning with any other seed's; about a token a word."""
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(words))


async def stream(port, body, texts=None, headers=b""):
    """`texts` gets the parts of the answer; `headers` are whole lines."""
    data = json.dumps(body).encode()
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 b"Content-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
                 % (headers, len(data)) + data)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"the server answered {status!r}: {(await reader.read())[-500:]!r}")
    arrivals, done = [], False
    async for line in reader:
        if line.startswith(b"data: [DONE]"):
            done = True
        elif line.startswith(b"data: ") and b'"finish_reason":null' in line:
            arrivals.append(time.perf_counter())
            if texts is not None:
                texts.append(json.loads(line[6:])["choices"][0]["text"])
    writer.close()
    if not done or not arrivals:
        raise RuntimeError("a stream ended before its end")
    gaps = [b - a for a, b in zip(arrivals, arrivals[1:])]
    return Seen(arrivals[0] - started, gaps, len(arrivals), arrivals[-1])


async def client(port, number, requests, words, tokens, seed, seen):
    for i in range(requests):
        body = {"prompt": prompt(f"{seed}/{number}/{i}", words), "max_tokens": tokens,
                "temperature": 0, "ignore_eos": True, "stream": True}
        seen.append(await stream(port, body))


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(port, clients, requests, words, tokens, seed):
    """`clients` at once, each `requests` one after the other. Rates and times in s."""
    seen = []

    async def everybody():
        await asyncio.gather(*(client(port, n, requests, words, tokens, seed, seen)
                               for n in range(clients)))

    started = time.perf_counter()
    asyncio.run(everybody())
    seconds = max(one.ended for one in seen) - started
    gaps = [gap for one in seen for gap in one.gaps]
    return {"tokens/s": sum(one.tokens for one in seen) / seconds,
            "p50 first token": percentile([one.first for one in seen], 0.5),
            "p99 first token": percentile([one.first for one in seen], 0.99),
            "p50 inter-token": percentile(gaps, 0.5),
            "p99 inter-token": percentile(gaps, 0.99)}
