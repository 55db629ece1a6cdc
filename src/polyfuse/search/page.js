// The search page: asks the server on this machine, and shows what it answers. Loads nothing from anywhere else.
"use strict";

const WORDS = {
  en: {
    search: "search", more: "Filter and options", find: "Look in", where: "Keep rows where", count: "Results",
    columns: "Columns:", go: "Search", clear: "Clear", weight: "Weight", type: "Type what to look for",
    image: "Drop a picture here, or choose one", audio: "Drop a sound here, or choose one", remove: "Remove",
    like: "More like this", likeRow: "like row {0}", rows: "{0} rows", asking: "Searching …",
    said: "{0} of {1} rows, the nearest first ({2} ms)", nothing: "No row fits.", by: "found by {0}",
    ask: "Type something, drop a file, or choose a row.", gone: "The server does not answer: is it still running?",
    large: "{0} is too large: {1} MB at most.", foot: "This page asks the server on your own machine. It loads nothing from anywhere else.",
    switch: "中文", picture: "picture of row {0}",
  },
  zh: {
    search: "搜索", more: "筛选与选项", find: "查找范围", where: "只保留满足条件的行", count: "结果数",
    columns: "可用的列：", go: "搜索", clear: "清空", weight: "权重", type: "输入要找的内容",
    image: "把图片拖到这里，或点击选择", audio: "把声音拖到这里，或点击选择", remove: "移除",
    like: "找相似的", likeRow: "与第 {0} 行相似", rows: "共 {0} 行", asking: "正在搜索……",
    said: "共 {1} 行，显示最接近的 {0} 行（{2} 毫秒）", nothing: "没有符合的行。", by: "按 {0} 找到",
    ask: "请输入文字、拖入文件，或选择一行。", gone: "服务器没有回应：它还在运行吗？",
    large: "{0} 太大：最多 {1} MB。", foot: "本页面只询问您自己机器上的服务器，不从任何其他地方加载内容。",
    switch: "English", picture: "第 {0} 行的图片",
  },
};
const MOST_MB = 22; // of one file: the server takes 32 MiB of base64
const $ = (id) => document.getElementById(id);
const parts = {}; // input -> {modality, weight, text or file}
let language = remembered() || (navigator.language.startsWith("zh") ? "zh" : "en");
let facts = null; // of the index
let like = null; // {id, row} of a row that is asked with
let last = null; // what was answered
let asked = 0; // questions so far: an older answer that comes late is not shown

function remembered() {
  try { return localStorage.getItem("polyfuse-language"); } catch { return null; }
}

function say(key, ...values) {
  return WORDS[language][key].replace(/\{(\d)\}/g, (_, at) => values[at]);
}

function made(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const number = (value) => value.toLocaleString(language === "zh" ? "zh-CN" : "en-US");

// ---- the question

function build() {
  for (const [name, modality] of Object.entries(facts.inputs)) {
    if (!["text", "image", "audio"].includes(modality)) continue;
    const part = (parts[name] = { modality, text: "", file: null });
    part.weight = made("input", { type: "range", min: -1, max: 2, step: 0.1, value: 1 });
    part.shown = made("output", { textContent: "1.0" });
    part.weight.oninput = () => { part.shown.textContent = Number(part.weight.value).toFixed(1); };
    part.word = made("span");
    const weight = made("label", { className: "weight" }, part.word, part.weight, part.shown);
    part.field = modality === "text" ? textField(name, part) : fileField(name, part);
    $("parts").append(made("div", { className: "part" }, made("span", { className: "label", textContent: name }), part.field, weight));
  }
  for (const name of Object.keys(facts.inputs)) {
    $("find").append(made("label", {}, made("input", { type: "checkbox", value: name }), name));
  }
}

function textField(name, part) {
  const field = made("input", { type: "text" });
  field.setAttribute("aria-label", name);
  field.oninput = () => { part.text = field.value; };
  part.translate = () => { field.placeholder = say("type"); };
  part.clear = () => { part.text = field.value = ""; };
  return field;
}

function fileField(name, part) {
  const input = made("input", { type: "file", accept: part.modality + "/*" });
  input.setAttribute("aria-label", name);
  const inside = made("span", { className: "file" });
  const field = made("label", { className: "drop" }, input, inside);
  part.translate = () => {
    for (const node of field.querySelectorAll("img, audio, button")) node.remove();
    if (part.url) URL.revokeObjectURL(part.url);
    part.url = null;
    inside.textContent = part.file ? part.file.name : say(part.modality);
    if (!part.file) return;
    part.url = URL.createObjectURL(part.file);
    field.insertBefore(part.modality === "image" ? made("img", { src: part.url, alt: "" }) : made("audio", { src: part.url, controls: true }), inside);
    const remove = made("button", { type: "button", textContent: "×", title: say("remove") });
    remove.setAttribute("aria-label", say("remove"));
    remove.onclick = (event) => { event.preventDefault(); part.clear(); };
    field.append(remove);
  };
  part.take = (file) => {
    if (file.size > MOST_MB * 1e6) return problem(say("large", file.name, MOST_MB));
    problem("");
    part.file = file;
    part.translate();
  };
  part.clear = () => { part.file = null; input.value = ""; part.translate(); };
  input.onchange = () => { if (input.files.length) part.take(input.files[0]); };
  return field;
}

// A file may be dropped anywhere: on its own field, or else on the first input of its kind.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  for (const { field } of Object.values(parts)) field.classList.toggle("over", field.contains(event.target));
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  for (const { field } of Object.values(parts)) field.classList.remove("over");
  if (!file) return;
  const files = Object.values(parts).filter((part) => part.take);
  const on = files.find((part) => part.field.contains(event.target));
  const fits = on || files.find((part) => file.type.startsWith(part.modality)) || files[0];
  if (fits) fits.take(file);
});

function content(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}

async function question() {
  const chosen = [];
  for (const [input, part] of Object.entries(parts)) {
    const weight = Number(part.weight.value);
    if (part.text.trim()) chosen.push({ input, weight, text: part.text });
    if (part.file) chosen.push({ input, weight, data: await content(part.file) });
  }
  const find = [...$("find").querySelectorAll("input:checked")].map((box) => box.value);
  return { parts: chosen, find, where: $("where").value, k: Number($("k").value) || 12, like: like ? like.id : "" };
}

async function search() {
  const turn = ++asked;
  problem("");
  const body = await question();
  if (!body.parts.length && !body.like) return problem(say("ask"));
  $("said").textContent = say("asking");
  const began = performance.now();
  try {
    const answer = await fetch("/api/search", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const found = await answer.json();
    if (turn !== asked) return;
    if (!answer.ok) throw new Error(found.error);
    last = { ...found, ms: Math.round(performance.now() - began) };
  } catch (error) {
    if (turn !== asked) return;
    last = null;
    problem(error instanceof TypeError ? say("gone") : error.message);
  }
  show();
}

// ---- the answer

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function show() {
  $("found").replaceChildren(...(last ? last.rows.map(card) : []));
  $("said").textContent = !last ? "" : last.rows.length ? say("said", number(last.rows.length), number(last.of), number(last.ms)) : say("nothing");
}

function card(row) {
  const media = made("div", { className: "media" });
  for (const { input, kind } of row.media) {
    const src = `/media/${row.id}/${encodeURIComponent(input)}`;
    if (kind.startsWith("image")) media.append(made("img", { src, alt: say("picture", row.known.row), loading: "lazy" }));
    if (kind.startsWith("audio")) media.append(made("audio", { src, controls: true, preload: "none" }));
  }
  const known = made("dl");
  for (const [name, value] of Object.entries(row.known)) known.append(made("dt", { textContent: name }), made("dd", { textContent: value }));
  const again = made("button", { type: "button", className: "again", textContent: say("like") });
  again.onclick = () => {
    for (const part of Object.values(parts)) part.clear();
    like = { id: row.id, row: row.known.row };
    translate();
    search();
    window.scrollTo({ top: 0, behavior: "smooth" });
  };
  const top = made("div", { className: "top" }, made("span", { className: "score", textContent: row.score.toFixed(3) }), made("span", { textContent: say("by", row.found) }));
  return made("article", { className: "sample card" }, top, ...(row.media.length ? [media] : []), known, again);
}

// ---- the page

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = say(node.dataset.t);
  $("language").textContent = say("switch");
  $("language").lang = language === "zh" ? "en" : "zh-Hans";
  $("like").hidden = !like;
  if (like) $("like").textContent = say("likeRow", like.row);
  if (!facts) return;
  document.title = `${facts.name} · polyfuse`;
  $("name").textContent = facts.name;
  $("size").textContent = say("rows", number(facts.rows));
  $("columns").textContent = facts.columns.join(", ");
  for (const part of Object.values(parts)) {
    part.word.textContent = say("weight");
    part.translate();
  }
  show();
}

$("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  try { localStorage.setItem("polyfuse-language", language); } catch { /* this visit only */ }
  translate();
};
$("ask").onsubmit = (event) => {
  event.preventDefault();
  if (Object.values(parts).some((part) => part.text.trim() || part.file)) like = null;
  translate();
  search();
};
$("ask").onreset = () => {
  asked += 1;
  like = last = null;
  problem("");
  for (const part of Object.values(parts)) {
    part.clear();
    part.shown.textContent = "1.0";
  }
  translate();
};

translate();
fetch("/api/index").then(async (answer) => {
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  facts = found;
  build();
  translate();
}).catch((error) => problem(error instanceof TypeError ? say("gone") : error.message));
