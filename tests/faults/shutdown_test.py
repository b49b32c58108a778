"""Signals while streams run: row F13 of docs/reliability.md.

Usage: shutdown_test.py PELTON, in the root of the sources.
"""

import asyncio
import re
import signal
import time
import unittest

from fault_case import Server, connect, get, post, report, request_bytes, run, stream_body

STREAMS = 64
KINDS = 8
TOKENS = 400


class ShutdownTest(unittest.TestCase):
    def start(self, *options):
        return Server("--ctx", "1024", "--kv-tokens", "65536", "--parallel", str(STREAMS), *options)

    def close(self, server):
        server.process.stdout.close()
        server.process.stderr.close()

    def round(self, references):
        server = self.start("--drain-seconds", "120")
        if not references:
            references.update({
                kind: asyncio.run(post(server.port, "/v1/completions",
                                       stream_body(kind, TOKENS))).text()
                for kind in range(KINDS)})
        noticed = []

        async def streams():
            tasks = [asyncio.create_task(post(server.port, "/v1/completions",
                                              stream_body(i % KINDS, TOKENS)))
                     for i in range(STREAMS)]
            while True:
                metrics = await get(server.port, "/metrics")
                if re.search(rb"^pelton_requests_running{[^\n]*} [1-9]", metrics.body, re.M):
                    break
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            while True:
                answer = await get(server.port, "/ready")
                if answer.status == 503:
                    break
                if time.monotonic() - begin > 10:
                    break
            noticed.append(time.monotonic() - begin)
            refused = await post(server.port, "/v1/completions", stream_body(0, 1))
            return await asyncio.gather(*tasks), refused

        answers, refused = asyncio.run(streams())
        self.assertEqual(refused.status, 503)
        self.assertIn("retry-after", refused.headers)
        for i, answer in enumerate(answers):
            self.assertTrue(answer.whole)
            self.assertEqual(answer.text(), references[i % KINDS])
        self.assertEqual(server.process.wait(timeout=60), 0)
        self.close(server)
        return noticed[0]

    def test_f13_streams_finish_and_new_work_is_refused(self):
        references = {}
        noticed = [self.round(references) for _ in range(5)]
        report("F13", f"5 x SIGTERM with {STREAMS} streams: all exact, exit 0; /ready says 503 after "
                      f"{max(noticed) * 1e3:.0f} ms at most, beside {STREAMS} streams of one client")
        self.assertLessEqual(min(noticed), 0.1)

    def test_f13_a_second_signal_ends_at_once(self):
        slowest = 0
        for _ in range(5):
            server = self.start()
            clients = []
            for i in range(8):
                client = connect(server.port)
                client.sendall(request_bytes("/v1/completions", stream_body(i, 900, n=60)))
                client.recv(100)
                clients.append(client)
            server.process.send_signal(signal.SIGTERM)
            while server.ask("/ready")[0] != 503:
                pass
            self.assertIsNone(server.process.poll())
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(timeout=60), 0)
            slowest = max(slowest, time.monotonic() - begin)
            for client in clients:
                data = b""
                try:
                    while piece := client.recv(1 << 16):
                        data = piece
                except ConnectionError:
                    pass
                # A stream that was cut does not look like a whole one.
                self.assertFalse(data.endswith(b"0\r\n\r\n"))
                client.close()
            self.close(server)
        report("F13", f"5 x second SIGTERM: exit within {slowest * 1e3:.0f} ms")
        self.assertLessEqual(slowest, 1)


if __name__ == "__main__":
    run()
