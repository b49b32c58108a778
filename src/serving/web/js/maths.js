// Maths by KaTeX: where it is in Markdown, and how it is drawn.

/* global katex */

const LONGEST = 4000;  // of a formula; longer ones stay text, and nothing is searched further
const MOST_DRAWN = 300;
const drawnBefore = new Map();  // what a formula became, since streaming draws it many times

function sourceOf(found, isBlock) {
  const tex = found.slice(1).find((part) => part !== undefined) ?? "";
  return { type: isBlock ? "mathsBlock" : "maths", raw: found[0], tex: tex.trim(),
           display: isBlock || found[0].startsWith("$$") || found[0].startsWith("\\[") };
}

// What stands between $$ and $$, and between \[ and \] or \( and \): no empty line, and no end.
const DOLLARS = String.raw`(?:[^$\\\n]|\\[^]|\$(?!\$)|\n(?!\s*\n)){1,${LONGEST}}?`;
const until = (end) => String.raw`(?:[^\\\n]|\\(?!\${end})|\n(?!\s*\n)){1,${LONGEST}}?`;
const DISPLAY = String.raw`\$\$(${DOLLARS})\$\$|\\\[(${until("]")})\\\]`;
// Alone on its lines.
const BLOCK = new RegExp(String.raw`^ {0,3}(?:${DISPLAY})[ \t]*(?:\n+|$)`);
// Within a line, also $…$ and \(…\): a dollar that begins a formula has no space behind it, one that
// ends it none before and no digit behind, so that sums of money stay what they are.
const INLINE = new RegExp(String.raw`^(?:${DISPLAY}|\\\((${until(")")})\\\)|` +
    String.raw`\$(?![\s$])((?:[^$\\\n]|\\.){0,${LONGEST}}?[^\s\\$])\$(?!\d))`);

// Rules for marked: tokens "mathsBlock" and "maths" with `tex`. `write` gives their HTML.
export function mathsRules(write) {
  const rule = (name, level, begin, pattern) => ({
    name, level,
    start(text) {
      const at = text.search(begin);
      return at < 0 ? undefined : at;
    },
    tokenizer(text) {
      const found = pattern.exec(text);
      return found ? sourceOf(found, level === "block") : undefined;
    },
    renderer: write,
  });
  return [rule("mathsBlock", "block", /(?<=^|\n) {0,3}(?:\$\$|\\\[)/, BLOCK),
          rule("maths", "inline", /\$|\\\(|\\\[/, INLINE)];
}

// KaTeX would set styles as attributes, which the page's policy forbids. They are kept aside and
// set through the style object, which it allows.
function setStylesAside(tree) {
  const todo = [tree];
  while (todo.length) {
    const node = todo.pop();
    if (node.attributes?.style) {
      node.attributes["data-style"] = node.attributes.style;
      delete node.attributes.style;
    }
    if (node.children) todo.push(...node.children);
  }
}

function draw(tex, displayMode) {
  const tree = katex.__renderToDomTree(tex, {
    displayMode, throwOnError: true, trust: false, strict: "ignore", maxSize: 50, maxExpand: 500 });
  setStylesAside(tree);
  const made = tree.toNode();
  for (const styled of made.querySelectorAll("[data-style]")) {
    styled.style.cssText = styled.dataset.style;
    delete styled.dataset.style;
  }
  return made;
}

// Puts the formula into `target`, or leaves its text there, and why, if it is not one.
export function fillMaths(target, tex, display) {
  const name = (display ? "d" : "i") + tex;
  let made = drawnBefore.get(name);
  if (!made) {
    try {
      made = draw(tex, display);
    } catch (failure) {
      target.classList.add("unread");
      target.title = String(failure.message).replace(/^KaTeX parse error: /, "");
      return;
    }
    if (drawnBefore.size >= MOST_DRAWN) drawnBefore.delete(drawnBefore.keys().next().value);
    drawnBefore.set(name, made);
  }
  target.replaceChildren(made.cloneNode(true));
}
