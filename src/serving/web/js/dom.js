// Small words for what the page does with elements all the time.

export const $ = (id) => document.getElementById(id);

// element("a.small", {href: "x"}, "text", child): properties that the element has are set, all
// else are attributes; null and false children are left out.
export function element(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== false));
  return made;
}

export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// One of the pictures in page.html.
export function icon(name) {
  return drawn("svg", { class: "icon", "aria-hidden": "true" },
               drawn("use", { href: "#i-" + name }));
}

// A button that shows only a picture; its words are there for those who cannot see it.
export function iconButton(name, words, action) {
  return element("button.bare", { type: "button", title: words, "aria-label": words,
                                  onclick: action }, icon(name));
}

// Tells a screen reader what happened; nobody else sees it.
export function announce(words) {
  $("announce").textContent = "";
  $("announce").textContent = words;
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure origin there is no clipboard but the old one.
    const field = element("textarea.unseen", { value: text, readOnly: true });
    (button.closest("dialog") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  announce("Copied");
  const use = button.querySelector("use");
  if (!use || button.dataset.copied) return;
  const before = use.getAttribute("href");
  button.dataset.copied = "1";
  use.setAttribute("href", "#i-check");
  setTimeout(() => {
    use.setAttribute("href", before);
    delete button.dataset.copied;
    button.focus({ preventScroll: true, focusVisible: false });
  }, 1200);
  button.focus({ preventScroll: true, focusVisible: false });
}

// Resolves to whether the user agreed.
export function confirmed(question, words) {
  const dialog = $("confirm");
  $("confirm-question").textContent = question;
  $("confirm-yes").textContent = words;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// Something went wrong, or was done: shown for a while below the page's top.
let hiding = 0;
export function tell(words, isError = false) {
  const note = $("note");
  note.textContent = words;
  note.classList.toggle("error", isError);
  note.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { note.hidden = true; }, isError ? 10000 : 4000);
}

export function saveAs(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
