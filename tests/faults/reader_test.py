"""Clients that hardly read: row F11 of docs/reliability.md.

Usage: reader_test.py PELTON, in the root of the sources.
"""

import asyncio
import threading
import time

from fault_case import MIB, Answer, FaultCase, connect, post, report, request_bytes, run, stream_body

READERS = 50
STALL_SECONDS = 5


class SlowReaderTest(FaultCase):
    options = ("--stall-seconds", str(STALL_SECONDS))

    def slow_body(self, kind):
        # Some megabytes, if all of it were written: more than any kernel holds for a socket.
        return {**stream_body(kind, 900), "logprobs": 80}

    def test_f11_readers_at_one_byte_a_second(self):
        tokens = 200
        for kind in range(8):
            self.reference(kind, tokens)

        async def honest():
            return await asyncio.gather(*[
                post(self.port, "/v1/completions", stream_body(i % 8, tokens)) for i in range(8)])

        asyncio.run(honest())
        files, rss = self.server.files(), self.server.rss()
        cancelled = self.server.finished("cancelled")
        readers = []
        for i in range(READERS):
            client = connect(self.port, 4096)
            client.sendall(request_bytes("/v1/completions", self.slow_body(i)))
            readers.append(client)
        stop = threading.Event()

        def crawl():
            while not stop.wait(1):
                for client in readers:
                    try:
                        client.recv(1)
                    except OSError:
                        pass

        crawler = threading.Thread(target=crawl)
        crawler.start()
        try:
            growth, answers, held = 0, [], 0
            begin = time.monotonic()
            while self.server.metric("pelton_http_requests_active") > 1:
                for i, answer in enumerate(asyncio.run(honest())):
                    self.assert_exact(answer, i % 8, tokens)
                    answers.append(answer)
                growth = max(growth, self.server.rss() - rss)
                held = max(held, int(self.server.metric("pelton_requests_held")))
                self.assertLess(time.monotonic() - begin, 300)
            seconds = time.monotonic() - begin
        finally:
            stop.set()
            crawler.join()
            for client in readers:
                client.close()
        self.wait_for_rest(files)
        self.assertEqual(self.server.finished("cancelled") - cancelled, READERS)
        each = growth / READERS
        report("F11", f"{READERS} readers at 1 byte/s: {growth / MIB:.1f} MiB more, "
                      f"{each / 1024:.0f} KiB each with its sequence, {held} sequences held; all cut off within {seconds:.0f} s at a limit of {STALL_SECONDS} s; "
                      f"{len(answers)} other streams exact")
        self.assertGreater(held, 0)
        # 64 KiB of text, and what a sequence is in the engine.
        self.assertLessEqual(each, (64 + 32) << 10)

    def test_a_reader_that_pauses_gets_everything(self):
        """What is held goes on where it was, with the same tokens."""
        body = {**stream_body(3, 300, n=12), "logprobs": 3}
        whole = asyncio.run(post(self.port, "/v1/completions", body))
        self.assertTrue(whole.whole)
        parts = lambda answer: sorted(
            ((c["index"], c["text"]) for e in answer.events() for c in e["choices"]),
            key=lambda part: part[0])
        joined = lambda answer: {i: "".join(t for index, t in parts(answer) if index == i)
                                 for i in range(12)}
        held = 0
        for _ in range(3):
            client = connect(self.port, 4096)
            client.sendall(request_bytes("/v1/completions", body))
            answer = Answer()
            pauses = 0
            client.settimeout(120)
            while True:
                if pauses < 4 and len(answer.raw) >= pauses * 20000:
                    time.sleep(0.5)
                    held = max(held, int(self.server.metric("pelton_requests_held")))
                    pauses += 1
                data = client.recv(4096)
                if not data:
                    break
                answer.take(data)
            client.close()
            answer.parse()
            self.assertTrue(answer.whole)
            self.assertEqual(joined(answer), joined(whole))
        self.assertGreater(held, 0)


if __name__ == "__main__":
    run()
