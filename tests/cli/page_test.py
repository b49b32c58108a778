"""Drives the chat page in Chromium as a person would.

Usage: page_test.py PELTON, in the root of the sources. Needs Debian's chromium-driver and
python3-selenium, and the default model; without them it says so and is skipped (exit code 77).
SHOTS=FOLDER keeps pictures.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait
except ImportError:
    print("skipped: selenium is not installed")
    sys.exit(77)

PELTON = os.path.abspath(sys.argv[1])
DRIVER = "/usr/bin/chromedriver"

# A server of the page's own: what a hostile model might write, in pieces.
HOSTILE = r"""
window.fetch = async () => {
  const pieces = ["<img src=x onerror='window.broken=1'>", "<scr" + "ipt>window.broken=1</scr" +
                  "ipt>", "\n```html\n<b onclick=alert(1)>\n```\n", "[x](javascript:window.broken=1)"];
  const events = pieces.map((content) => "data: " + JSON.stringify(
      {choices: [{delta: {content}}]}) + "\n\n").join("") + "data: [DONE]\n\n";
  return new Response(new Blob([events]).stream(), {status: 200});
};
"""

# Counts what the page asks of /metrics, with which key; `refuse` is a status to answer with.
WATCH_METRICS = r"""
window.asked = []; window.refuse = 0;
const real = window.fetch;
window.fetch = (address, options) => {
  if (address !== "metrics") return real(address, options);
  window.asked.push(options.headers.Authorization ?? "");
  return window.refuse ? Promise.resolve(new Response("", {status: window.refuse}))
                       : real(address, options);
};
"""


def default_model():
    """Its path, or nothing."""
    out = subprocess.run([PELTON, "list", "--json"], capture_output=True, check=True).stdout
    return next((model["path"] for model in json.loads(out) if model["name"] == "smollm2"), None)


if not os.path.exists(DRIVER) or default_model() is None:
    print("skipped: chromium-driver or the default model is not here")
    sys.exit(77)


def serve(*models):
    """A server and its address."""
    server = subprocess.Popen([PELTON, "serve", *models, "--port", "0"], stdout=subprocess.PIPE,
                              text=True)
    return server, re.search(r"http://\S+", server.stdout.readline()).group(0)


def browser():
    options = webdriver.ChromeOptions()
    for argument in ["--headless=new", "--no-sandbox", "--disable-gpu",
                     "--disable-dev-shm-usage", "--window-size=1000,800"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service(DRIVER), options=options)


class ModelsTest(unittest.TestCase):
    """Several models behind the page."""

    def test_the_chosen_model_answers(self):
        with tempfile.TemporaryDirectory() as folder:
            other = os.path.join(folder, "other.gguf")
            os.symlink(default_model(), other)
            server, url = serve("smollm2", other)
            page = browser()
            try:
                page.get(url)
                wait = WebDriverWait(page, 120, 0.05)
                choice = page.find_element(By.ID, "models")
                wait.until(lambda _: choice.is_displayed())
                self.assertFalse(page.find_element(By.ID, "model").is_displayed())
                self.assertEqual([o.text for o in choice.find_elements(By.TAG_NAME, "option")],
                                 ["smollm2", "other"])
                Select(choice).select_by_visible_text("other")
                page.execute_script("document.getElementById('max-tokens').value = 8")
                page.find_element(By.ID, "question").send_keys("Say hello.", Keys.ENTER)
                wait.until(lambda _: page.find_element(By.ID, "send").is_displayed() and
                           len(page.find_elements(By.CSS_SELECTOR, ".message")) == 2)
                with urllib.request.urlopen(url + "/api/ps") as answer:
                    self.assertEqual([m["name"] for m in json.load(answer)["models"]], ["other"])
                page.refresh()
                wait.until(lambda _: page.execute_script(
                    "return document.getElementById('models').value") == "other")
            finally:
                page.quit()
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(timeout=60), 0)
                server.stdout.close()


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server, cls.url = serve("smollm2")
        cls.page = browser()

    @classmethod
    def tearDownClass(cls):
        cls.page.quit()
        cls.server.send_signal(signal.SIGTERM)
        cls.server.wait(timeout=60)
        cls.server.stdout.close()

    def setUp(self):
        self.page.get(self.url)
        self.page.execute_script("localStorage.clear(); sessionStorage.clear();")
        self.page.set_window_size(1000, 800)
        self.page.get(self.url)
        self.wait(lambda page: page.find_element(By.ID, "model").text == "smollm2")

    def tearDown(self):
        severe = [entry for entry in self.page.get_log("browser") if entry["level"] == "SEVERE"]
        self.assertEqual(severe, [])

    def wait(self, condition, seconds=120):
        return WebDriverWait(self.page, seconds, 0.02).until(condition)

    def ask(self, text, longest=24):
        field = self.page.find_element(By.ID, "max-tokens")
        self.page.execute_script("arguments[0].value = arguments[1]", field, longest)
        self.page.find_element(By.ID, "question").send_keys(text, Keys.ENTER)

    def ended(self, page):
        return page.find_element(By.ID, "send").is_displayed()

    # In one call: the page replaces its elements while an answer streams.
    def inner_texts(self, selector):
        return self.page.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", selector)

    def texts(self):
        return self.inner_texts(".message .text")

    def notes(self):
        return self.inner_texts(".assistant .below span")

    def shot(self, name):
        if folder := os.environ.get("SHOTS"):
            self.page.save_screenshot(f"{folder}/{name}.png")

    def test_send_and_stream(self):
        self.ask("Tell me a story.", 200)
        seen = set()
        self.wait(lambda page: len(seen) >= 3 or seen.add(self.texts()[-1]))
        self.wait(self.ended)
        question, answer = self.texts()
        self.assertEqual(question, "Tell me a story.")
        self.assertGreater(len(answer), 20)
        self.assertRegex(self.notes()[0], r"^\d+ tokens, \d+ tokens/s$")
        self.shot("answer")

    def test_stop_keeps_what_came(self):
        # Pressed by the page itself: an answer may be over before a driver's click arrives.
        self.page.execute_script("""
          new MutationObserver(() => {
            const text = document.querySelector(".assistant .text");
            if (text && text.textContent.length > 10) document.getElementById("stop").click();
          }).observe(document.getElementById("messages"), {childList: true, subtree: true});
        """)
        self.ask("Tell me a long story about the sea.", 2000)
        self.wait(lambda page: self.ended(page) and len(self.texts()) == 2)
        self.assertEqual(self.notes(), ["stopped"])
        self.assertGreater(len(self.texts()[1]), 10)
        self.wait(lambda page: 'pelton_requests_running{model="smollm2"} 0' in urllib.request.urlopen(
            self.url + "/metrics").read().decode())

    def test_edit_and_again(self):
        self.ask("Say one.")
        self.wait(self.ended)
        self.page.find_element(By.XPATH, "//button[text()='Again']").click()
        self.wait(lambda page: self.ended(page) and len(self.texts()) == 2)
        self.page.find_element(By.XPATH, "//button[text()='Edit']").click()
        question = self.page.find_element(By.ID, "question")
        self.assertEqual(question.get_attribute("value"), "Say one.")
        self.assertEqual(self.texts(), [])
        question.clear()
        question.send_keys("Say two.", Keys.ENTER)
        self.wait(lambda page: self.ended(page) and len(self.texts()) == 2)
        self.assertEqual(self.texts()[0], "Say two.")

    def test_a_reload_keeps_the_chat_and_new_forgets_it(self):
        self.ask("Say hello.")
        self.wait(self.ended)
        before = self.texts()
        self.page.refresh()
        self.wait(lambda page: len(self.texts()) == 2)
        self.assertEqual(self.texts(), before)
        self.page.find_element(By.ID, "new").click()
        self.page.refresh()
        self.assertEqual(self.texts(), [])

    def test_dark_and_light(self):
        back = lambda: self.page.execute_script(
            "return getComputedStyle(document.body).backgroundColor")
        first = back()
        self.page.find_element(By.ID, "theme").click()
        self.assertNotEqual(back(), first)
        self.page.refresh()
        self.assertNotEqual(back(), first)
        self.shot("other-theme")

    def test_a_phone_needs_no_sideways_scrolling(self):
        self.page.set_window_size(500, 800)
        self.page.execute_script("document.body.style.width = '360px'")
        self.ask("https://" + "a" * 300)
        self.wait(self.ended)
        wide = self.page.execute_script(
            "const m = document.getElementById('messages'); return m.scrollWidth - m.clientWidth")
        self.assertLessEqual(wide, 0)
        for name in ["send", "question"]:
            box = self.page.find_element(By.ID, name).rect
            self.assertLessEqual(box["x"] + box["width"], 361)
        self.shot("phone")

    def open_live(self):
        self.page.execute_script(WATCH_METRICS)
        self.page.find_element(By.ID, "live-open").click()
        self.wait(lambda page: page.find_element(By.ID, "live").is_displayed())
        self.wait(lambda page: self.legend("Requests") == ["Running 0", "Waiting 0"])

    # What stands above the chart of that title.
    def legend(self, title):
        return self.page.execute_script("""
          const found = [...document.querySelectorAll("#live figure")].find(
              (f) => f.querySelector("figcaption").textContent === arguments[0]);
          return [...found.querySelectorAll(".legend span")].map((s) => s.textContent);
        """, title)

    def asked(self):
        return self.page.execute_script("return window.asked")

    def test_live_numbers(self):
        self.open_live()
        self.assertEqual(self.inner_texts("#live td:not(:empty)"), ["–"] * 9)
        self.assertTrue(self.page.find_element(By.ID, "live-none").is_displayed())
        self.ask("Tell me about rivers.", 100)
        seen = set()
        self.wait(lambda page: seen >= {"Read", "Written"} or seen.update(
            text.split()[0] for text in self.legend("Tokens each second")
            if re.search(r" [\d.,]+/s$", text) and not text.endswith(" 0/s")))
        self.wait(self.ended)
        self.wait(lambda page: "–" not in self.inner_texts("#live td"))
        cells = self.inner_texts("#live td:not(:empty)")
        self.assertEqual(len(cells), 9)
        for cell in cells:
            self.assertRegex(cell, r"^(over )?[\d.]+ m?s$")
        self.assertRegex(self.legend("KV cache")[1], r"^Prompt tokens found in it [\d.]+ %$")
        points = lambda: self.page.execute_script(
            "return document.querySelector('#live polyline.line1').getAttribute('points')")
        self.wait(lambda page: len({pair.split(",")[1] for pair in points().split()}) > 1)
        self.assertEqual(self.inner_texts("#live-requests .what"), ["Tell me about rivers."])
        self.assertRegex(self.inner_texts("#live-requests .times")[0],
                         r"^[\d.]+ m?s to the first token, [\d.]+ m?s in all$")
        wait, write = self.page.execute_script(
            "return [...document.querySelectorAll('#live-requests rect')]"
            ".map((r) => r.getBoundingClientRect().width)")
        self.assertGreater(wait, 0)
        self.assertGreater(write, 0)
        self.shot("live")
        self.page.execute_script("document.getElementById('live-requests').scrollIntoView()")
        self.shot("live-requests")
        self.page.find_element(By.ID, "theme").click()
        self.shot("live-other-theme")

    def test_live_works_by_keyboard_and_rests_when_unseen(self):
        self.open_live()
        opener = self.page.find_element(By.ID, "live-open")
        self.assertEqual(opener.get_attribute("aria-expanded"), "true")
        self.wait(lambda page: len(self.asked()) >= 2)
        see = """Object.defineProperty(document, "hidden",
                                       {value: arguments[0], configurable: true});
                 document.dispatchEvent(new Event("visibilitychange"));"""
        self.page.execute_script(see, True)
        before = len(self.asked())
        time.sleep(3)
        self.assertEqual(len(self.asked()), before)
        self.page.execute_script(see, False)
        self.wait(lambda page: len(self.asked()) > before)
        self.page.find_element(By.ID, "live").send_keys(Keys.ESCAPE)
        self.assertFalse(self.page.find_element(By.ID, "live").is_displayed())
        self.assertEqual(opener.get_attribute("aria-expanded"), "false")
        self.assertEqual(self.page.switch_to.active_element, opener)
        before = len(self.asked())
        time.sleep(3)
        self.assertEqual(len(self.asked()), before)
        opener.send_keys(Keys.ENTER)
        self.wait(lambda page: len(self.asked()) > before)
        self.assertTrue(self.page.find_element(By.ID, "live").is_displayed())

    def test_live_brings_the_key(self):
        self.open_live()
        self.assertEqual(set(self.asked()), {""})
        self.page.execute_script("document.getElementById('key').value = 'secret';")
        self.wait(lambda page: self.asked()[-1] == "Bearer secret")
        self.page.execute_script("window.refuse = 401;")
        state = self.page.find_element(By.ID, "live-state")
        self.wait(lambda page: "wants a key" in state.text)
        self.page.execute_script("window.refuse = 0;")
        self.wait(lambda page: state.text == "")

    def test_live_fits_a_phone(self):
        self.page.set_window_size(500, 800)
        self.page.execute_script("document.body.style.width = '360px'")
        self.open_live()
        self.ask("https://" + "a" * 300, 40)
        self.wait(self.ended)
        self.wait(lambda page: "–" not in self.inner_texts("#live td"))
        wide = self.page.execute_script(
            "const p = document.getElementById('live'); return p.scrollWidth - p.clientWidth")
        self.assertLessEqual(wide, 0)
        for name in ["live", "live-open", "send", "question"]:
            box = self.page.find_element(By.ID, name).rect
            self.assertLessEqual(box["x"] + box["width"], 361)
        self.shot("live-phone")

    def test_markup_stays_text(self):
        attack = "<img src=x onerror='window.broken=1'><script>window.broken=1</script>"
        self.ask(attack)
        self.wait(self.ended)
        self.assertEqual(self.texts()[0], attack)
        self.page.execute_script(HOSTILE)
        self.ask("Attack me.")
        self.wait(lambda page: self.ended(page) and len(self.texts()) == 4)
        self.assertIn("<img src=x onerror='window.broken=1'>", self.texts()[3])
        self.assertIn("<b onclick=alert(1)>", self.texts()[3])
        self.assertIsNone(self.page.execute_script("return window.broken"))
        markup = self.page.find_elements(By.CSS_SELECTOR, "main img, main script, main a")
        self.assertEqual(markup, [])
        self.page.refresh()
        self.wait(lambda page: len(self.texts()) == 4)
        self.assertIsNone(self.page.execute_script("return window.broken"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
