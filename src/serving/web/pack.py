"""Packs the page, and the libraries that it uses, into one file.

usage: pack.py LIBRARIES OUT NOTICE

LIBRARIES is the folder in which Debian's packages put them, /usr/share. OUT is the pack that the
program embeds, NOTICE the licences of the libraries. OUT.d names what was read, for the build.

The pack: a line "name type tag encoding bytes size" for each file, an empty line, then the bytes of
all, one after another. Text is kept as gzip, unless `encoding` is "identity"; `size` is that of the
file itself. The tag changes with the content.
"""

import gzip
import hashlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
TYPES = {".html": "text/html;charset=utf-8", ".css": "text/css;charset=utf-8",
         ".js": "text/javascript;charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2",
         ".txt": "text/plain;charset=utf-8"}
OWN = ["page.html", "icon.svg", "css/*.css", "js/*.js"]

# Name in the page, file, and the package that has it.
LIBRARIES = [
    ("marked.js", "javascript/marked/marked.umd.min.js", "libjs-marked"),
    ("katex.js", "javascript/katex/katex.min.js", "libjs-katex"),
    ("chart.js", "javascript/chart.js/chart.min.js", "libjs-chart.js"),
]
FONTS = "fonts/truetype/katex"
HIGHLIGHT = "nodejs/highlight.js/lib"
LANGUAGES = """
    armasm bash cmake clojure coffeescript cpp cs css dart diff dockerfile elixir erlang fortran
    fsharp go gradle groovy haskell http ini java javascript json julia kotlin less lisp llvm
    lua makefile markdown matlab nginx nix objectivec ocaml perl php plaintext powershell properties
    protobuf python r ruby rust scala scheme scss shell sql swift tex typescript verilog vhdl vim x86asm
    xml yaml
""".split()
PACKAGES = ["libjs-marked", "node-dompurify", "node-highlight.js", "libjs-katex", "fonts-katex",
            "libjs-chart.js"]


class Sources:
    """Reads files and remembers which."""

    def __init__(self, libraries):
        self.libraries = pathlib.Path(libraries)
        self.read_paths = [pathlib.Path(__file__).resolve()]

    def own(self, path):
        self.read_paths.append(path)
        return path.read_bytes()

    def library(self, name, package):
        path = self.libraries / name
        if not path.is_file():
            sys.exit(f"{path} is missing: install Debian's package {package} (tools/setup build)")
        return self.own(path)


def highlighter(sources):
    """highlight.js with the languages that a chat meets; each is a CommonJS module."""
    core = sources.library(f"{HIGHLIGHT}/highlight.js", "node-highlight.js").decode()
    parts = [f"{{ const module = {{}};\n{core}\n}}"]
    for language in LANGUAGES:
        module = sources.library(f"{HIGHLIGHT}/languages/{language}.js",
                                 "node-highlight.js").decode()
        parts.append(f'hljs.registerLanguage("{language}", (() => {{ const module = {{}};\n{module}\n'
                     "return module.exports; })());")
    return "\n".join(parts).encode()


def cleaner(sources):
    """DOMPurify. Debian's 2.4.1 with deb12u1 asks for the depth of a node that is not in scope, and
    cleans nothing: here it finds one that is not deep. The depth of each node is checked later."""
    library = sources.library("nodejs/dompurify/dist/purify.min.js", "node-dompurify")
    return b"const shadowNode = Object.freeze({ __depth: 1 });\n" + library


def katex_style(sources):
    """KaTeX's style with its fonts, of each only the form that every browser of today reads."""
    style = sources.library("javascript/katex/katex.min.css", "libjs-katex").decode()
    faces = style.split("src:")
    kept = [faces[0]]
    for face in faces[1:]:
        addresses, rest = face.split(";", 1)
        woff2 = [one for one in addresses.split(",") if ".woff2" in one]
        kept.append(f"{woff2[0]};{rest}")
    return "src:".join(kept).replace("url(fonts/", "url(").encode()


def licences(sources):
    parts = ["The page that `pelton serve` answers with holds these libraries.\n"]
    for package in PACKAGES:
        text = sources.library(f"doc/{package}/copyright", package).decode()
        parts.append(f"\n{'=' * 78}\n{package}\n{'=' * 78}\n\n{text}")
    return "".join(parts).encode()


def all_files(sources):
    """name -> bytes."""
    files = {}
    for pattern in OWN:
        for path in sorted(HERE.glob(pattern)):
            files[path.name] = sources.own(path)
    for name, path, package in LIBRARIES:
        files[name] = sources.library(path, package)
    files["purify.js"] = cleaner(sources)
    files["highlight.js"] = highlighter(sources)
    files["katex.css"] = katex_style(sources)
    fonts = sorted((sources.libraries / FONTS).glob("*.woff2"))
    for path in fonts:
        files[path.name] = sources.library(f"{FONTS}/{path.name}", "fonts-katex")
    missing = [part.split(")")[0] for part in files["katex.css"].decode().split("url(")[1:]
               if part.split(")")[0] not in files]
    if missing:
        sys.exit(f"fonts are missing: {' '.join(missing)}: install Debian's package fonts-katex")
    files["notice.txt"] = licences(sources)
    return files


def packed(files):
    index, content = [], []
    for name, data in files.items():
        tag = hashlib.sha256(data).hexdigest()[:20]
        small = gzip.compress(data, 9, mtime=0)
        encoding = "gzip" if len(small) < 0.9 * len(data) else "identity"
        kept = small if encoding == "gzip" else data
        kind = TYPES[pathlib.PurePath(name).suffix]
        index.append(f"{name} {kind} {tag} {encoding} {len(kept)} {len(data)}\n")
        content.append(kept)
    return "".join(index).encode() + b"\n" + b"".join(content)


def main():
    libraries, out, notice = sys.argv[1:]
    sources = Sources(libraries)
    files = all_files(sources)
    pathlib.Path(notice).write_bytes(files["notice.txt"])
    pathlib.Path(out).write_bytes(packed(files))
    names = " ".join(str(path).replace(" ", "\\ ") for path in sources.read_paths)
    pathlib.Path(out + ".d").write_text(f"{out}: {names}\n")


if __name__ == "__main__":
    main()
