// The page: asks the server for rows, and gives it labels, by keys or clicks.
import { $ } from "./dom.js";
import { showOptions, showRow, showState } from "./view.js";

const UNREADABLE = 503; // the answer while the tables are made again
const MAX_KEYS = 9; // classes with a digit; of more, typing finds one
const token = new URLSearchParams(location.search).get("token") ?? "";
const tab = crypto.randomUUID(); // of this load of the page
let queue = sessionStorage.getItem("queue") ?? "suggested";
let row = null, classes = [], options = [], selected = 0;
let isAdding = false; // a new class is being named
let toConfirm = ""; // a new class that Enter adds when it is pressed once more
let isBusy = false, actions = 0;
let isPassing = false; // whether the alert is over once a row can be read

/** Say what went wrong; of no error, nothing. */
function alarm(error, { passes = false } = {}) {
  $("alert").textContent = error?.message ?? "";
  isPassing = passes;
}

async function ask(path, body = {}) {
  const headers = { "content-type": "application/json", "x-token": token };
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body: JSON.stringify({ tab, queue, ...body }) });
  } catch {
    throw new Error("The page has lost its server. Start python -m stages.label again; every label is in the file.");
  }
  if (answer.ok) return answer.json();
  const isJson = answer.headers.get("content-type")?.includes("json");
  const error = isJson ? (await answer.json()).error : answer.status === 403 ? await answer.text() : null;
  throw Object.assign(new Error(error ?? "The server failed; the terminal says why."), { status: answer.status });
}

/** Do something that changes what is shown; one at a time. */
async function act(path, body) {
  if (isBusy) return;
  isBusy = true;
  actions += 1;
  document.body.ariaBusy = "true";
  try {
    show(await ask(path, body));
    alarm(null);
  } catch (error) {
    alarm(error, { passes: path === "view" || error.status === UNREADABLE });
    if (path !== "view") await ask("view").then(showAgain, () => {});
  } finally {
    isBusy = false;
    document.body.ariaBusy = "false";
  }
}

/** Ask whether there is a row by now, or a better curve; a row that is shown stays as it is. */
async function look() {
  if (isBusy) return;
  const before = actions;
  try {
    const answer = await ask("view");
    if (before === actions) showAgain(answer);
  } catch (error) {
    if (before === actions) alarm(error, { passes: true });
  }
}

function showAgain(answer) {
  show(answer);
  if (isPassing) alarm(null);
}

function show(answer) {
  const isNew = answer.row?.id !== row?.id || !answer.row;
  const names = answer.state.classes;
  const grew = names.length !== classes.length;
  queue = answer.queue;
  sessionStorage.setItem("queue", queue);
  document.querySelector(`input[value="${queue}"]`).checked = true;
  classes = names;
  showState(answer.state);
  if (isNew) {
    row = answer.row;
    isAdding = false;
    $("filter").value = "";
    showRow(row, answer.wait, (id) => `picture/${id}?token=${encodeURIComponent(token)}`);
  }
  $("answer").hidden = !row;
  for (const id of ["new", "unsure", "skip"]) $(id).disabled = !row;
  if (isNew || grew) offer();
  if (isNew && row) focusOnAnswer();
}

const types = () => isAdding || !classes.length || classes.length > MAX_KEYS;

/** List the classes that may be chosen now, the model's guess first. */
function offer() {
  const guesses = row?.guesses ?? [], shares = new Map(guesses.map(({ name, share }) => [name, share]));
  const typed = $("filter").value.trim(), wanted = typed.toLowerCase();
  selected = 0;
  toConfirm = "";
  $("filter").hidden = !types();
  $("new").hidden = types();
  $("undo").lastElementChild.textContent = types() ? "Ctrl Z" : "Z";
  if (types()) {
    const ranked = [...guesses.map(({ name }) => name).filter((name) => classes.includes(name)), ...classes.filter((name) => !shares.has(name))];
    const start = ranked.filter((name) => name.toLowerCase().startsWith(wanted));
    const others = ranked.filter((name) => name.toLowerCase().includes(wanted) && !start.includes(name));
    options = [...start, ...others].map((name) => ({ name, share: shares.get(name) }));
    const exact = options.findIndex(({ name }) => name.toLowerCase() === wanted);
    if (exact > 0) options.unshift(...options.splice(exact, 1));
    else if (typed && exact < 0) options[isAdding ? "unshift" : "push"]({ name: typed, isNew: true });
    $("filter").placeholder = classes.length ? "Type to find a class, or to name a new one" : "Name the first class, and press Enter";
    if (!typed && isAdding) options = [];
  } else {
    const keyed = classes.map((name, index) => ({ name, share: shares.get(name), key: `${index + 1}` }));
    options = guesses.length ? [{ name: guesses[0].name, share: guesses[0].share, isGuess: true }, ...keyed] : keyed;
    if (!guesses.length) selected = -1; // nothing for Enter to take
  }
  showOptions(options, selected, choose);
}

function choose(option, { isClick = true } = {}) {
  if (!row || !option) return;
  if (option.isNew && !isClick && !isAdding && classes.length && toConfirm !== option.name) {
    toConfirm = option.name;
    alarm({ message: `Press Enter again to add the class “${option.name}”.` });
    return;
  }
  act("label", { id: row.id, label: option.name });
}

const skip = () => row && act("aside", { id: row.id, kind: "skip" });
const unsure = () => row && act("aside", { id: row.id, kind: "unsure" });
const undo = () => act("undo");
function add(isOn = true) {
  if (!row) return;
  isAdding = isOn;
  $("filter").value = "";
  offer();
  focusOnAnswer();
}

function focusOnAnswer() {
  if (types()) $("filter").focus();
  else document.activeElement?.blur?.();
}

function move(step) {
  selected = Math.max(0, Math.min(options.length - 1, selected + step));
  showOptions(options, selected, choose);
}

const KEYS = { n: () => add(), s: skip, ArrowRight: skip, "?": unsure, u: unsure, z: undo };

function press(event) {
  if (event.isComposing || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isTyping = event.target === $("filter"), isEmpty = !$("filter").value;
  const command = event.ctrlKey || event.metaKey;
  if (event.repeat && (key === "Enter" || !isTyping)) return event.preventDefault(); // a held key is one answer
  let action = null;
  if (command) action = key === "z" && (!isTyping || isEmpty) ? undo : null;
  else if (isTyping) {
    if (key === "Enter") action = () => choose(options[selected], { isClick: false });
    else if (key === "ArrowDown" || key === "ArrowUp") action = () => move(key === "ArrowDown" ? 1 : -1);
    else if (key === "Escape") action = () => add(false);
    else if (isEmpty && (key === "ArrowRight" || key === "?")) action = KEYS[key];
  } else if (types()) {
    if (event.key.length === 1 && row) $("filter").focus(); // and the key is typed there
    else if (key === "Enter" && event.target === document.body) action = () => choose(options[selected], { isClick: false });
  } else if (event.target.type === "radio" && key.startsWith("Arrow")) return;
  else if (key === "Enter" && event.target === document.body) action = () => choose(options[selected]);
  else if (/^[1-9]$/.test(key) && Number(key) <= classes.length) action = () => choose({ name: classes[Number(key) - 1] });
  else action = KEYS[key] ?? null;
  if (!action) return;
  event.preventDefault();
  action();
}

document.addEventListener("keydown", press);
$("filter").addEventListener("input", offer);
for (const [id, action] of Object.entries({ new: add, unsure, skip, undo })) $(id).addEventListener("click", () => action());
for (const input of document.querySelectorAll("input[name=queue]")) {
  input.checked = input.value === queue;
  input.addEventListener("change", () => {
    queue = input.value;
    act("view");
  });
}
addEventListener("pagehide", () => {
  const headers = { "content-type": "application/json", "x-token": token };
  fetch("leave", { method: "POST", headers, body: JSON.stringify({ tab, queue }), keepalive: true });
});
act("view");
setInterval(() => (row ? null : look()), 500);
setInterval(look, 2000);
