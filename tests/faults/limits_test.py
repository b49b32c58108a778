"""Few descriptors and a clock that jumps: row F15 of docs/reliability.md.

Usage: limits_test.py PELTON, in the root of the sources. The clock needs Debian's faketime.
"""

import asyncio
import glob
import os
import resource
import tempfile
import threading
import time
import unittest

from fault_case import Server, connect, post, report, run, stream_body


class DescriptorTest(unittest.TestCase):
    def test_f15_few_descriptors(self):
        server = Server("--ctx", "1024", before=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (256, 256)))
        try:
            reference = asyncio.run(post(server.port, "/v1/completions", stream_body(1, 32))).text()
            clients = []
            for _ in range(400):
                try:
                    client = connect(server.port)
                except OSError:
                    break
                client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                clients.append(client)
            time.sleep(0.5)
            refused = 0
            for client in clients:
                client.settimeout(20)
                try:
                    refused += client.recv(100)[9:12] != b"200"
                except OSError:
                    refused += 1
            before = server.cpu_seconds()
            time.sleep(3)
            share = (server.cpu_seconds() - before) / 3
            for client in clients:
                client.close()
            again = asyncio.run(post(server.port, "/v1/completions", stream_body(1, 32)))
            report("F15", f"{server.files()} descriptors of 256, {len(clients)} connections: {refused} "
                          f"refused, {share:.0%} CPU meanwhile, served again afterwards")
            self.assertGreater(refused, 0)
            self.assertLessEqual(share, 0.2)
            self.assertEqual(again.text(), reference)
        finally:
            self.assertEqual(server.end(), 0)


LIBRARY = (glob.glob("/usr/lib/*/faketime/libfaketime.so.1") or [""])[0]


@unittest.skipUnless(LIBRARY, "faketime is missing")
class ClockTest(unittest.TestCase):
    def test_f15_a_clock_that_jumps(self):
        with tempfile.TemporaryDirectory() as folder:
            offset = os.path.join(folder, "offset")

            def jump(text):
                with open(offset, "w", encoding="ascii") as file:
                    file.write(text)

            jump("+0")
            # Only the clock of the day jumps, as when somebody sets it.
            os.environ.update(LD_PRELOAD=LIBRARY, FAKETIME_TIMESTAMP_FILE=offset,
                              FAKETIME_NO_CACHE="1", DONT_FAKE_MONOTONIC="1")
            try:
                server = Server("--ctx", "1024", "--parallel", "64")
            finally:
                for name in ["LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE",
                             "DONT_FAKE_MONOTONIC"]:
                    os.environ.pop(name)
            try:
                reference = asyncio.run(
                    post(server.port, "/v1/completions", stream_body(1, 600))).text()
                done = threading.Event()

                def jumps():
                    for text in ["+3600", "-3600", "+0"] * 100:
                        jump(text)
                        if done.wait(0.05):
                            return

                jumper = threading.Thread(target=jumps)
                jumper.start()

                async def streams():
                    return await asyncio.gather(*[
                        post(server.port, "/v1/completions", stream_body(1, 600), [
                            ("X-Request-Timeout-Ms", "600000")]) for _ in range(32)])

                answers = []
                for _ in range(4):
                    answers += asyncio.run(streams())
                done.set()
                jumper.join()
                for answer in answers:
                    self.assertEqual((answer.status, answer.text()), (200, reference))
                before = server.cpu_seconds()
                time.sleep(2)
                share = (server.cpu_seconds() - before) / 2
                report("F15", f"clock of the day 1 h on and back beside {len(answers)} streams: all "
                              f"exact, none timed out; {share:.0%} CPU at rest")
                self.assertLessEqual(share, 0.2)
            finally:
                self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    run()
