// Where questions are written, and files are put beside them.

import { $, tell } from "./dom.js";
import { fileView } from "./messages.js";

const MOST_BYTES = 512 << 10;  // of the files of one question
let files = [];     // {name, text}
let onSend = null;  // called with the text and the files; false: not now

function fit() {
  const field = $("question");
  field.style.height = "auto";
  field.style.height = field.scrollHeight + 2 + "px";
}

function drawFiles() {
  $("files").replaceChildren(...files.map((file, i) => fileView(file, () => {
    files.splice(i, 1);
    drawFiles();
    $("question").focus();
  })));
}

// Only text: a file that is not UTF-8 is refused by name.
async function attach(list) {
  for (const file of list) {
    const size = files.reduce((sum, { text }) => sum + text.length, file.size);
    if (size > MOST_BYTES) {
      tell(`${file.name} is too large: the files of a question may have 512 KiB.`, true);
      continue;
    }
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
      if (text.includes("\0")) throw new Error("not text");
      files.push({ name: file.name.slice(0, 200), text });
    } catch { tell(`${file.name} is not a text file.`, true); }
  }
  drawFiles();
  $("question").focus();
}

function send() {
  const text = $("question").value.trim();
  if (!text && !files.length) return;
  if (onSend(text, files) === false) return;
  $("question").value = "";
  files = [];
  drawFiles();
  fit();
}

export function showRunning(runs) {
  $("send").hidden = runs;
  $("stop").hidden = !runs;
}

export function startComposer(send_, stop) {
  onSend = send_;
  $("ask").onsubmit = (event) => {
    event.preventDefault();
    send();
  };
  $("question").oninput = fit;
  $("question").onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
    if (event.key === "Escape" && !$("stop").hidden) {
      event.stopPropagation();
      stop();
    }
  };
  $("stop").onclick = () => {
    stop();
    $("question").focus();
  };
  $("attach").onclick = () => $("attach-file").click();
  $("attach-file").onchange = async () => {
    const chosen = [...$("attach-file").files];
    $("attach-file").value = "";
    await attach(chosen);
  };
  $("question").onpaste = (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    attach([...event.clipboardData.files]);
  };
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) attach([...event.dataTransfer.files]);
  });
}
