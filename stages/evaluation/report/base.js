"use strict";
// Draws the page from the JSON in #data. What rows hold is set as textContent and never as HTML.
// Here: what all panels use. The files of the page are one script; start.js is its end.
const data = JSON.parse(document.getElementById("data").textContent);
const { models, rows, train } = data;
for (const part of [rows, train]) {
  part.input = part.at.map((at) => data.inputs[at]);
  part.source = part.at.map((at) => data.sources[at]);
}
const [FIRST_ROWS, PAGE_ROWS] = [5, 25];
const NEAR = 12; // pixels from the mouse to a dot that it tells of
const $ = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;

// A number in the unit of the data, with four digits.
function short(value) {
  const size = Math.abs(value);
  return size && (size < 1e-4 || size >= 1e7) ? value.toExponential(2) : String(size < 1000 ? Number(value.toPrecision(4)) : Math.round(value));
}

// Sets attributes where a name has a dash (aria-label) or is no property (role in older browsers).
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function heading(cell, scope) {
  return cell instanceof Node ? make("th", { scope }, cell) : make("th", { scope, textContent: cell });
}

function tableRow(line) {
  return make("tr", {}, ...line.map((cell) => (cell instanceof Node ? cell : make("td", { textContent: cell }))));
}

function table(columns, lines) {
  const head = make("thead", {}, make("tr", {}, ...columns.map((name) => heading(name, "col"))));
  return make("table", {}, head, make("tbody", {}, ...lines.map(tableRow)));
}

function input(value, source, tag = "td") {
  const cell = make(tag, { className: "input" });
  if (value === null) cell.textContent = "(not on this page)";
  else if (data.modality === "image") cell.append(make("img", { src: value, alt: "" }));
  else cell.textContent = value;
  cell.append(make("div", { className: "note source", textContent: source }));
  return cell;
}

const words = (value) => (data.modality === "image" ? "" : value); // a thumbnail is no text

function choose(id, names, values, changed) {
  const select = $(id);
  names.forEach((name, index) => select.append(make("option", { textContent: name, value: values[index] })));
  select.addEventListener("change", changed);
  return select;
}

// A choice of models that starts with the one that the verdict is about.
function chooseModel(id, changed) {
  const select = choose(id, models, models, changed);
  select.value = data.explained;
  return select;
}

// Shows items a page at a time in `box`, each as the element that `draw` makes; returns the function that takes items.
function pages(box, button, draw) {
  let items = [];
  const more = () => {
    const shown = box.children.length;
    const added = items.slice(shown, shown + (shown ? PAGE_ROWS : FIRST_ROWS)).map(draw);
    box.append(...added);
    button.hidden = box.children.length >= items.length;
    hintAtScrolling();
    return added;
  };
  button.addEventListener("click", () => {
    const [first] = more();
    first.tabIndex = -1;
    first.focus({ preventScroll: true }); // the next key continues at the new rows
  });
  return (next) => {
    items = next;
    box.replaceChildren();
    more();
  };
}

// A table of which the first rows are shown, and a button for more of them.
function pagedTable(id, columns, items, line) {
  const lines = table(columns, []);
  const button = make("button", { textContent: "more" });
  $(id).append(lines);
  $(id).after(make("p", {}, button));
  const show = pages(lines.tBodies[0], button, (item) => tableRow(line(item)));
  show(items);
  return show;
}

// A box that is wider than the screen says that it can be scrolled, and the keyboard can scroll it.
function hintAtScrolling() {
  for (const box of document.querySelectorAll(".scroll")) {
    const isWide = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("wide", isWide);
    if (isWide) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

// The dot, of [x, y, …], that is the closest to a place, if it is near.
function closest(dots, x, y, near) {
  const distance = ([left, top]) => (left - x) ** 2 + (top - y) ** 2;
  const dot = dots.reduce((best, next) => (!best || distance(next) < distance(best) ? next : best), null);
  return dot && distance(dot) < near ** 2 ? dot : null;
}

function term(name) {
  const text = name.replaceAll("_", " ").replace("f1", "F1").replace("roc auc", "ROC AUC");
  return data.terms[name] ? make("abbr", { textContent: text, title: data.terms[name] }) : text;
}

// Browsers show a title under the mouse only; this shows it to the keyboard and to a finger, too.
function explain(element) {
  const tip = $("tip");
  const word = element && (element.closest("abbr[title]") || element.querySelector(":scope > abbr[title]"));
  tip.hidden = !word?.isConnected; // a click that sorts a table replaces its heading
  if (tip.hidden) return;
  tip.textContent = word.title;
  const { left, bottom } = word.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${bottom + 6}px`;
}

document.addEventListener("focusin", (event) => explain(event.target));
document.addEventListener("focusout", () => explain(null));
document.addEventListener("keydown", (event) => { if (event.key === "Escape") explain(null); });
document.addEventListener("scroll", () => explain(null), { capture: true, passive: true });
document.addEventListener("click", (event) => explain(event.target));

// CSV for spreadsheets, which take a text that starts with one of these for a formula.
function csvCell(value) {
  const text = typeof value === "string" ? value.replace(/^(?=[=+\-@\t\r])/, "'") : String(value ?? "");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function offerCsv(id, name, columns, lines) {
  $(id).hidden = false;
  $(id).addEventListener("click", () => {
    const text = [columns, ...lines()].map((line) => line.map(csvCell).join(",")).join("\r\n");
    const link = make("a", { href: URL.createObjectURL(new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" })), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
