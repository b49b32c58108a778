"""Few descriptors, a clock that jumps, and a small control group: rows F14 and F15 of
docs/reliability.md.

Usage: limits_test.py PELTON, in the root of the sources. The clock needs Debian's faketime, the
group the permission to make one.
"""

import asyncio
import glob
import json
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from fault_case import MODEL, Server, connect, post, report, run, stream_body
from serve_test import PELTON


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


def make_group():
    """A new control group for memory, and the name of its limit; nothing if we may make none."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        paths = {line.split(":")[1]: line.rstrip("\n").split(":", 2)[2] for line in file}
    for controller, root, limit in [("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                                    ("", "/sys/fs/cgroup", "memory.max")]:
        for parent in (paths.get(controller, ""), ""):
            group = f"{root}{parent.rstrip('/')}/pelton-test-{os.getpid()}"
            try:
                os.mkdir(group)
            except OSError:
                continue
            if os.path.exists(f"{group}/{limit}"):
                return group, limit
            os.rmdir(group)
    return None


class ControlGroupTest(unittest.TestCase):
    def test_f14_a_small_control_group(self):
        made = make_group()
        if made is None:
            self.skipTest("no control group can be made")
        group, limit = made
        reference = None
        served, refused = [], []

        def join():
            with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(os.getpid()))

        try:
            for mib in [512, 256, 160, 64, 32, 16]:
                with open(f"{group}/{limit}", "w", encoding="ascii") as file:
                    file.write(str(mib << 20))
                process = subprocess.Popen([PELTON, "serve", MODEL, "--port", "0", "--ctx", "256"],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                           text=True, preexec_fn=join)
                found = re.search(r":(\d+) ", process.stdout.readline())
                if found:
                    answers = [asyncio.run(post(int(found[1]), "/v1/completions",
                                                stream_body(1, 100))).text() for _ in range(3)]
                    reference = reference or answers[0]
                    self.assertEqual(answers, [reference] * 3)
                    process.send_signal(signal.SIGTERM)
                _, words = process.communicate(timeout=60)
                if found:
                    served.append(mib)
                    self.assertEqual(process.returncode, 0, words)
                else:
                    refused.append(mib)
                    self.assertEqual((process.returncode, words.count("\n")), (4, 1), words)
                    self.assertIn("not enough memory", words)
        finally:
            os.rmdir(group)
        report("F14", f"limits of {served} MiB serve exactly, {refused} MiB end with one sentence")
        self.assertTrue(512 in served and 16 in refused, (served, refused))

    def test_f14_bodies_beyond_a_small_control_group(self):
        made = make_group()
        if made is None:
            self.skipTest("no control group can be made")
        group, limit = made

        def join():
            with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(os.getpid()))

        text = "a b " * (2 << 20)
        bodies = [json.dumps({"model": "tiny", "prompt": text, "max_tokens": 1}),
                  '{"model": "tiny", "prompt": [' + "[],[[]]," * (1 << 20) + "[]]}",
                  '{"model": "tiny", "prompt": [' + "1," * (4 << 20) + "1]}"]
        try:
            with open(f"{group}/{limit}", "w", encoding="ascii") as file:
                file.write(str(160 << 20))
            server = Server("--ctx", "256", before=join)
            try:
                reference = asyncio.run(
                    post(server.port, "/v1/completions", stream_body(1, 100))).text()

                async def flood():
                    large = [post(server.port, "/v1/completions", bodies[i % 3].encode())
                             for i in range(34)]
                    small = [post(server.port, "/v1/completions", stream_body(1, 100))
                             for _ in range(8)]
                    return await asyncio.gather(*large), await asyncio.gather(*small)

                large, small = asyncio.run(flood())
                after = asyncio.run(post(server.port, "/v1/completions", stream_body(1, 100)))
                alone = asyncio.run(post(server.port, "/v1/completions", {
                    "model": "tiny", "prompt": "a b " * (1 << 18), "max_tokens": 1}))
                statuses = [answer.status for answer in large]
                report("F14", f"34 bodies of 8 MiB under a limit of 160 MiB: "
                              f"{statuses.count(400)} refused for what they ask, "
                              f"{statuses.count(503)} with 503, streams beside and after exact")
                self.assertLessEqual(set(statuses), {400, 503}, large)
                self.assertIn(503, statuses)
                self.assertEqual(alone.status, 400, "read, and longer than the context")
                self.assertEqual([answer.text() for answer in [*small, after]], [reference] * 9)
            finally:
                self.assertEqual(server.end(), 0)
        finally:
            os.rmdir(group)


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
