"""The page's live view. Usage and needs: page_browser.py."""

import json
import sys
import time
import unittest
import urllib.error
import urllib.request

from page_browser import By, Keys, PageCase

# Counts what the page asks of the numbers, with which key; `refuse` is a status to answer with.
WATCH = r"""
window.asked = []; window.refuse = 0;
const real = window.fetch;
window.fetch = (address, options) => {
  if (address !== "metrics" && !address.startsWith("debug/requests")) return real(address, options);
  window.asked.push(options.headers.Authorization ?? "");
  return window.refuse ? Promise.resolve(new Response("", {status: window.refuse}))
                       : real(address, options);
};
"""


class LiveTest(PageCase):
    script = WATCH
    options = ["--served-model-name", "tiny", "--max-num-seqs", "4"]

    def open_live(self):
        self.find("#to-live").click()
        self.wait(lambda page: self.find("#live").is_displayed())
        self.wait(lambda page: self.run_js("return document.querySelector('#live figure')"))
        self.wait(lambda page: self.legend("Requests") == ["Running 0", "Waiting 0"])

    def generate(self, tokens, **fields):
        body = {"prompt": [1, 2, 3] * 20, "max_tokens": tokens, "ignore_eos": True, **fields}
        request = urllib.request.Request(self.url + "/v1/completions", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    # What stands above the chart of that title.
    def legend(self, title):
        return self.run_js("""
          const found = [...document.querySelectorAll("#live figure")].find(
              (f) => f.querySelector("figcaption").textContent === arguments[0]);
          return [...found.querySelectorAll(".legend span")].map((s) => s.textContent);
        """, title)

    def asked(self):
        return self.run_js("return window.asked")

    def cells(self):
        return self.inner_texts("#latency td:not(:empty)")

    def test_numbers(self):
        self.open_live()
        self.wait(lambda page: "–" in self.legend("Time to the first token")[0])
        for _ in range(3):
            self.generate(120)
        self.wait(lambda page: "–" not in self.cells())
        self.assertEqual(len(self.cells()), 18)
        for cell in self.cells():
            self.assertRegex(cell, r"^(over )?[\d.]+ m?s$")
        self.assertRegex(self.legend("KV cache")[1], r"^Prompt tokens found in it [\d.]+ %$")
        for legend in self.legend("Time to the first token"):
            self.assertRegex(legend, r"^p\d\d [\d.]+ m?s$")
        # Each chart has drawn its line: its colours are in the picture.
        colours = self.run_js("""
          return [...document.querySelectorAll("#live canvas")].map((canvas) => {
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = new Set();
            for (let i = 0; i < data.length; i += 4) {
              if (data[i + 3] > 200) seen.add(`${data[i] >> 4},${data[i + 1] >> 4},${data[i + 2] >> 4}`);
            }
            return seen.size;
          });""")
        self.assertEqual(len(colours), 4)
        self.assertGreater(min(colours), 2)
        for canvas in self.page.find_elements(By.CSS_SELECTOR, "#live canvas"):
            self.assertRegex(canvas.accessible_name, r"over two minutes, now: ")

    def test_waterfall(self):
        self.generate(200, n=2)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.generate(5, temperature=-1)
        refused.exception.close()
        self.open_live()
        rows = lambda: self.page.find_elements(By.CSS_SELECTOR, "#requests li")
        self.wait(lambda page: len(rows()) >= 2)
        first = rows()[0].text
        self.assertIn("/v1/completions #1", first)
        self.assertIn("tiny", first)
        self.assertIn("60 → 200 tokens", first)
        self.assertIn("cut at its longest", first)
        widths = self.run_js("""
          const width = (name) => document.querySelector("#requests li rect." + name)
              ?.getBoundingClientRect().width ?? 0;
          return ["prefill", "decode"].map(width);""")
        self.assertGreater(widths[0], 0)
        self.assertGreater(widths[1], widths[0])
        self.find("#bars option[value=clock]").click()
        self.wait(lambda page: self.run_js(
            "return document.querySelector('#requests li rect.decode').x.baseVal.valueInSpecifiedUnits"
        ) > 50)
        self.assertFalse(self.find("#no-requests").is_displayed())

    def test_it_works_by_keyboard_and_rests_when_unseen(self):
        self.open_live()
        self.wait(lambda page: len(self.asked()) >= 4)
        see = """Object.defineProperty(document, "hidden",
                                       {value: arguments[0], configurable: true});
                 document.dispatchEvent(new Event("visibilitychange"));"""
        self.run_js(see, True)
        before = len(self.asked())
        time.sleep(3)
        self.assertEqual(len(self.asked()), before)
        self.run_js(see, False)
        self.wait(lambda page: len(self.asked()) > before)
        self.find("#to-chat").send_keys(Keys.ENTER)
        self.wait(lambda page: not self.find("#live").is_displayed())
        before = len(self.asked())
        time.sleep(3)
        self.assertEqual(len(self.asked()), before)
        self.page.back()
        self.wait(lambda page: self.find("#live").is_displayed())
        self.wait(lambda page: len(self.asked()) > before)

    def test_it_brings_the_key(self):
        self.open_live()
        self.assertEqual(set(self.asked()), {""})
        self.run_js("document.getElementById('key').value = 'secret';")
        self.wait(lambda page: self.asked()[-1] == "Bearer secret")
        self.run_js("window.refuse = 401;")
        state = self.find("#live-state")
        self.wait(lambda page: "wants a key" in state.text)
        self.run_js("window.refuse = 0;")
        self.wait(lambda page: state.text == "")

    def test_it_fits_a_phone(self):
        self.generate(100)
        self.page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
        try:
            self.load("#live")
            self.wait(lambda page: self.page.find_elements(By.CSS_SELECTOR, "#requests li"))
            self.assertLessEqual(self.sideways("#live"), 0)
            self.assertLessEqual(self.sideways("body"), 0)
            self.shot("live-phone")
            self.run_js("document.getElementById('requests').scrollIntoView()")
            self.shot("live-phone-requests")
        finally:
            self.page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def test_looks(self):
        self.page.set_window_size(1300, 1500)
        self.open_live()
        for i in range(12):
            self.generate(60 + 40 * (i % 5), temperature=0.7, prompt=[i % 7 + 1] * (30 + 20 * i))
            time.sleep(0.7)
        self.wait(lambda page: "–" not in self.cells())
        time.sleep(2)
        self.shot("live-light")
        self.find("#theme").click()
        time.sleep(0.5)
        self.shot("live-dark")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
