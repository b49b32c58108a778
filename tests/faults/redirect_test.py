"""A hub on the Internet that redirects into our own network: row B3 of docs/reliability.md.

Usage: redirect_test.py PELTON, in the root of the sources. It makes a network of its own, with
addresses of the Internet and of private networks on one machine, for which it needs util-linux's
unshare, iproute2 and the permission to use them; without them it is skipped.
"""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import pull_test  # noqa: E402

HUB, FRIEND, FRIEND6 = "93.184.215.14", "151.101.1.69", "2606:4700::6810:84e5"
INSIDE = ["10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "198.18.0.1",
          "fd00:ec2::254"]
NAMES = {"inside.example": "127.0.0.1", "metadata.example": "169.254.169.254",
         "six.example": "::1", "mapped.example": "::ffff:10.0.0.1"}
# "P" is a port where somebody would answer.
URLS = [f"http://{host}:P/{path}" for path in ("", "latest/meta-data") for host in (
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "017700000001", "127.255.255.254", "0.0.0.0", "0", "localhost", "LOCALHOST", "localhost.",
    "10.0.0.1", "167772161", "0xa000001", "012.1", "100.64.0.1", "169.254.169.254", "2852039166",
    "0xa9fea9fe", "172.16.0.1", "192.168.1.1", "3232235777", "198.18.0.1", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a00:1]", "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "[fd00:ec2::254]", "[fe80::1%25lo]",
    f"{HUB}@127.0.0.1", "user:word@10.0.0.1", *NAMES)]
URLS += ["https://127.0.0.1:P/", "//127.0.0.1:P/x", "http:\\\\127.0.0.1:P\\x", "http:/127.0.0.1:P/",
         "file:///etc/passwd", "file://127.0.0.1:P/x", "ftp://127.0.0.1:P/x", "gopher://127.0.0.1:P/x",
         "dict://127.0.0.1:P/x", "ldap://127.0.0.1:P/x", "telnet://127.0.0.1:P", "smb://127.0.0.1:P/x",
         "scp://127.0.0.1:P/x", "tftp://127.0.0.1:P/x", "ws://127.0.0.1:P/x", "unix:///tmp/x"]


def make_network(folder):
    """Requires: the namespaces of network, users and mounts are our own."""
    def do(*words):
        subprocess.run(words, check=True)
    do("ip", "link", "set", "lo", "up")
    for address in [HUB, FRIEND, FRIEND6, *INSIDE]:
        do("ip", "addr", "add", address + ("/128" if ":" in address else "/32"), "dev", "lo")
    hosts = pathlib.Path(folder, "hosts")
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n"
                     + "".join(f"{address} {name}\n" for name, address in NAMES.items()))
    do("mount", "--bind", str(hosts), "/etc/hosts")


class RedirectTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = pathlib.Path(folder.name, "store")
        make_network(folder.name)

    def serve(self, address):
        """A server at the address, with what it is asked for."""
        class At(pull_test.Server):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

            def server_bind(self):
                self.server_address = (address, 0)
                super().server_bind()
        server = At()
        host = f"[{address}]" if ":" in address else address
        server.address = f"http://{host}:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def pull(self, what, hub):
        done = subprocess.run([pull_test.PELTON, "pull", what, "--models", self.store, "--hub", hub],
                              env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
                              timeout=60, check=False)
        return done.returncode, done.stderr

    def test_b3_no_redirect_leads_inside(self):
        hub, friends = self.serve(HUB), [self.serve(FRIEND), self.serve(FRIEND6)]
        # Whoever is inside is seen by the connection alone.
        connections = []
        inside = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        port = str(inside.getsockname()[1])

        def accept():
            while True:
                connection, address = inside.accept()
                connections.append(address)
                connection.close()
        threading.Thread(target=accept, daemon=True).start()
        with socket.create_connection(("10.0.0.1", int(port))):
            pass
        while not connections:
            time.sleep(0.01)
        connections.clear()

        for number, url in enumerate(URLS):
            url = url.replace("P", port, 1)
            path = f"/{number}.gguf"
            hub.pages[path] = lambda handler, url=url: handler.redirect(url)
            code, words = self.pull(hub.address + path, hub.address)
            self.assertIn(code, (1, 2), (url, words))
            self.assertEqual((words.count("\n"), connections), (1, []), (url, words))
        hub.pages[pull_test.LIST] = lambda handler: handler.redirect(f"http://10.0.0.1:{port}/")
        code, words = self.pull("hf:someone/tiny", hub.address)
        self.assertEqual((code, connections), (2, []), words)
        self.assertIn("not on the public Internet", words)

        # Others on the Internet may be meant.
        for number, friend in enumerate(friends):
            friend.pages["/model"] = lambda handler: handler.send(pull_test.MODEL)
            path = f"/friend{number}.gguf"
            hub.pages[path] = lambda handler, to=friend.address: handler.redirect(to + "/model")
            self.assertEqual(self.pull(hub.address + path, hub.address), (0, ""))
        print(f"B3: {len(URLS) + 1} redirects, {len(connections)} connections inside", flush=True)


def main():
    inside = "PELTON_REDIRECT_TEST"
    if inside not in os.environ:
        alone = ["unshare", "--map-root-user", "--net", "--mount"]
        try:
            subprocess.run([*alone, "ip", "link", "set", "lo", "up"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            print("no network of its own can be made")
            sys.exit(77)
        sys.exit(subprocess.run([*alone, sys.executable, *sys.argv], check=False,
                                env={**os.environ, inside: "1"}).returncode)
    unittest.main(argv=sys.argv[:1])


if __name__ == "__main__":
    main()
