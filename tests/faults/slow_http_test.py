"""slowhttptest of Debian against `pelton serve`: row F12 of docs/reliability.md.

Usage: slow_http_test.py PELTON [SECONDS], in the root of the sources; skipped without the program.
"""

import asyncio
import shutil
import subprocess
import sys
import time

from fault_case import FaultCase, percentile, post, report, run, stream_body

if shutil.which("slowhttptest") is None:
    print("slowhttptest is missing")
    sys.exit(77)

SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
CONNECTIONS = 500
MODES = {"header": ["-H", "-i", "2"], "body": ["-B", "-i", "2", "-s", "8192"],
         "read": ["-X", "-w", "1", "-y", "8", "-z", "4", "-k", "3"]}


class SlowHttpTest(FaultCase):
    def test_f12_honest_clients_are_served_meanwhile(self):
        tokens = 64
        for kind in range(4):
            self.reference(kind, tokens)
        files = self.server.files()
        limit = self.allowed(0.1)
        for mode, options in MODES.items():
            attack = subprocess.Popen(
                ["slowhttptest", "-c", str(CONNECTIONS), "-r", "250", "-l", str(SECONDS), *options,
                 "-u", f"http://127.0.0.1:{self.port}/v1/completions"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            served, most, latencies = 0, 0, []
            try:
                while attack.poll() is None:
                    begin = time.monotonic()
                    self.assertEqual(self.server.ask("/health")[0], 200)
                    latencies.append(time.monotonic() - begin)
                    kind = served % 4
                    answer = asyncio.run(post(self.port, "/v1/completions",
                                              stream_body(kind, tokens)))
                    self.assert_exact(answer, kind, tokens)
                    served += 1
                    most = max(most, int(self.server.metric("pelton_http_connections")))
            finally:
                attack.kill()
                attack.wait()
            slowest = percentile(latencies, 0.99)
            report("F12", f"{mode}: {most} connections for {SECONDS} s; {served} of {served} honest "
                          f"requests exact; /health p99 {slowest * 1e3:.1f} ms")
            self.assertGreater(served, 0)
            self.assertLessEqual(slowest, limit)
        self.wait_for_rest(files, 60)


if __name__ == "__main__":
    run()
