// Blocks of code: colours by highlight.js, a line with the language, and a button that copies.

/* global hljs */

import { copy, element, iconButton } from "./dom.js";
import { clean } from "./clean.js";

const LONGEST_COLOURED = 60000;

// The code with its colours; without any if the language is not known.
function coloured(text, language) {
  if (!language || !hljs.getLanguage(language) || text.length > LONGEST_COLOURED) return null;
  return clean(hljs.highlight(language, text, true).value, ["span"], ["class"]);
}

// A block that may still grow: `append` and `finish` until it is whole.
export class CodeBlock {
  #code;
  #language;
  #colouredAt = 0;
  #cost = 0;

  constructor(text, language) {
    this.#language = language.toLowerCase();
    this.#code = element("code", {}, text);
    const pre = element("pre", { tabIndex: 0 }, this.#code);
    const button = iconButton("copy", "Copy the code", () => copy(this.#code.textContent, button));
    this.box = element("div.code", { role: "group", "aria-label": (language || "Plain") + " code" },
                       element("div.code-head", {}, element("span", {}, language || "text"), button),
                       pre);
  }

  get text() { return this.#code.textContent; }

  // While an answer comes in, colours follow at a pace that costs a tenth of the time at most.
  append(text) {
    const last = this.#code.lastChild;
    if (last?.nodeType === Node.TEXT_NODE) last.appendData(text);
    else this.#code.append(text);
    const now = performance.now();
    if (now - this.#colouredAt < 200 + 10 * this.#cost) return;
    this.#colour();
    this.#colouredAt = performance.now();
    this.#cost = this.#colouredAt - now;
  }

  finish() {
    this.#colour();
    return this.box;
  }

  #colour() {
    const made = coloured(this.text, this.#language);
    if (made) this.#code.replaceChildren(made);
  }
}
