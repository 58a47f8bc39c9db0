"use strict";
// Draws the page from the JSON in #data. What rows hold is set as textContent and never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const { labels, models, rows } = data;
const MAX_MATRIX_LABELS = 100; // more make the matrix unreadable
const MAX_CONFUSIONS = 200; // cells listed instead of the matrix
const [FIRST_ROWS, PAGE_ROWS] = [5, 25];
const $ = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function table(columns, lines) {
  const head = make("thead", {}, make("tr", {}, ...columns.map((name) => (name instanceof Node ? make("th", {}, name) : make("th", { textContent: name })))));
  const body = lines.map((line) => make("tr", {}, ...line.map((cell) => (cell instanceof Node ? cell : make("td", { textContent: cell })))));
  return make("table", {}, head, make("tbody", {}, ...body));
}

function input(value, tag = "td") {
  const cell = make(tag, { className: "input" });
  if (value === null) cell.textContent = "(not on this page)";
  else if (data.modality === "image") cell.append(make("img", { src: value, alt: "", loading: "lazy" }));
  else cell.textContent = value;
  return cell;
}

function choose(id, names, values, changed) {
  const select = $(id);
  names.forEach((name, index) => select.append(make("option", { textContent: name, value: values[index] })));
  select.addEventListener("change", changed);
  return select;
}

// A table that is wider than the screen says that it can be scrolled.
function hintAtScrolling() {
  for (const box of document.querySelectorAll(".scroll")) box.classList.toggle("wide", box.scrollWidth > box.clientWidth + 1);
}

function term(name) {
  return data.terms[name] ? make("abbr", { textContent: name, title: data.terms[name] }) : name;
}

// CSV for spreadsheets, which take a cell that starts with one of these for a formula.
function csvCell(value) {
  const text = String(value ?? "").replace(/^(?=[=+\-@\t\r])/, "'");
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

const words = (value) => (data.modality === "image" ? "" : value); // a thumbnail is no text

// Rows: filtered, sorted, and shown a page at a time.
const filter = {
  model: choose("row-model", models, models, () => list()),
  actual: choose("row-actual", ["any", ...labels], ["", ...labels.keys()], () => list()),
  predicted: choose("row-predicted", ["any", ...labels], ["", ...labels.keys()], () => list()),
};
const ORDER = {
  confident: (model) => (a, b) => model.confidence[b] - model.confidence[a],
  unsure: (model) => (a, b) => model.confidence[a] - model.confidence[b],
  unlikely: (model) => (a, b) => model.p_true[a] - model.p_true[b],
};
let matching = []; // rows that pass the filter, in order

function list() {
  const model = rows.models[filter.model.value];
  const words = $("row-search").value.toLowerCase();
  const wanted = (value, index) => value === "" || Number(value) === index;
  matching = rows.truth.map((_, row) => row).filter((row) =>
    wanted(filter.actual.value, rows.truth[row]) &&
    wanted(filter.predicted.value, model.predicted[row]) &&
    (!$("row-mistakes").checked || model.predicted[row] !== rows.truth[row]) &&
    (!words || (rows.input[row] || "").toLowerCase().includes(words)));
  matching.sort(ORDER[$("row-sort").value](model));
  $("row-count").textContent = `${matching.length} rows`;
  $("row-list").replaceChildren();
  more();
  drawMap();
}

function more() {
  const model = rows.models[filter.model.value];
  const shown = $("row-list").children.length;
  for (const row of matching.slice(shown, shown + (shown ? PAGE_ROWS : FIRST_ROWS))) {
    const right = model.predicted[row] === rows.truth[row];
    const verdict = make("div", { className: "verdict" },
      make("div", { className: right ? "" : "wrong", textContent: `${labels[model.predicted[row]]} ${percent(model.confidence[row])}` }),
      make("div", { className: "note", textContent: right ? "correct" : `actual ${labels[rows.truth[row]]}, ${percent(model.p_true[row])}` }));
    $("row-list").append(make("div", { className: "row" }, input(rows.input[row], "div"), verdict));
  }
  $("row-more").hidden = $("row-list").children.length >= matching.length;
}

offerCsv("row-csv", "mistakes.csv", ["source", "input", "label", "predicted", "confidence"], () => {
  const model = rows.models[filter.model.value];
  return matching.map((row) => [rows.source[row], words(rows.input[row]), labels[rows.truth[row]], labels[model.predicted[row]], model.confidence[row]]);
});
for (const id of ["row-sort", "row-mistakes"]) $(id).addEventListener("change", () => list());
$("row-search").addEventListener("input", () => list());
$("row-more").addEventListener("click", more);
if (data.modality === "image") document.querySelector(".texts").hidden = true;

function show(model, actual, predicted) {
  filter.model.value = model;
  filter.actual.value = actual;
  filter.predicted.value = predicted;
  $("row-mistakes").checked = false;
  list();
  $("rows").scrollIntoView();
}

// Confusion: a matrix, or a list of the most frequent confusions where it would be too large.
const confusionModel = choose("confusion-model", models, models, () => drawConfusion());

function cellButton(model, actual, predicted, rowCount) {
  const button = make("button", { textContent: rowCount, title: `${labels[actual]} predicted as ${labels[predicted]}: ${rowCount}` });
  button.addEventListener("click", () => show(model, actual, predicted));
  return button;
}

function drawConfusion() {
  const model = confusionModel.value;
  const cells = data.confusion[model];
  if (labels.length > MAX_MATRIX_LABELS) {
    const worst = cells.filter(([actual, predicted]) => actual !== predicted).slice(0, MAX_CONFUSIONS);
    $("matrix").replaceChildren(table(["actual", "predicted", "rows"], worst.map(([actual, predicted, count]) =>
      [labels[actual], labels[predicted], make("td", {}, cellButton(model, actual, predicted, count))])));
    return;
  }
  const support = labels.map(() => 0);
  for (const [actual, , count] of cells) support[actual] += count;
  const counts = new Map(cells.map(([actual, predicted, count]) => [actual * labels.length + predicted, count]));
  const lines = labels.map((label, actual) => [make("th", { textContent: label }), ...labels.map((_, predicted) => {
    const count = counts.get(actual * labels.length + predicted);
    const cell = make("td");
    if (count) {
      const colour = actual === predicted ? "var(--accent)" : "var(--wrong)";
      cell.style.background = `color-mix(in srgb, ${colour} ${Math.round(8 + (62 * count) / support[actual])}%, transparent)`;
      cell.append(cellButton(model, actual, predicted, count));
    }
    return cell;
  })]);
  $("matrix").replaceChildren(table(["", ...labels], lines));
  hintAtScrolling();
}

// Line charts in SVG, over a logarithmic or linear axis.
function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const COLOURS = ["var(--accent)", "var(--wrong)", "var(--soft)"];

function chart(id, series, { x, y, low, high, log, label, ticks, diagonal, count }) {
  const [width, height, left, bottom] = [640, 320, 44, 34];
  const all = Object.values(series).flat().map((point) => point[x]);
  if (!all.length) return;
  const scale = log ? Math.log : (value) => value;
  const [first, last] = log ? [Math.min(...all), Math.max(...all)] : [0, 1];
  const across = (value) => left + ((scale(value) - scale(first)) / (scale(last) - scale(first) || 1)) * (width - left - 90);
  const up = (value) => 12 + (1 - value) * (height - bottom - 12);
  const parts = [];
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(svg("line", { x1: left, x2: width - 90, y1: up(value), y2: up(value), stroke: "var(--line)" }));
    parts.push(svg("text", { x: left - 8, y: up(value) + 4, "text-anchor": "end" }, value.toFixed(2)));
  }
  let free = -Infinity; // where the next tick label fits
  for (const value of ticks || [...new Set(all)].sort((a, b) => a - b)) {
    if (across(value) < free) continue;
    free = across(value) + 30;
    parts.push(svg("text", { x: across(value), y: height - 14, "text-anchor": "middle" }, String(log ? Math.round(value) : value)));
  }
  parts.push(svg("text", { x: width - 90, y: height - 1, "text-anchor": "end" }, label));
  if (diagonal) parts.push(svg("line", { x1: across(0), y1: up(0), x2: across(1), y2: up(1), stroke: "var(--line)", "stroke-dasharray": 4 }));
  Object.entries(series).forEach(([name, points], index) => {
    if (!points.length) return;
    const colour = COLOURS[index % COLOURS.length];
    if (low) {
      const band = [...points.map((p) => [p[x], p[high]]), ...[...points].reverse().map((p) => [p[x], p[low]])];
      parts.push(svg("polygon", { points: band.map(([a, b]) => `${across(a)},${up(b)}`).join(" "), fill: colour, opacity: 0.15 }));
    }
    parts.push(svg("polyline", { points: points.map((p) => `${across(p[x])},${up(p[y])}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
    for (const p of points) parts.push(svg("circle", { cx: across(p[x]), cy: up(p[y]), r: 3.5, fill: colour }, svg("title", {}, `${name}: ${p[y]} at ${p[x]}`)));
    if (count && !index) for (const p of points) parts.push(svg("text", { x: across(p[x]), y: Math.max(up(p[y]) - 8, 10), "text-anchor": "middle" }, String(p[count])));
    const end = points[points.length - 1];
    const legend = svg("text", { x: width - 82, y: log ? up(end[y]) + 4 : 24 + 18 * index }, name);
    legend.style.fill = colour;
    parts.push(legend);
  });
  $(id).append(svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, ...parts));
}

chart("curve-chart", data.curves, { x: "labels_per_class", y: "accuracy", low: "lowest", high: "highest", log: true, label: "labels per class" });
chart("reliability-chart", data.reliability, { x: "confidence", y: "accuracy", low: "low", high: "high", count: "rows", label: "confidence", ticks: [0, 0.25, 0.5, 0.75, 1], diagonal: true });

// What a threshold on the confidence would do.
const coverageModel = choose("coverage-model", models, models, () => drawCoverage());
$("coverage-threshold").addEventListener("input", () => drawCoverage());

function drawCoverage() {
  const step = Number($("coverage-threshold").value);
  const [decided, right] = data.coverage[coverageModel.value][step];
  const share = percent(decided / data.test_rows);
  $("coverage-words").textContent = `At ${(step / 100).toFixed(2)}, ${share} of the rows are decided` + (decided ? `, ${percent(right / decided)} of them right.` : ".");
}

// Map of the test rows.
const hues = labels.map((_, index) => `hsl(${(index * 137.5) % 360} 62% ${46 + (index % 3) * 9}%)`);
const hidden = new Set();
const canvas = $("map-canvas");
let dots = []; // x, y and row of every dot

function drawMap() {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const range = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const [[left, right], [bottom, top]] = [range(rows.x), range(rows.y)];
  const { predicted } = rows.models[filter.model.value];
  dots = [];
  rows.truth.forEach((label, row) => {
    if (hidden.has(label)) return;
    const x = 14 + ((rows.x[row] - left) / (right - left || 1)) * (width - 28);
    const y = 14 + ((top - rows.y[row]) / (top - bottom || 1)) * (height - 28);
    dots.push([x, y, row]);
    context.fillStyle = hues[label];
    context.globalAlpha = 0.75;
    context.beginPath();
    context.arc(x, y, 3.2, 0, 7);
    context.fill();
    if (predicted[row] !== label) {
      context.strokeStyle = hues[predicted[row]];
      context.beginPath();
      context.arc(x, y, 5.2, 0, 7);
      context.stroke();
    }
  });
}

canvas.addEventListener("pointermove", (event) => {
  const { offsetX, offsetY } = event;
  let closest = null;
  let least = 144; // at most 12 pixels away
  for (const [x, y, row] of dots) {
    const distance = (x - offsetX) ** 2 + (y - offsetY) ** 2;
    if (distance < least) [least, closest] = [distance, row];
  }
  const tip = $("map-tip");
  tip.hidden = closest === null;
  if (closest === null) return;
  const [actual, predicted] = [rows.truth[closest], rows.models[filter.model.value].predicted[closest]];
  const verdict = actual === predicted ? labels[actual] : `${labels[actual]} predicted as ${labels[predicted]}`;
  tip.replaceChildren(make("b", { textContent: verdict }), input(rows.input[closest], "div"));
  tip.style.left = `${Math.min(offsetX + 12, Math.max(canvas.clientWidth - 280, 0))}px`;
  tip.style.top = `${offsetY + 14}px`;
});
canvas.addEventListener("pointerleave", () => { $("map-tip").hidden = true; });
window.addEventListener("resize", drawMap);
labels.forEach((label, index) => {
  const dot = make("i");
  dot.style.background = hues[index];
  const button = make("button", {}, dot, label);
  button.addEventListener("click", () => {
    if (!hidden.delete(index)) hidden.add(index);
    button.classList.toggle("off", hidden.has(index));
    drawMap();
  });
  $("map-legend").append(button);
});

// Tables.
const classModel = choose("class-model", models, models, () => drawClasses());
let classOrder = "f1";

function drawClasses() {
  const columns = ["label", "precision", "recall", "f1", "support"];
  const heads = columns.map((name) => {
    const button = make("button", {}, term(name), name === classOrder ? " ↑" : "");
    button.addEventListener("click", () => { classOrder = name; drawClasses(); });
    return button;
  });
  const sorted = [...data.per_class[classModel.value]].sort((a, b) => (a[classOrder] < b[classOrder] ? -1 : a[classOrder] > b[classOrder] ? 1 : 0));
  $("class-table").replaceChildren(table(heads, sorted.map((line) => columns.map((name) => (name === "label" || name === "support" ? line[name] : line[name].toFixed(3))))));
}

const sliced = Object.entries(data.slices).filter(([, lines]) => lines.length);
if (sliced.length) {
  $("slices").hidden = false;
  const lines = sliced[0][1].map((slice, index) => [slice.slice, slice.rows, ...sliced.map(([, slices]) => {
    const { accuracy, low, high } = slices[index];
    const cell = make("td", { textContent: percent(accuracy) });
    if (low !== undefined) cell.append(make("small", { textContent: `${percent(low)}–${percent(high)}` }));
    return cell;
  })]);
  $("slice-table").append(table(["slice", "rows", ...sliced.map(([name]) => `accuracy of ${name}`)], lines));
}

if (data.near_duplicates.length) {
  $("near-duplicates-table").append(table(["cosine", "test row", "label", "training row", "label"], data.near_duplicates.map((pair) =>
    [pair.cosine.toFixed(3), input(pair.test), pair.label, input(pair.train), pair.train_label])));
  offerCsv("near-duplicates-csv", "near_duplicates.csv", ["cosine", "source", "input", "label", "train source", "train input", "train label"], () =>
    data.near_duplicates.map((pair) => [pair.cosine, pair.source, words(pair.test), pair.label, pair.train_source, words(pair.train), pair.train_label]));
}
if (data.label_errors.length) {
  $("suspect-table").append(table(["split", "row", "label", "suggested", "probability"], data.label_errors.map((row) =>
    [row.split, input(row.input), row.label, row.suggested, percent(row.p)])));
  offerCsv("suspect-csv", "label_errors.csv", ["split", "source", "input", "label", "suggested", "probability"], () =>
    data.label_errors.map((row) => [row.split, row.source, words(row.input), row.label, row.suggested, row.p]));
}

drawConfusion();
drawClasses();
drawCoverage();
list();
hintAtScrolling();
window.addEventListener("resize", hintAtScrolling);
