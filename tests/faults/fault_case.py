"""What tests of faults share: a server whose state they can see, and clients that do as told.

Each row of docs/reliability.md is a test here; it prints its figures as "ROW: ...". Streams are
compared with what the same request gave on an idle server.
"""

import asyncio
import json
import os
import random
import resource
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from serve_test import MODEL, Server as PlainServer  # noqa: E402

MIB = 1 << 20
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def report(row, text):
    print(f"{row}: {text}", flush=True)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Server(PlainServer):
    def __init__(self, *options, model=MODEL, before=None):
        # Invariant: what a request gets does not depend on who else is there, on any processor. One
        # thread is enough for this model, and its steps wait for no other thread on a busy machine.
        super().__init__(model, "--served-model-name", "tiny", "--invariant", "on", "--threads", "1",
                         *options, before=before)
        self.pid = self.process.pid

    def status(self, field):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))

    def rss(self):
        return self.status("VmRSS") << 10

    def threads(self):
        return self.status("Threads")

    def files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def finished(self, reason):
        return int(self.metric(f'pelton_requests_finished_total{{reason="{reason}"}}'))

    def busy(self):
        """What is not given back, by name; empty at rest."""
        names = ["pelton_requests_running", "pelton_requests_waiting", "pelton_requests_held",
                 "pelton_kv_blocks_held"]
        left = {name: int(self.metric(name)) for name in names}
        left["active"] = int(self.metric("pelton_http_requests_active")) - 1  # but this one
        return {name: value for name, value in left.items() if value}


class Answer:
    """What a client got: status, headers, the body so far, when each piece came."""

    def __init__(self):
        self.started = time.monotonic()
        self.raw = bytearray()
        self.times = []
        self.lengths = []
        self.reset = False

    def take(self, data):
        self.raw += data
        self.times.append(time.monotonic())
        self.lengths.append(len(self.raw))

    def parse(self):
        head, _, rest = bytes(self.raw).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else 0
        self.headers = {k.lower(): v.strip() for k, _, v in
                        (line.partition(":") for line in lines[1:])}
        self.whole = False
        if self.headers.get("transfer-encoding") != "chunked":
            self.body = rest
            self.whole = len(rest) == int(self.headers.get("content-length", -1))
            return self
        body = bytearray()
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if not size:
                break
            length = int(size, 16)
            if length == 0:
                self.whole = True
                break
            body += rest[:length]
            rest = rest[length + 2:]
        self.body = bytes(body)
        return self

    def events(self):
        events = [part[6:] for part in self.body.decode().split("\n\n") if part.startswith("data: ")]
        return [json.loads(event) for event in events if event != "[DONE]"]

    def text(self):
        return "".join(c["text"] for event in self.events() for c in event.get("choices", []))

    def gaps(self):
        """Times between pieces, the first left out."""
        return [b - a for a, b in zip(self.times[1:], self.times[2:])]


def request_bytes(path, body, headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers)
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + data


async def post(port, path, body, headers=(), until=None):
    """Asks and reads to the end, or until `until(answer)` is true, and leaves then."""
    answer = Answer()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        writer.write(request_bytes(path, body, headers))
        while True:
            data = await reader.read(1 << 16)
            if not data:
                break
            answer.take(data)
            if until is not None and until(answer):
                break
    except ConnectionError:
        answer.reset = True
    finally:
        writer.close()
    return answer.parse()


async def get(port, path):
    answer = Answer()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer.take(await reader.read())
    writer.close()
    return answer.parse()


def connect(port, receive_buffer=None):
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect(("127.0.0.1", port))
    return client


def vanish(client):
    """Leaves with a reset, as a process does that is killed with data unread."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def prompt_of(i):
    return [3 + (i * 7 + j * 11) % 310 for j in range(4 + i % 13)]


def stream_body(i, tokens, **more):
    """The i-th request; some are greedy, others drawn with a seed."""
    how = {"temperature": 0} if i % 2 else {"temperature": 0.9, "seed": i}
    return {"prompt": prompt_of(i), "max_tokens": tokens, "ignore_eos": True, "stream": True,
            "stream_options": {"include_usage": True}, **how, **more}


class FaultCase(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--ctx", "1024", "--kv-tokens", "65536", *cls.options)
        cls.port = cls.server.port
        cls.references = {}

    @classmethod
    def tearDownClass(cls):
        if cls.server.process.poll() is not None:
            print(cls.server.process.stderr.read()[-3000:])
        assert cls.server.end() == 0

    def reference(self, i, tokens):
        """The text of stream_body(i, tokens), asked alone."""
        if (i, tokens) not in self.references:
            answer = asyncio.run(post(self.port, "/v1/completions", stream_body(i, tokens)))
            self.references[i, tokens] = answer.text()
        return self.references[i, tokens]

    def assert_exact(self, answer, i, tokens):
        """The stream is the reference: no token lost, doubled or of another stream."""
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.whole, f"stream {i} was cut")
        self.assertTrue(answer.body.endswith(b"data: [DONE]\n\n"))
        self.assertEqual(answer.body.count(b"data: [DONE]"), 1)
        events = answer.events()
        reasons = [c["finish_reason"] for e in events for c in e["choices"] if c["finish_reason"]]
        self.assertEqual(reasons, ["length"])
        usage = [e["usage"] for e in events if e.get("usage")]
        self.assertEqual([u["completion_tokens"] for u in usage], [tokens])
        self.assertEqual(answer.text(), self.references[i, tokens])

    def wait_for_rest(self, files, seconds=20):
        """Everything is given back: requests, KV blocks, descriptors."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.server.busy() and self.server.files() <= files:
                return
            time.sleep(0.05)
        self.fail(f"not given back: {self.server.busy()}, {self.server.files()} files of {files}")

    def idle_latency(self, count=100):
        """How long a request that costs nothing takes on this machine now: its 99th percentile."""
        times = []
        for _ in range(count):
            begin = time.monotonic()
            self.server.ask("/health")
            times.append(time.monotonic() - begin)
        return percentile(times, 0.99)

    def allowed(self, seconds):
        """A limit on a duration, widened where other programs take the machine's time."""
        return max(seconds, 20 * self.idle_latency())


def shuffled(values, seed):
    values = list(values)
    random.Random(seed).shuffle(values)
    return values


def run():
    unittest.main(argv=sys.argv[:1])
