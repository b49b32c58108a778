// Markdown of a model as elements: read by marked, cleaned by DOMPurify, then completed with
// formulas and code blocks. HTML in it stays text, but for a few tags without attributes.

/* global marked */

import { clean } from "./clean.js";
import { CodeBlock } from "./code.js";
import { element } from "./dom.js";
import { fillMaths, mathsRules } from "./maths.js";

const TAGS = ["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code",
              "pre", "blockquote", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td",
              "a", "span", "div", "sub", "sup", "kbd", "input"];
const ATTRIBUTES = ["href", "title", "start", "align", "class", "type", "checked", "disabled"];
const PLAIN_TAG = /^<\/?(?:br|sub|sup|kbd)\s*\/?>/i;

const escaped = (text) => text.replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";");

function writeMaths({ tex, display }) {
  return display ? `<div class="maths display">${escaped(tex)}</div>`
                 : `<span class="maths">${escaped(tex)}</span>`;
}

marked.use({
  gfm: true, headerIds: false, mangle: false,
  extensions: mathsRules(writeMaths),
  tokenizer: {
    html() { return undefined; },  // no block of HTML: a paragraph, whose tags the rule below reads
    tag(source) {
      const found = PLAIN_TAG.exec(source);
      return found ? { type: "html", raw: found[0], text: found[0] } : undefined;
    },
  },
  renderer: {
    code(text, info) {
      const language = /^[\w+#.-]+/.exec(info ?? "")?.[0] ?? "";
      return `<pre><code class="language-${escaped(language)}">${escaped(text)}</code></pre>\n`;
    },
    // No image is fetched: its address would tell others what was said.
    image(address, title, text) {
      return `<a href="${escaped(address ?? "")}">${text || escaped(address ?? "")}</a>`;
    },
  },
});

// Formulas, code blocks, links and tables of what was cleaned.
function complete(fragment) {
  for (const node of [...fragment.childNodes]) {
    if (node.nodeType === Node.TEXT_NODE && !node.data.trim()) node.remove();
  }
  for (const box of fragment.querySelectorAll("pre")) {
    const code = box.querySelector("code");
    if (!code) continue;
    const language = code.className.replace(/^language-/, "");
    box.replaceWith(new CodeBlock(code.textContent, language).finish());
  }
  for (const maths of fragment.querySelectorAll(".maths")) {
    fillMaths(maths, maths.textContent, maths.classList.contains("display"));
  }
  for (const link of fragment.querySelectorAll("a[href]")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const table of fragment.querySelectorAll("table")) {
    const box = element("div.wide", { tabIndex: 0, role: "region", "aria-label": "Table" });
    table.replaceWith(box);
    box.append(table);
  }
  for (const tick of fragment.querySelectorAll("input")) {
    if (tick.type === "checkbox") tick.disabled = true;
    else tick.remove();
  }
  return fragment;
}

function drawTokens(tokens, links) {
  const list = Object.assign([...tokens], { links });
  return complete(clean(marked.parser(list), TAGS, ATTRIBUTES));
}

// As marked reads a text; done before, so that what it has read can be counted off. A "\r" at the
// end waits for what comes next.
function evenedOut(text) {
  return text.replace(/\r\n|\r(?!$)/g, "\n")
      .replace(/^( *)(\t+)/gm, (_, spaces, tabs) => spaces + "    ".repeat(tabs.length));
}

// What a formula or code span at the end of a text that goes on would be, closed for now, so that
// half a word of bold type is not shown as two stars first.
export function closedForNow(text) {
  const line = text.slice(text.lastIndexOf("\n\n") + 1);
  if (/^ {0,3}(?:```|~~~)/m.test(line)) return text;
  const ticks = line.match(/`/g)?.length ?? 0;
  if (ticks % 2) return /`$/.test(text) ? text.slice(0, -1) : text + "`";
  const stars = line.match(/\*\*(?=\S)|(?<=\S)\*\*/g)?.length ?? 0;
  if (stars % 2) return /\*\*$/.test(text) ? text.slice(0, -2) : text.replace(/\*$/, "") + "**";
  return text;
}

// An open block of code: what opens it must stand at the line's begin, since else its lines would
// have to be moved.
const FENCE = /^(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*(?=\n)/;

function openFence(raw) {
  const found = FENCE.exec(raw);
  if (!found) return null;
  const mark = found[1];
  const close = new RegExp(`\\n {0,3}${mark[0]}{${mark.length},} *(\\n|$)`);
  if (close.test(raw.slice(found[0].length))) return null;
  return { close, language: found[2], head: found[0].length };
}

// Shows a text that grows. What ends with a block that cannot change any more is drawn once; only
// the last block is drawn again, and an open block of code gets only what is new.
export class MarkdownView {
  #target;
  #length = 0;    // of the text so far
  #pending = "";  // what belongs to the last block; of an open block of code, what it lacks yet
  #tail = [];     // the last block's elements
  #fence = null;  // open block of code: {block, close}
  #hasLinks = false;

  constructor(target) {
    this.#target = target;
    target.replaceChildren();
  }

  // `text` begins with what was shown before. Ended: nothing will follow.
  show(text, ended) {
    const news = text.slice(this.#length);
    this.#length = text.length;
    this.#hasLinks ||= /^ {0,3}\[[^\]\n]+\]:/m.test(news);
    if (ended && this.#hasLinks) {  // a link's address may stand below its use
      this.#target.replaceChildren();
      this.#tail = [];
      this.#fence = null;
      this.#pending = evenedOut(text);
    } else {
      const line = this.#pending.lastIndexOf("\n") + 1;
      this.#pending = this.#pending.slice(0, line) + evenedOut(this.#pending.slice(line) + news);
    }
    // marked takes a block of code that was cut off for one only if its last line has ended.
    if (ended) this.#pending = this.#pending.replace(/\r?\n?$/, "\n");
    if (this.#fence && !this.#growCode(ended)) return;
    this.#draw(ended);
  }

  // False: the block of code is still open, or nothing follows it.
  #growCode(ended) {
    const { block, close } = this.#fence;
    const found = close.exec(this.#pending);
    const closed = found && (found[1] || ended);
    let sure = found?.index ?? this.#pending.length;
    if (!found && !ended) {  // the last line may become the closing fence
      const line = this.#pending.lastIndexOf("\n");
      if (line >= 0 && /^ {0,3}[`~]* *\r?$/.test(this.#pending.slice(line + 1))) sure = line;
    }
    if (!found && ended) --sure;  // the last line's end
    if (!found && this.#pending.endsWith("\r")) sure = Math.min(sure, this.#pending.length - 1);
    const news = this.#pending.slice(0, sure);
    block.append(block.text ? news : news.replace(/^\n/, ""));
    this.#pending = this.#pending.slice(closed ? sure + found[0].length : sure);
    if (!closed && !ended) return false;
    block.finish();
    this.#fence = null;
    this.#tail = [];
    return closed && this.#pending !== "";
  }

  #draw(ended) {
    for (const node of this.#tail) node.remove();
    this.#tail = [];
    this.#settle(ended);
    if (ended || !this.#pending.trim()) return;
    const fence = openFence(this.#pending);
    if (fence) {
      const block = new CodeBlock("", fence.language);
      this.#fence = { block, close: fence.close };
      this.#pending = this.#pending.slice(fence.head);
      this.#addTail(block.box);
      this.#growCode(false);
      return;
    }
    const tokens = marked.lexer(closedForNow(this.#pending));
    this.#addTail(drawTokens(tokens, tokens.links));
  }

  // Draws for good what stands before the last block, and keeps the rest. A line that has not ended
  // may still become part of any block: it does not count.
  #settle(ended) {
    const lines = ended ? this.#pending : this.#pending.slice(0, this.#pending.lastIndexOf("\n") + 1);
    const tokens = marked.lexer(lines);
    let last = tokens.length;
    if (!ended) do --last; while (last > 0 && tokens[last].type === "space");
    if (last <= 0) return;
    const settled = tokens.slice(0, last);
    const raw = settled.map((token) => token.raw).join("");
    if (!ended && !lines.startsWith(raw)) return;  // it could not be told what was read
    this.#target.append(drawTokens(settled, tokens.links));
    this.#pending = ended ? "" : this.#pending.slice(raw.length);
  }

  #addTail(nodes) {
    const before = this.#target.lastChild;
    this.#target.append(nodes);
    for (let at = before ? before.nextSibling : this.#target.firstChild; at; at = at.nextSibling) {
      this.#tail.push(at);
    }
  }
}
