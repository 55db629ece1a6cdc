// The page of a service: a control per column, an answer with what each input did for it. Loads nothing from elsewhere.
"use strict";

const WORDS = {
  en: {
    service: "service", api: "API", model: "Model", examples: "Try a row:", example: "row {0}", go: "Predict", clear: "Clear",
    image: "Drop a picture here, or choose one", audio: "Drop a sound here, or choose one", video: "Drop a film here, or choose one",
    remove: "Remove", record: "Record", stop: "Stop ({0} s)", text: "Write a text", number: "A number", category: "Choose or type",
    date: "A date such as 2024-01-31", vector: "Numbers, such as [0.1, 2, 3]", asking: "Asking …", said: "Answered in {0} ms",
    empty: "Fill in one field at least.", gone: "The service does not answer: is it still running?", starting: "The model is being started …",
    token: "This service asks for a token:", enter: "Enter", wrong: "The service does not know this token.",
    probabilities: "Probabilities", others: "{0} others", contributions: "What each input did", points: "{0}, in percentage points", base: "without any input: {0}",
    about: "reads {0} and says {1}", and: "and", nothing: "vectors", microphone: "The microphone cannot be used: {0}",
    large: "{0} is too large: {1} MB at most.", recorded: "recording", writing: "Writing …", none: "nothing",
    foot: "This page asks its own service and loads nothing from anywhere else. What you give it is not kept.", switch: "中文",
    kinds: { image: "picture", audio: "sound", video: "film", text: "text", number: "number", category: "choice", date: "date", vector: "numbers" },
  },
  zh: {
    service: "服务", api: "接口", model: "模型", examples: "试用样例：", example: "第 {0} 行", go: "预测", clear: "清空",
    image: "把图片拖到这里，或点击选择", audio: "把声音拖到这里，或点击选择", video: "把视频拖到这里，或点击选择",
    remove: "移除", record: "录音", stop: "停止（{0} 秒）", text: "输入文字", number: "输入数字", category: "选择或输入",
    date: "日期，例如 2024-01-31", vector: "数字，例如 [0.1, 2, 3]", asking: "正在询问……", said: "用时 {0} 毫秒",
    empty: "请至少填写一项。", gone: "服务没有回应：它还在运行吗？", starting: "模型正在启动……",
    token: "此服务需要令牌：", enter: "进入", wrong: "服务不认识这个令牌。",
    probabilities: "各类概率", others: "其余 {0} 项", contributions: "每个输入的贡献", points: "{0}，以百分点计", base: "没有任何输入时：{0}",
    about: "读取{0}，回答{1}", and: "和", nothing: "向量", microphone: "无法使用麦克风：{0}",
    large: "{0} 太大：最多 {1} MB。", recorded: "录音", writing: "正在书写……", none: "无",
    foot: "本页面只询问它自己的服务，不从任何其他地方加载内容，也不保存您提供的内容。", switch: "English",
    kinds: { image: "图片", audio: "声音", video: "视频", text: "文字", number: "数字", category: "选项", date: "日期", vector: "数字" },
  },
};
const MOST_MB = 20; // of one file: the service takes 32 MiB of base64 unless told otherwise
const BARS = 8; // of probabilities
const $ = (id) => document.getElementById(id);
let language = kept(localStorage, "polyfuse-language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let token = kept(sessionStorage, "polyfuse-token") || "";
let models = []; // as /v1/models gives them
let model = null;
let parts = {}; // column -> its control
let samples = []; // rows to try
let last = null; // what was answered
let asked = 0; // questions so far: an older answer that comes late is not shown

function kept(store, name, value) {
  try { return value === undefined ? store.getItem(name) : store.setItem(name, value); } catch { return null; }
}

function say(key, ...values) {
  return WORDS[language][key].replace(/\{(\d)\}/g, (_, at) => values[at]);
}

function made(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function drawn(tag, properties, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function written(value) {
  if (value === null) return say("none");
  if (typeof value === "number") return value.toLocaleString(language === "zh" ? "zh-CN" : "en-US", { maximumSignificantDigits: 6 });
  return Array.isArray(value) ? value.map(written).join(", ") || say("none") : String(value);
}

async function ask(path, body) {
  const headers = { ...(body ? { "Content-Type": "application/json" } : {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  return fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
}

async function answered(path, body) {
  const answer = await ask(path, body);
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.error.message), { status: answer.status });
  return found;
}

function problem(error) {
  const text = error instanceof TypeError ? say("gone") : error ? error.message || error : "";
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

// ---- the question

function build() {
  parts = {};
  $("parts").replaceChildren();
  const columns = model.inputs.flatMap((input) => input.columns);
  for (const name of new Set(model.outputs.flatMap((output) => output.reads))) {
    if (!columns.some((column) => column.name === name)) columns.push({ name, kind: "text", choices: [] });
  }
  for (const column of columns) {
    const part = (parts[column.name] = control(column));
    part.column = column;
    part.word = made("span", { className: "kind" });
    $("parts").append(made("div", { className: "part" }, made("span", { className: "label", textContent: column.name }, part.word), part.field));
  }
}

function control(column) {
  if (["image", "audio", "video"].includes(column.kind)) return fileControl(column);
  if (column.kind === "category" && column.choices.length) return choiceControl(column);
  return textControl(column);
}

function textControl({ name, kind }) {
  const input = made(kind === "text" ? "textarea" : "input", kind === "text" ? { rows: 2 } : { type: kind === "number" ? "number" : "text", step: "any" });
  input.setAttribute("aria-label", name);
  const value = () => {
    const text = input.value.trim();
    if (!text) return null;
    return kind === "number" ? Number(text) : kind === "vector" ? JSON.parse(text) : text;
  };
  const set = (cell) => { input.value = cell === undefined ? "" : typeof cell === "string" ? cell : JSON.stringify(cell); };
  return { field: input, value, set, translate: () => { input.placeholder = say(kind); } };
}

function choiceControl({ name, choices }) {
  const list = made("datalist", { id: `choices-${name}` });
  for (const choice of choices) list.append(made("option", { value: choice }));
  const input = made("input", { type: "text" });
  input.setAttribute("list", list.id);
  input.setAttribute("aria-label", name);
  const set = (cell) => { input.value = cell === undefined ? "" : String(cell); };
  return { field: made("div", {}, input, list), value: () => input.value.trim() || null, set, translate: () => { input.placeholder = say("category"); } };
}

function fileControl({ name, kind }) {
  const part = { file: null, url: null };
  const input = made("input", { type: "file", accept: kind + "/*" });
  input.setAttribute("aria-label", name);
  const inside = made("span", { className: "file" });
  const drop = made("label", { className: "drop" }, input, inside);
  part.field = made("div", { className: "field" }, drop);
  part.kind = kind;
  part.show = () => {
    for (const node of drop.querySelectorAll("img, audio, video, button")) node.remove();
    if (part.url) URL.revokeObjectURL(part.url);
    part.url = part.file ? URL.createObjectURL(part.file) : null;
    inside.textContent = part.file ? part.file.name : say(kind);
    if (!part.file) return;
    const view = kind === "image" ? made("img", { src: part.url, alt: "" }) : made(kind, { src: part.url, controls: true });
    const remove = made("button", { type: "button", textContent: "×", title: say("remove") });
    remove.setAttribute("aria-label", say("remove"));
    remove.onclick = (event) => { event.preventDefault(); part.set(); };
    drop.insertBefore(view, inside);
    drop.append(remove);
  };
  part.take = (file) => {
    if (file.size > MOST_MB * 1e6) return problem(say("large", file.name, MOST_MB));
    problem("");
    part.file = file;
    part.show();
  };
  part.set = (cell) => {
    input.value = "";
    part.file = cell === undefined ? null : file(cell.base64, name, kind);
    part.show();
  };
  part.value = async () => (part.file ? { base64: await content(part.file) } : null);
  input.onchange = () => { if (input.files.length) part.take(input.files[0]); };
  const button = kind === "audio" ? recorder(part) : null;
  if (button) part.field.append(button);
  part.translate = () => {
    part.show();
    if (button && !button.classList.contains("on")) button.textContent = say("record");
  };
  return part;
}

function file(base64, name, kind) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const type = kind === "audio" ? (bytes[0] === 0x52 ? "audio/wav" : "audio/mpeg") : bytes[0] === 0x89 ? "image/png" : `${kind}/*`;
  return new File([bytes], name, { type });
}

function content(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(blob);
  });
}

// A recording is sent as WAV: every model reads it, whatever the browser itself records.
function recorder(part) {
  const button = made("button", { type: "button", className: "record" });
  let running = null;
  button.onclick = async () => {
    if (running) return running.stop();
    try {
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      const pieces = [];
      running = new MediaRecorder(microphone);
      const began = Date.now();
      const clock = setInterval(() => { button.textContent = say("stop", Math.round((Date.now() - began) / 1000)); }, 200);
      running.ondataavailable = (event) => pieces.push(event.data);
      running.onstop = async () => {
        clearInterval(clock);
        for (const track of microphone.getTracks()) track.stop();
        running = null;
        button.classList.remove("on");
        button.textContent = say("record");
        try {
          const context = new AudioContext();
          const sound = await context.decodeAudioData(await new Blob(pieces).arrayBuffer());
          await context.close();
          part.take(new File([wav(sound)], `${say("recorded")}.wav`, { type: "audio/wav" }));
        } catch (error) { problem(say("microphone", error.message)); }
      };
      running.start();
      button.classList.add("on");
      button.textContent = say("stop", 0);
    } catch (error) {
      running = null;
      problem(say("microphone", error.message));
    }
  };
  return button;
}

function wav(sound) {
  const samples = sound.getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => { for (let n = 0; n < letters.length; n++) view.setUint8(at + n, letters.charCodeAt(n)); };
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, n) => view.setInt16(44 + 2 * n, Math.max(-1, Math.min(1, value)) * 32767, true));
  return view.buffer;
}

// A file may be dropped anywhere: on its own field, or else on the first of its kind.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  for (const { field } of Object.values(parts)) for (const drop of field.querySelectorAll(".drop")) drop.classList.toggle("over", field.contains(event.target));
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  for (const node of document.querySelectorAll(".over")) node.classList.remove("over");
  const dropped = event.dataTransfer.files[0];
  const files = Object.values(parts).filter((part) => part.take);
  const fits = files.find((part) => part.field.contains(event.target)) || (dropped && files.find((part) => dropped.type.startsWith(part.kind)));
  if (dropped && fits) fits.take(dropped);
});

async function question() {
  const row = {};
  for (const [name, part] of Object.entries(parts)) {
    const cell = await part.value();
    if (cell !== null) row[name] = cell;
  }
  return row;
}

async function predict() {
  const turn = ++asked;
  problem("");
  let row;
  try { row = await question(); } catch (error) { return problem(error.message); }
  if (!Object.keys(row).length) return problem(say("empty"));
  $("said").textContent = say("asking");
  $("go").disabled = true;
  const began = performance.now();
  try {
    const writers = model.outputs.filter((output) => output.writes);
    const plain = model.outputs.length > writers.length;
    last = { answers: {}, explained: {}, warnings: [], ms: null };
    if (plain) {
      const found = await answered("/v1/predict", { model: model.id, row });
      if (turn !== asked) return;
      last = { answers: found.answers[0], explained: {}, warnings: found.warnings, ms: Math.round(performance.now() - began) };
      show();
      const scored = model.outputs.filter((output) => output.labels.length || output.head === "number");
      if (scored.length) {
        const explained = await answered("/v1/explain", { model: model.id, row });
        if (turn !== asked) return;
        last.explained = explained.explanations[0];
        show();
      }
    }
    for (const output of writers) await stream(output.name, row, turn);
    if (turn === asked) last.ms ??= Math.round(performance.now() - began);
  } catch (error) {
    if (turn === asked) problem(error);
  } finally {
    if (turn === asked) {
      $("go").disabled = false;
      show();
    }
  }
}

async function stream(output, row, turn) {
  const answer = await ask("/v1/generate", { model: model.id, row, output });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  last.answers[output] = { value: "" };
  for (;;) {
    const { done, value } = await reader.read();
    if (done || turn !== asked) return;
    const events = (waiting + value).split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      if (event === "data: [DONE]") continue;
      const found = JSON.parse(event.slice(6));
      if (found.error) throw new Error(found.error.message);
      last.answers[output].value = found.text ?? last.answers[output].value + found.piece;
    }
    show();
  }
}

// ---- the answer

function show() {
  $("found").replaceChildren(...(last ? model.outputs.filter(({ name }) => last.answers[name]).map(card) : []));
  const busy = $("go").disabled;
  const done = last && last.ms !== null ? [say("said", written(last.ms)), ...last.warnings].join(" · ") : "";
  $("said").textContent = done || (busy ? say("asking") : "");
}

function card({ name, writes }) {
  const { value, confidence, probabilities } = last.answers[name];
  const box = made("article", { className: "card answer" }, made("h2", { textContent: name }));
  if (value && value.base64) box.append(medium(value));
  else box.append(made("p", { className: writes ? "value text" : "value", textContent: written(value) }));
  if (probabilities) box.append(made("h3", { textContent: say("probabilities") }), chances(probabilities));
  else if (confidence !== undefined) box.append(made("p", { className: "sub", textContent: percent(confidence) }));
  const explained = last.explained[name];
  if (explained) {
    box.append(made("h3", { textContent: say("contributions") + (explained.target === null ? "" : ` · ${say("points", written(explained.target))}`) }));
    box.append(contributions(explained));
    box.append(made("p", { className: "sub", textContent: say("base", explained.target === null ? written(explained.base) : percent(explained.base)) }));
  }
  return box;
}

function medium({ type, base64 }) {
  const src = `data:${type};base64,${base64}`;
  return type.startsWith("image") ? made("img", { src, alt: "" }) : made("audio", { src, controls: true });
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function chances(probabilities) {
  const all = Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
  const bars = made("div", { className: "bars chances" });
  for (const [label, p] of all.slice(0, BARS)) bar(bars, label, 0, p, percent(p));
  if (all.length > BARS) {
    const rest = all.slice(BARS).reduce((sum, [, p]) => sum + p, 0);
    bar(bars, say("others", all.length - BARS), 0, Math.min(1, rest), percent(rest));
  }
  return bars;
}

function contributions({ target, contributions: values }) {
  const most = Math.max(...Object.values(values).map(Math.abs), 1e-9);
  const bars = made("div", { className: "bars contributions" });
  for (const [name, value] of Object.entries(values)) {
    const much = target === null ? written(value) : `${value < 0 ? "−" : "+"}${(100 * Math.abs(value)).toFixed(1)}`;
    const input = model.inputs.find((one) => one.name === name);
    const known = input && input.columns.length === 1 ? input.columns[0].name : name; // as its field is called
    bar(bars, known, 0.5, value / most / 2, much);
  }
  return bars;
}

// A bar from a share of the width on; drawn, since the page allows no style inside tags.
function bar(bars, label, from, length, much) {
  const x = 100 * Math.min(from, from + length);
  const mark = drawn("rect", { class: length < 0 ? "less" : "more", x, y: 1, width: 100 * Math.abs(length), height: 12, rx: 1 });
  const picture = drawn("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("rect", { class: "track", x: 0, y: 1, width: 100, height: 12, rx: 1 }), mark);
  if (from) picture.append(drawn("line", { x1: 50, x2: 50, y1: 0, y2: 14, "stroke-width": 0.4 }));
  bars.append(made("span", { className: "of", textContent: label, title: label }), picture, made("span", { className: "much", textContent: much }));
}

// ---- the page

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = say(node.dataset.t);
  $("language").textContent = say("switch");
  $("language").lang = language === "zh" ? "en" : "zh-Hans";
  $("chips").replaceChildren(...samples.map((sample, n) => {
    const chip = made("button", { type: "button", className: "chip", textContent: say("example", n + 1) });
    chip.onclick = () => {
      for (const [name, part] of Object.entries(parts)) part.set(sample[name]);
      predict();
    };
    return chip;
  }));
  if (!model) return;
  document.title = `${model.id} · polyfuse`;
  $("name").textContent = model.id;
  const named = (names) => names.join(language === "zh" ? "、" : ", ");
  $("about").textContent = say("about", named(Object.keys(parts)), named(model.outputs.map(({ name }) => name)) || say("nothing"));
  for (const part of Object.values(parts)) {
    part.word.textContent = WORDS[language].kinds[part.column.kind] || part.column.kind;
    part.translate();
  }
  show();
}

async function choose(id) {
  asked += 1;
  model = models.find((one) => one.id === id) || models[0];
  last = null;
  samples = [];
  problem("");
  build();
  translate();
  const found = await answered(`/v1/examples?model=${encodeURIComponent(model.id)}`);
  samples = found.rows;
  $("examples").hidden = !samples.length;
  translate();
}

async function start() {
  problem("");
  const answer = await ask("/v1/models");
  $("access").hidden = answer.status !== 401;
  if (answer.status === 401) return token ? problem(say("wrong")) : undefined;
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message);
  models = found.data;
  if (models.some((one) => !one.ready)) {
    $("said").textContent = say("starting");
    return setTimeout(() => start().catch(problem), 500);
  }
  $("said").textContent = "";
  $("model").replaceChildren(...models.map(({ id }) => made("option", { value: id, textContent: id })));
  $("models").hidden = models.length < 2;
  $("ask").hidden = false;
  await choose(models[0].id);
}

$("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  kept(localStorage, "polyfuse-language", language);
  translate();
};
$("access").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  kept(sessionStorage, "polyfuse-token", token);
  start().catch(problem);
};
$("model").onchange = () => choose($("model").value).catch(problem);
$("ask").onsubmit = (event) => {
  event.preventDefault();
  predict();
};
$("ask").onreset = () => {
  asked += 1;
  last = null;
  $("go").disabled = false;
  problem("");
  for (const part of Object.values(parts)) part.set();
  show();
};

translate();
start().catch(problem);
