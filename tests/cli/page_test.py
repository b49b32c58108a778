"""Drives the page in Chromium as a person would. Usage and needs: page_browser.py."""

import json
import os
import re
import sys
import tempfile
import unittest
import urllib.request

from page_browser import By, Keys, PageCase, SCRIPTED_MODEL, has_default_model


@unittest.skipUnless(has_default_model(), "the default model is not here")
class RealModelTest(PageCase):
    model = "smollm2"
    options = []
    name = "smollm2"

    def set_longest(self, tokens):
        self.run_js("""const field = document.getElementById("max-tokens");
                       field.value = arguments[0]; field.onchange();""", tokens)

    def test_send_and_stream(self):
        self.set_longest(200)
        self.ask("Tell me a story.")
        seen = set()
        self.wait(lambda page: len(seen) >= 3 or seen.add(self.texts()[-1]))
        self.wait(self.ended)
        question, answer = self.texts()
        self.assertEqual(question, "Tell me a story.")
        self.assertGreater(len(answer), 20)
        self.assertRegex(self.inner_texts(".speed")[0],
                         r"^(cut at the longest answer · )?[\d,]+ tokens · [\d.]+ tokens/s · first "
                         r"after [\d.]+ s$")
        self.shot("answer")

    def test_stop_keeps_what_came(self):
        # Pressed by the page itself: an answer may be over before a driver's click arrives.
        self.run_js("""
          new MutationObserver(() => {
            const text = document.querySelector(".assistant > .text");
            if (text && text.textContent.length > 10) document.getElementById("stop").click();
          }).observe(document.getElementById("rows"), {childList: true, subtree: true,
                                                       characterData: true});
        """)
        self.ask("Tell me a long story about the sea.")
        self.wait(lambda page: self.ended() and len(self.texts()) == 2)
        self.assertRegex(self.inner_texts(".speed")[0], r"^stopped")
        self.assertGreater(len(self.texts()[1]), 10)
        self.wait(lambda page: re.search(r'^pelton_requests_running{model="[^"]+"} 0$',
                                         urllib.request.urlopen(
                                             self.url + "/metrics").read().decode(), re.M))

    def test_answer_anew_in_a_chat(self):
        self.set_longest(12)
        self.ask("Say one.")
        self.wait(self.ended)
        self.press("Answer anew")
        self.wait(lambda page: self.ended() and self.inner_texts(".branches") == ["2 / 2"])
        self.ask("And two.")
        self.wait(lambda page: self.ended() and len(self.texts()) == 4)


class ChatTest(PageCase):
    script = SCRIPTED_MODEL

    def asked(self):
        return self.run_js("return window.asked")

    def test_branches(self):
        self.exchange("First", "One.")
        self.exchange("Second", "Two.")
        self.say("Other two.")
        self.press("Answer anew")
        self.wait(lambda page: self.ended() and self.texts()[-1] == "Other two.")
        self.assertEqual(self.inner_texts(".branches"), ["2 / 2"])
        self.press("Version before")
        self.assertEqual(self.texts(), ["First", "One.", "Second", "Two."])
        # The edited question stands beside the old one, with what followed that.
        self.find(".message.user").find_element(By.CSS_SELECTOR, "[aria-label=Edit]").click()
        field = self.find(".edit textarea")
        self.assertEqual(field.get_attribute("value"), "First")
        self.say("Else.")
        field.clear()
        field.send_keys("Other first", Keys.CONTROL, Keys.ENTER)
        self.wait(lambda page: self.ended() and self.texts() == ["Other first", "Else."])
        self.assertEqual(self.asked()[-1]["messages"],
                         [{"role": "user", "content": "Other first"}])
        self.shot("branches")
        self.press("Version before")
        self.assertEqual(self.texts(), ["First", "One.", "Second", "Two."])
        self.assertEqual(self.inner_texts(".branches"), ["1 / 2", "1 / 2"])
        # All of it is there after a reload.
        self.page.refresh()
        self.wait(lambda page: self.texts() == ["First", "One.", "Second", "Two."])
        self.press("Next version", ".user")
        self.assertEqual(self.texts(), ["Other first", "Else."])

    def test_edit_leaves_and_an_answer_can_be_mended(self):
        self.exchange("Q", "Wrong.")
        self.press("Edit", ".user")
        self.find(".edit textarea").send_keys("more", Keys.ESCAPE)
        self.assertEqual(self.texts(), ["Q", "Wrong."])
        self.press("Edit", ".assistant")
        field = self.find(".edit textarea")
        field.clear()
        field.send_keys("Right.")
        self.find(".edit button[type=submit]").click()
        self.assertEqual(self.texts(), ["Q", "Right."])
        self.exchange("Next", "Yes.")
        self.assertEqual([m["content"] for m in self.asked()[-1]["messages"]],
                         ["Q", "Right.", "Next"])

    def test_delete_takes_what_follows(self):
        self.exchange("A", "1")
        self.exchange("B", "2")
        self.page.find_elements(By.CSS_SELECTOR, '.user [aria-label^="Delete this"]')[1].click()
        self.find("#confirm .close").click()
        self.assertEqual(len(self.texts()), 4)
        self.page.find_elements(By.CSS_SELECTOR, '.user [aria-label^="Delete this"]')[1].click()
        self.find("#confirm-yes").click()
        self.wait(lambda page: self.texts() == ["A", "1"])
        self.page.refresh()
        self.wait(lambda page: self.texts() == ["A", "1"])

    def test_thoughts_fold_away(self):
        self.say({"reasoning_content": "Let me "}, {"reasoning_content": "**see**."},
                 {"wait": 1, "content": "Done."})
        self.ask("Think.")
        self.wait(lambda page: self.inner_texts(".thoughts") == ["Thinking…\n\nLet me see."])
        self.shot("thinking")
        self.run_js("window.goOn()")
        self.wait(self.ended)
        self.assertRegex(self.inner_texts(".thoughts")[0], r"^Thought for [\d.]+ s$")
        self.find(".thoughts summary").click()
        self.assertEqual(self.inner_texts(".thoughts strong"), ["see"])
        self.exchange("Again.", "Yes.")
        self.assertNotIn("Let me", json.dumps(self.asked()[-1]))

    def test_an_error_is_told_and_can_be_tried_again(self):
        self.exchange("Q", "Par", {"error": {"message": "the model <b>failed</b>"}})
        self.assertEqual(self.texts(), ["Q", "Par"])
        self.assertEqual(self.inner_texts(".message .error")[-1], "the model <b>failed</b>")
        self.say("Whole.")
        self.press("Answer anew")
        self.wait(lambda page: self.ended() and self.texts() == ["Q", "Whole."])

    def test_an_answer_goes_on_in_another_chat(self):
        self.say("Begun", {"wait": 1, "content": " and ended."})
        self.ask("Slow")
        self.wait(lambda page: self.texts()[-1] == "Begun")
        self.find("#new").click()
        self.assertEqual(self.texts(), [])
        self.assertTrue(self.ended())
        self.run_js("window.goOn()")
        self.wait(lambda page: not self.page.find_elements(By.CSS_SELECTOR, "#chats .dot"))
        self.find("#chats a").click()
        self.assertEqual(self.texts(), ["Slow", "Begun and ended."])

    def test_stop_by_escape(self):
        self.say("Some", {"wait": 1, "content": " more"})
        self.ask("Q")
        self.wait(lambda page: self.texts()[-1:] == ["Some"])
        self.find("#question").send_keys(Keys.ESCAPE)
        self.wait(self.ended)
        self.assertEqual(self.texts()[-1], "Some")
        self.assertRegex(self.inner_texts(".assistant .speed")[0], "^stopped")

    def test_chats_are_found_renamed_and_deleted(self):
        self.exchange("About rivers", "Long ones.")
        self.find("#new").click()
        self.exchange("About hills", "High ones, not rivers.")
        self.find("#new").click()
        self.exchange("Third", "x")
        self.assertEqual(self.chats(), ["Third", "About hills", "About rivers"])
        search = self.find("#search")
        search.send_keys("RIVERS")
        self.assertEqual(self.chats(), ["About hills", "About rivers"])
        search.send_keys(" high")
        self.assertEqual(self.chats(), ["About hills"])
        search.send_keys(Keys.ENTER)
        self.wait(lambda page: self.texts()[0] == "About hills")
        search.clear()
        search.send_keys("zzz")
        self.assertEqual(self.inner_texts("#no-chats"), ["No chat has these words."])
        search.send_keys(Keys.CONTROL, "a", Keys.BACKSPACE)
        row = self.find("#chats li:has([aria-current])")
        row.find_element(By.CSS_SELECTOR, "[aria-label=Rename]").click()
        field = self.find("#chats input")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys("Mountains", Keys.ENTER)
        self.wait(lambda page: "Mountains" in self.chats())
        self.find("#chats li:has([aria-current]) [aria-label=Delete]").click()
        self.assertIn("Mountains", self.find("#confirm-question").text)
        self.find("#confirm-yes").click()
        self.wait(lambda page: self.chats() == ["Third", "About rivers"])
        self.assertEqual(self.texts(), [])
        self.page.refresh()
        self.wait(lambda page: self.chats() == ["Third", "About rivers"])

    def test_export_and_import(self):
        self.exchange("Keep me", "Kept.", {"reasoning_content": "hm"})
        self.say("Other.")
        self.press("Answer anew")
        self.wait(lambda page: self.ended() and self.texts()[-1] == "Other.")
        self.find("#export").click()
        self.wait(lambda page: [name for name in os.listdir(self.downloads.name)
                                if name.endswith(".json")])
        path = os.path.join(self.downloads.name, os.listdir(self.downloads.name)[0])
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["format"], "pelton-chats")
        # The list is made anew when a chat was saved.
        self.wait(lambda page: page.find_elements(By.CSS_SELECTOR, "#chats [aria-label=Delete]"))
        self.find("#chats [aria-label=Delete]").click()
        self.find("#confirm-yes").click()
        self.wait(lambda page: self.chats() == [])
        self.find("#import-file").send_keys(path)
        self.wait(lambda page: self.texts() == ["Keep me", "Other."])
        self.press("Version before")
        self.assertEqual(self.texts(), ["Keep me", "Kept."])
        self.assertEqual(self.chats(), ["Keep me"])

    def bring_in(self, data):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(data if isinstance(data, str) else json.dumps(data))
            file.flush()
            self.find("#import-file").send_keys(file.name)
            self.wait(lambda page: self.find("#note").is_displayed())

    def test_chats_of_others_are_brought_in(self):
        self.bring_in([{"conv": {"id": "c", "name": "From elsewhere", "currNode": "3"}, "messages": [
            {"id": "0", "type": "root", "children": ["1"]},
            {"id": "1", "role": "user", "content": "Hi", "children": ["2", "3"], "timestamp": 5},
            {"id": "2", "role": "assistant", "content": "A", "children": []},
            {"id": "3", "role": "assistant", "content": "B", "children": []}]}])
        self.assertEqual(self.texts(), ["Hi", "B"])
        self.assertEqual(self.chats(), ["From elsewhere"])
        self.bring_in({"messages": [{"role": "system", "content": "no"},
                                    {"role": "user", "content": "Plain"},
                                    {"role": "assistant", "content": "Yes"}]})
        self.wait(lambda page: self.texts() == ["Plain", "Yes"])

    def test_bad_files_are_refused(self):
        loop = {"id": "x", "roots": ["a"], "leaf": "a",
                "nodes": {"a": {"role": "user", "content": "x", "children": ["a"]}}}
        for data, words in [("{", "not JSON"), ([], "no chats"), ({"chats": [5]}, "not an object"),
                            ({"chats": [loop]}, "do not make a tree"), ({"a": 1}, "no messages"),
                            ({"roots": ["q"], "nodes": {}}, "do not make a tree")]:
            self.load("#new")
            self.bring_in(data)
            self.assertIn("Nothing was brought in", self.find("#note").text)
            self.assertIn(words, self.find("#note").text)
            self.assertEqual(self.chats(), [])

    def test_files_go_with_a_question(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: os.path.join(folder, name) for name in ["a.py", "b.bin"]}
            with open(paths["a.py"], "w", encoding="utf-8") as file:
                file.write("print('```')\n")
            with open(paths["b.bin"], "wb") as file:
                file.write(b"\xff\xfe\x00")
            self.find("#attach-file").send_keys("\n".join(paths.values()))
            self.wait(lambda page: "not a text file" in self.find("#note").text)
        self.assertEqual(self.inner_texts("#files .name"), ["a.py"])
        self.exchange("What is it?", "Code.")
        self.assertEqual(self.inner_texts("#files .name"), [])
        self.assertEqual(self.inner_texts(".user .file .name"), ["a.py"])
        self.assertEqual(self.asked()[-1]["messages"][0]["content"],
                         "File a.py:\n````\nprint('```')\n````\n\nWhat is it?")

    def test_settings_are_sent_and_kept(self):
        self.find("#to-settings").click()
        values = {"system": "Be brief.", "temperature": "0.5", "top-p": "0.9", "top-k": "40",
                  "min-p": "0.05", "repetition-penalty": "1.1", "seed": "7", "max-tokens": "99"}
        for name, value in values.items():
            self.find("#" + name).send_keys(value)
        self.find("#key").send_keys("secret")
        self.shot("settings")
        self.find("#settings .close").click()
        self.page.refresh()
        self.wait(lambda page: "tiny" in self.find("#model").text)
        self.exchange("Q", "A")
        body = self.asked()[-1]
        self.assertEqual(body.pop("messages"), [{"role": "system", "content": "Be brief."},
                                                {"role": "user", "content": "Q"}])
        self.assertEqual(body, {"stream": True, "stream_options": {"include_usage": True},
                                "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05,
                                "repetition_penalty": 1.1, "seed": 7, "max_tokens": 99})
        kept = lambda: self.run_js("return [sessionStorage['pelton.key'] ?? '',"
                                   "        localStorage['pelton.key'] ?? '']")
        self.assertEqual(kept(), ["secret", ""])
        self.find("#to-settings").click()
        self.find("#keep-key").click()
        self.assertEqual(kept(), ["", "secret"])
        self.find("#keep-key").click()
        self.assertEqual(kept(), ["secret", ""])
        self.find("#defaults").click()
        self.assertEqual(self.find("#temperature").get_attribute("value"), "")

    def test_a_model_is_chosen(self):
        self.run_js("""const own = window.fetch;
          window.fetch = (address, options) => address !== "v1/models" ? own(address, options)
              : Promise.resolve(new Response(JSON.stringify(
                    {data: [{id: "tiny"}, {id: "other<b>"}]})));
          document.getElementById("key").onchange();""")
        self.wait(lambda page: len(page.find_elements(By.CSS_SELECTOR, "#model option")) == 2)
        self.find("#model option:nth-child(2)").click()
        self.exchange("Q", "A")
        self.assertEqual(self.asked()[-1]["model"], "other<b>")

    def test_an_address_sends_nothing(self):
        for address in ["?q=Hello", "?prompt=Hello#new", "#q=Hello", "#chat/Hello", "#chat/12ab"]:
            self.load(address)
            self.assertEqual(self.asked(), [])
            self.assertEqual(self.find("#question").get_attribute("value"), "")
            self.assertEqual(self.texts(), [])

    def test_it_follows_the_end_unless_the_reader_scrolls(self):
        line = "A line of words.\n\n"
        self.say(line * 60, {"wait": 1, "content": line * 20})
        self.ask("Long")
        far = lambda: self.run_js("const m = document.getElementById('messages');"
                                  "return m.scrollHeight - m.scrollTop - m.clientHeight")
        self.wait(lambda page: len(page.find_elements(By.CSS_SELECTOR, ".assistant p")) >= 60)
        self.wait(lambda page: far() < 2)
        self.run_js("document.getElementById('messages').scrollTop = 0")
        self.wait(lambda page: self.find("#to-end").is_displayed())
        self.run_js("window.goOn()")
        self.wait(self.ended)
        self.assertEqual(self.run_js("return document.getElementById('messages').scrollTop"), 0)
        self.find("#to-end").click()
        self.wait(lambda page: far() < 2)


class LookTest(PageCase):
    script = SCRIPTED_MODEL

    def test_dark_and_light(self):
        back = lambda: self.run_js("return getComputedStyle(document.body).backgroundColor")
        first = back()
        self.find("#theme").click()
        self.assertNotEqual(back(), first)
        self.page.refresh()
        self.assertNotEqual(back(), first)

    def contrasts(self):
        """The least contrast of the page's texts with what is behind them, as WCAG counts it."""
        return self.run_js(r"""
          const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
          const rgb = (colour, under = [255, 255, 255]) => {
            canvas.fillStyle = `rgb(${under})`;
            canvas.fillRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const light = (c) => {
            const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92
                                                                 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (e) => {
            const layers = [];
            for (; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
            return layers.reduce((under, colour) => rgb(colour, under), [255, 255, 255]);
          };
          const bad = [];
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            const e = walker.currentNode.parentElement;
            if (!walker.currentNode.data.trim() || !e.checkVisibility() ||
                e.closest("button:disabled, .katex, .unseen")) continue;
            const back = behind(e), front = rgb(getComputedStyle(e).color, back);
            const [a, b] = [light(back), light(front)].sort((x, y) => y - x);
            const contrast = (a + 0.05) / (b + 0.05);
            if (contrast < 4.5) bad.push(`${walker.currentNode.data.trim()}: ${contrast.toFixed(2)}`);
          }
          return bad;
        """)

    def test_texts_can_be_read_in_both_themes(self):
        self.exchange("Show all", {"reasoning_content": "hm"}, TOUR,
                      {"error": {"message": "it broke"}})
        for theme in ["light", "dark"]:
            self.run_js("document.documentElement.className = arguments[0]", theme)
            self.run_js("document.querySelector('.thoughts').open = true")
            self.assertEqual(self.contrasts(), [], theme)
            self.shot("tour-" + theme)
            for dialog in ["settings", "about"]:
                self.find("#to-" + dialog).click()
                self.assertEqual(self.contrasts(), [], theme)
                self.shot(f"{dialog}-{theme}")
                self.find(f"#{dialog} .close.main").click()

    def test_a_phone_needs_no_sideways_scrolling(self):
        self.page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
        try:
            self.load()
            self.shot("phone-empty")
            self.exchange("https://" + "a" * 300, TOUR, "\n\n" + "b" * 300)
            for selector in ["html", "body", "#messages", "#ask"]:
                self.assertLessEqual(self.sideways(selector), 0, selector)
            for selector in ["#send", "#question", "#theme", "#menu"]:
                box = self.find(selector).rect
                self.assertGreaterEqual(box["x"], 0)
                self.assertLessEqual(box["x"] + box["width"], 360, selector)
            self.shot("phone")
            self.assertFalse(self.find("#side").is_displayed())
            self.find("#menu").click()
            self.assertTrue(self.find("#side").is_displayed())
            self.shot("phone-side")
            self.page.switch_to.active_element.send_keys(Keys.ESCAPE)
            self.wait(lambda page: not self.find("#side").is_displayed())
            self.find("#menu").click()
            self.find("#new").click()
            self.assertEqual(self.texts(), [])
            self.assertFalse(self.find("#side").is_displayed())
        finally:
            self.page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def test_everything_has_a_name(self):
        self.exchange("Q", TOUR)
        self.say("x")
        self.press("Answer anew")
        self.wait(lambda page: self.ended() and self.texts()[-1] == "x")
        wanted = "button, input, select, textarea, a, summary, [tabindex='0']"
        for opener in [None, "#to-settings", "#to-about"]:
            if opener:
                self.find(opener).click()
            inside = f"{'dialog[open]' if opener else 'body'} :is({wanted})"
            for each in self.page.find_elements(By.CSS_SELECTOR, inside):
                if each.is_displayed():
                    self.assertTrue(each.accessible_name, each.get_attribute("outerHTML"))
            if opener:
                self.page.switch_to.active_element.send_keys(Keys.ESCAPE)

    def test_the_keyboard_is_enough(self):
        focus = lambda: self.page.switch_to.active_element
        self.assertEqual(focus().get_attribute("id"), "question")
        self.say("One.")
        focus().send_keys("By key", Keys.ENTER)
        self.wait(self.ended)
        seen = []
        for _ in range(40):
            focus().send_keys(Keys.TAB)
            name = focus().get_attribute("id") or focus().accessible_name
            if name in seen[:1]:
                break
            if focus().tag_name != "body":
                seen.append(name)
                outline = self.run_js("return getComputedStyle(document.activeElement).outlineStyle")
                if name != "question":  # its frame shows it
                    self.assertNotEqual(outline, "none", name)
        for name in ["new", "search", "By key", "Rename", "Export", "Delete", "import", "export",
                     "to-settings", "to-about", "to-chat", "to-live", "theme", "Copy", "Edit",
                     "Answer anew", "question", "attach", "send"]:
            self.assertIn(name, seen)
        self.find("body").send_keys(Keys.CONTROL, "k")
        self.assertEqual(focus().get_attribute("id"), "search")
        focus().send_keys(Keys.CONTROL, Keys.SHIFT, "o")
        self.wait(lambda page: self.texts() == [])
        self.assertEqual(focus().get_attribute("id"), "question")
        self.find("#to-live").send_keys(Keys.ENTER)
        self.wait(lambda page: self.find("#live").is_displayed())
        self.find("#to-chat").send_keys(Keys.ENTER)
        self.wait(lambda page: not self.find("#live").is_displayed())


TOUR = r"""# A tour

Pelton wheels turn **water** into *power*: $\eta = \frac{P}{\rho g Q H}$, at \(\vec v = \sqrt{2gh}\).

$$
\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}
$$

1. First, with `code` and a [link](https://example.com)
   - nested
   - [x] done
2. Second

> A quotation.

| Model | Tokens/s | Note |
|:------|---------:|:----:|
| small | 120 | fast |
| large | 12 | slow |

```python
def fib(n: int) -> int:
    \"\"\"Fibonacci numbers.\"\"\"
    a, b = 0, 1
    for _ in range(n):  # step
        a, b = b, a + b
    return a
```

---

The end.
""".replace('\\"', '"')


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
