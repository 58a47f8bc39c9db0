// The page: sends a text, a pair of texts or a picture, and shows what the model says of it.
import { $, make } from "./dom.js";
import { showExplanation, showNearest, showPrediction } from "./result.js";

let model = null; // what it reads, and its labels
let file = null; // the picture
let asked = 0; // answers to what was asked before the last time are not shown

function headers() {
  const key = $("key-input").value;
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** Ask the server; give its JSON, or throw its sentence. */
async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  } catch {
    throw new Error("The server does not answer. Start python -m stages.serve again.");
  }
  if (answer.ok) return answer.json();
  if (answer.status === 401) {
    $("key").hidden = false;
    $("key-input").focus();
  }
  const isJson = answer.headers.get("content-type")?.includes("json");
  const sentence = isJson ? (await answer.json()).error : await answer.text();
  throw new Error(sentence || `The server answered ${answer.status}.`);
}

/** Ask what the model reads, and make the fields for it. */
async function prepare() {
  model = await ask("model");
  const isImage = model.modality === "image";
  $("about").textContent = model.labels.length ? `${model.labels.length} labels` : "A number";
  $("drop").hidden = !isImage;
  if (!isImage) {
    const fields = model.input.flatMap((name, index) => [
      make("label", { textContent: name, htmlFor: `field-${index}`, dir: "auto" }),
      make("textarea", { id: `field-${index}`, rows: model.input.length > 1 ? 3 : 6, dir: "auto" }),
    ]);
    $("fields").replaceChildren(...fields);
  }
  (isImage ? $("file") : $("field-0")).focus();
}

/** Make the body of a request from what was typed or chosen. */
function body() {
  if (model.modality === "image") {
    if (!file) throw new Error("Choose a picture first.");
    if (file.size > model.max_bytes - 10_000) throw new Error(`The picture has more than ${model.max_bytes.toLocaleString("en")} bytes; choose a smaller one.`);
    const form = new FormData();
    form.append(model.input[0], file);
    return { method: "POST", body: form };
  }
  const texts = model.input.map((name, index) => [name, $(`field-${index}`).value]);
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ inputs: [Object.fromEntries(texts)] }) };
}

async function classify() {
  const turn = (asked += 1);
  $("alert").textContent = "";
  document.body.ariaBusy = "true";
  try {
    if (!model) return await prepare(); // the key was missing
    const request = body();
    const { predictions } = await ask("predict", request);
    if (turn !== asked) return;
    if (!showPrediction(predictions[0], model.labels.length)) return;
    $("why").hidden = false;
    $("parts").replaceChildren();
    $("why-say").textContent = "Looking for what decided …";
    $("nearest").hidden = true;
    const answer = await ask("explain", request);
    if (turn !== asked) return;
    // Several labels per row have no explanation, and numbers neither.
    if (answer.explanation) showExplanation(answer.explanation, answer.predicted, file);
    else $("why").hidden = true;
    showNearest(answer.nearest, model.modality);
  } catch (error) {
    if (turn !== asked) return;
    $("why-say").textContent = "";
    $("alert").textContent = error.message;
  } finally {
    if (turn === asked) document.body.ariaBusy = "false";
  }
}

/** Take a picture, show it, and classify it. */
function take(files) {
  const picture = [...files].find((candidate) => candidate.type.startsWith("image/") || /\.(heic|heif|ppm|tiff?)$/i.test(candidate.name));
  if (!picture) {
    $("alert").textContent = files.length ? "This is no picture." : "";
    return;
  }
  file = picture;
  classify();
}

function press(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
  event.preventDefault();
  classify();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  classify();
});
document.addEventListener("keydown", press);
$("file").addEventListener("change", () => take($("file").files));
document.addEventListener("paste", (event) => {
  if (model?.modality === "image" && event.clipboardData.files.length) take(event.clipboardData.files);
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    if (model?.modality !== "image") return;
    event.preventDefault(); // else the browser would leave the page for the file
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files);
  });
}
prepare().catch((error) => {
  $("alert").textContent = error.message;
});
