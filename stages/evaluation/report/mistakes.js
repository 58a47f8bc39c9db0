// Rows: filtered, sorted, and shown a page at a time, with the training rows that are nearest to them.
const filter = {
  model: chooseModel("row-model", () => list()),
  actual: choose("row-actual", ["any", ...labels], ["", ...labels.keys()], () => list()),
  predicted: choose("row-predicted", ["any", ...labels], ["", ...labels.keys()], () => list()),
};
const ORDER = {
  confident: (model) => (a, b) => model.confidence[b] - model.confidence[a],
  unsure: (model) => (a, b) => model.confidence[a] - model.confidence[b],
  unlikely: (model) => (a, b) => model.p_true[a] - model.p_true[b],
};
let matching = []; // rows that pass the filter, in order
const showRows = pages($("row-list"), $("row-more"), drawRow);

function list() {
  const model = rows.models[filter.model.value];
  const searched = $("row-search").value.toLowerCase();
  const wanted = (value, index) => value === "" || Number(value) === index;
  matching = rows.truth.map((_, row) => row).filter((row) =>
    wanted(filter.actual.value, rows.truth[row]) &&
    wanted(filter.predicted.value, model.predicted[row]) &&
    (!$("row-mistakes").checked || model.predicted[row] !== rows.truth[row]) &&
    (!searched || (rows.input[row] || "").toLowerCase().includes(searched)));
  matching.sort(ORDER[$("row-sort").value](model));
  $("row-count").textContent = `${matching.length} ${matching.length === 1 ? "row" : "rows"}`;
  showRows(matching);
  drawMap();
}

function drawRow(row) {
  const model = rows.models[filter.model.value];
  const isRight = model.predicted[row] === rows.truth[row];
  const verdict = make("div", { className: "verdict" },
    make("div", { className: isRight ? "" : "wrong", textContent: `${named[model.predicted[row]]} ${percent(model.confidence[row])}` }),
    make("div", { className: "note", textContent: isRight ? "correct" : `actual ${named[rows.truth[row]]}, ${percent(model.p_true[row])}` }));
  const item = make("div", { className: "row", role: "listitem" }, input(rows.input[row], rows.source[row], "div"), verdict);
  if (rows.why[row] && filter.model.value === data.explained && (data.modality !== "image" || rows.input[row])) item.append(why(row));
  if (rows.nearest[row]?.length) item.append(nearest(rows.nearest[row]));
  return item;
}

// The table is made when it is opened.
function nearest(neighbours) {
  const box = make("div", { className: "scroll" });
  const details = make("details", { className: "nearest" }, make("summary", { textContent: `nearest ${data.known[1]}` }), box);
  details.addEventListener("toggle", () => {
    if (!box.children.length) box.append(table(["cosine", "label", data.known[0]], neighbours.map(([row, cosine]) =>
      [cosine.toFixed(3), labels[train.label[row]], input(train.input[row], train.source[row])])));
  });
  return details;
}

offerCsv("row-csv", "mistakes.csv", ["source", "input", "label", "predicted", "confidence"], () => {
  const model = rows.models[filter.model.value];
  return matching.map((row) => [rows.source[row], words(rows.input[row]), labels[rows.truth[row]], labels[model.predicted[row]], model.confidence[row]]);
});
for (const id of ["row-sort", "row-mistakes"]) $(id).addEventListener("change", () => list());
$("row-search").addEventListener("input", () => list());
if (data.modality === "image") document.querySelector(".texts").hidden = true;

// Shows all rows of a cell of the confusion matrix.
function show(model, actual, predicted) {
  filter.model.value = model;
  filter.actual.value = actual;
  filter.predicted.value = predicted;
  $("row-mistakes").checked = false;
  list();
  $("rows").scrollIntoView();
  $("row-count").focus({ preventScroll: true });
}
