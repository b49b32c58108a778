"""What the tests of the page share: a server, Chromium, and a model that says what a test wants.

Imported by the tests, which are called as PAGE_TEST PELTON in the root of the sources. Needs Debian's
chromium-driver and python3-selenium; without them, or where a test's model is missing, it says so
and the test is skipped (exit code 77). SHOTS=FOLDER keeps pictures.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    print("skipped: selenium is not installed")
    sys.exit(77)

__all__ = ["By", "Keys", "PageCase", "SCRIPTED_MODEL", "TINY_MODEL", "has_default_model"]

PELTON = os.path.abspath(sys.argv[1])
DRIVER = "/usr/bin/chromedriver"
TINY_MODEL = "tests/data/golden/llama/model-Q4_0.gguf"

if not os.path.exists(DRIVER):
    print("skipped: chromium-driver is not here")
    sys.exit(77)

# Takes the server's place for chats, before the page's own scripts run: `window.says` is what the
# next answers stream, a list of deltas each, and `window.asked` what the page sent.
SCRIPTED_MODEL = r"""
window.says = []; window.asked = []; window.broken = 0;
const real = window.fetch;
window.fetch = async (address, options) => {
  if (address !== "v1/chat/completions") return real(address, options);
  window.asked.push(JSON.parse(options.body));
  const said = window.says.shift() ?? [{content: "Nothing to say."}];
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async start(out) {
      const send = (data) => out.enqueue(encoder.encode("data: " + data + "\n\n"));
      for (const delta of said) {
        if (delta.wait) await new Promise((go) => { window.goOn = go; });
        if (options.signal.aborted) return out.error(new DOMException("", "AbortError"));
        send(JSON.stringify(delta.error ? delta : {model: "scripted", choices: [{delta}]}));
        await null;
      }
      send(JSON.stringify({choices: [], usage: {prompt_tokens: 30, completion_tokens: 12,
                                                prompt_tokens_details: {cached_tokens: 20}}}));
      send("[DONE]");
      out.close();
    },
  });
  options.signal.addEventListener("abort", () => window.goOn?.());
  return new Response(body, {status: 200});
};
"""


def has_default_model():
    out = subprocess.run([PELTON, "list", "--json"], capture_output=True, check=True).stdout
    return any(model["name"] == "smollm2" for model in json.loads(out))


class PageCase(unittest.TestCase):
    """Runs each test in an empty browser on a server of the class's own."""

    model = TINY_MODEL
    options = ["--served-model-name", "tiny"]
    name = "tiny"     # that the page shows
    script = ""       # that runs before the page's own
    size = (1100, 850)

    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([PELTON, "serve", cls.model, "--port", "0", *cls.options],
                                      stdout=subprocess.PIPE, text=True)
        cls.url = re.search(r"http://\S+", cls.server.stdout.readline()).group(0)
        cls.downloads = tempfile.TemporaryDirectory()
        options = webdriver.ChromeOptions()
        for argument in ["--headless=new", "--no-sandbox", "--disable-gpu",
                         "--disable-dev-shm-usage"]:
            options.add_argument(argument)
        options.add_experimental_option("prefs", {
            "download.default_directory": cls.downloads.name,
            "profile.default_content_setting_values.automatic_downloads": 1})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        cls.page = webdriver.Chrome(service=Service(DRIVER), options=options)
        if cls.script:
            cls.page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument",
                                     {"source": cls.script})

    @classmethod
    def tearDownClass(cls):
        cls.page.quit()
        cls.server.send_signal(signal.SIGTERM)
        cls.server.wait(timeout=60)
        cls.server.stdout.close()
        cls.downloads.cleanup()

    def setUp(self):
        self.page.set_window_size(*self.size)
        self.page.get(self.url + "/assets/icon.svg")  # of the origin, with nothing of the page
        self.page.execute_async_script("""
          localStorage.clear(); sessionStorage.clear();
          const gone = indexedDB.deleteDatabase("pelton");
          gone.onsuccess = gone.onerror = arguments[0];
        """)
        self.page.get_log("browser")  # of a picture alone Chromium asks for a favicon.ico
        self.load()

    def tearDown(self):
        severe = [entry for entry in self.page.get_log("browser") if entry["level"] == "SEVERE"]
        self.assertEqual(severe, [])

    def load(self, hash=""):
        self.page.get(self.url + "/" + hash)
        self.wait(lambda page: self.name in page.find_element(By.ID, "model").text)

    def wait(self, condition, seconds=120):
        return WebDriverWait(self.page, seconds, 0.02).until(condition)

    def run_js(self, text, *arguments):
        return self.page.execute_script(text, *arguments)

    def find(self, selector):
        return self.page.find_element(By.CSS_SELECTOR, selector)

    def press(self, name, within=""):
        """The button with these words, the last one there is."""
        self.page.find_elements(
            By.CSS_SELECTOR, f'{within} button[aria-label="{name}"]')[-1].click()

    def ask(self, text):
        self.find("#question").send_keys(text, Keys.ENTER)

    def ended(self, page=None):
        return self.find("#send").is_displayed()

    def say(self, *deltas):
        """What the scripted model answers next; texts are contents."""
        self.run_js("window.says.push(arguments[0])",
                    [{"content": each} if isinstance(each, str) else each for each in deltas])

    def exchange(self, question, *deltas):
        self.say(*deltas)
        self.ask(question)
        self.wait(self.ended)

    # In one call: the page replaces its elements while an answer streams.
    def inner_texts(self, selector):
        return self.run_js(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())",
            selector)

    def texts(self):
        return self.inner_texts(".message > .text")

    def chats(self):
        return self.inner_texts("#chats a")

    def sideways(self, selector):
        """Pixels by which something is wider than its place."""
        return self.run_js("const e = document.querySelector(arguments[0]);"
                           "return e.scrollWidth - e.clientWidth", selector)

    def shot(self, name):
        if folder := os.environ.get("SHOTS"):
            self.page.save_screenshot(f"{folder}/{name}.png")
