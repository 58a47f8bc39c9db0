// Draws what the server tells.
import { draw } from "./curve.js";
import { $, make, percent } from "./dom.js";

const MAX_OPTIONS = 100; // that are drawn; typing finds the others

/** Show a row, or why there is none; `picture` makes the address of a picture from a row's id. */
export function showRow(row, wait, picture) {
  const parts = [];
  if (!row) parts.push(make("p", { className: "wait", textContent: wait }));
  else if (!row.texts.length) parts.push(image(picture(row.id), row.source));
  else {
    for (const [heading, text] of row.texts) {
      if (heading) parts.push(make("h3", { textContent: heading }));
      parts.push(make("div", { className: "text", textContent: text, dir: "auto" }));
    }
  }
  if (row) parts.push(make("p", { className: "source", textContent: row.source }));
  $("row").replaceChildren(...parts);
  for (const text of document.querySelectorAll("#row .text")) {
    if (text.scrollHeight > text.clientHeight) text.tabIndex = 0; // the keyboard can scroll it
  }
}

function image(address, source) {
  const picture = make("img", { src: address, alt: `Picture ${source}` });
  picture.onload = () => picture.classList.toggle("small", picture.naturalWidth < 128);
  picture.onerror = () => picture.replaceWith(make("p", { className: "wait", textContent: "This picture cannot be shown. Skip it." }));
  return picture;
}

/** Show the classes to choose from; `selected` is the one that Enter takes, `choose` takes an option. */
export function showOptions(options, selected, choose) {
  const items = options.slice(0, MAX_OPTIONS).map((option, index) => {
    const name = make("span", { className: "name", textContent: option.isNew ? `New class “${option.name}”` : option.name, dir: "auto" });
    const button = make("button", { type: "button", className: index === selected ? "first" : "" }, name);
    if (option.share !== undefined) button.append(make("span", { className: "share", textContent: percent(option.share) }));
    const key = index === selected ? "Enter" : option.key;
    if (key) button.append(make("kbd", { textContent: key }));
    button.onclick = () => choose(option);
    return make("li", { className: option.isGuess ? "guess" : "" }, button);
  });
  $("classes").replaceChildren(...items);
  $("classes").children[selected]?.scrollIntoView({ block: "nearest" });
}

/** Show how far the work is. */
export function showState(state) {
  const labels = `${state.labels.toLocaleString("en")} ${state.labels === 1 ? "label" : "labels"}`;
  $("count").textContent = state.given ? `${labels}, ${state.given.toLocaleString("en")} of them now` : labels;
  $("notes").replaceChildren(...state.notes.map((note) => make("p", { textContent: note })));
  $("notes").hidden = !state.notes.length;
  $("test-rows").textContent = state.test.rows.toLocaleString("en");
  $("test-needed").textContent = state.test.needed ? `of ${state.test.needed} test rows` : "test rows";
  $("test-bar").max = Math.max(state.test.needed, 1);
  $("test-bar").value = Math.min(state.test.rows, state.test.needed);
  $("test-bar").hidden = !state.test.needed;
  $("test-say").textContent = state.test.say;
  draw($("curve"), state.curve.points);
  $("curve-say").textContent = state.curve.say;
}
