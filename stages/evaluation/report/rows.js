// Rows: filtered, sorted, and shown a page at a time, with the training rows that are nearest to them. What is listed and
// said of a row tells `kind`, of labels.js or numbers.js.
const rowModel = chooseModel("row-model", () => list());
let matching = []; // rows that pass the filter, in order
const showRows = pages($("row-list"), $("row-more"), drawRow);

function list() {
  const model = rows.models[rowModel.value];
  const searched = $("row-search").value.toLowerCase();
  matching = rows.truth.map((_, row) => row).filter((row) =>
    kind.isListed(model, row) &&
    (!$("row-mistakes").checked || kind.isWrong(model, row)) &&
    (!searched || (rows.input[row] || "").toLowerCase().includes(searched)));
  matching.sort(kind.order[$("row-sort").value](model));
  $("row-count").textContent = `${matching.length} ${matching.length === 1 ? "row" : "rows"}`;
  showRows(matching);
  drawMap();
}

function drawRow(row) {
  const model = rows.models[rowModel.value];
  const { predicted, note } = kind.verdict(model, row);
  const verdict = make("div", { className: "verdict" },
    make("div", { className: kind.isWrong(model, row) ? "wrong" : "", textContent: predicted }),
    make("div", { className: "note", textContent: note }));
  const item = make("div", { className: "row", role: "listitem" }, input(rows.input[row], rows.source[row], "div"), verdict);
  if (rows.why[row] && rowModel.value === data.explained && (data.modality !== "image" || rows.input[row])) item.append(why(row));
  if (rows.nearest[row]?.length) item.append(nearest(rows.nearest[row]));
  return item;
}

// The table is made when it is opened.
function nearest(neighbours) {
  const box = make("div", { className: "scroll" });
  const details = make("details", { className: "nearest" }, make("summary", { textContent: `nearest ${data.known[1]}` }), box);
  details.addEventListener("toggle", () => {
    if (box.children.length) return;
    box.append(table(["cosine", "label", data.known[0]], neighbours.map(([row, cosine]) =>
      [cosine.toFixed(3), kind.label(train.label[row]), input(train.input[row], train.source[row])])));
    hintAtScrolling();
  });
  return details;
}

offerCsv("row-csv", "mistakes.csv", ["source", "input", ...Object.keys(kind.columns)], () => {
  const model = rows.models[rowModel.value];
  return matching.map((row) => [rows.source[row], words(rows.input[row]), ...Object.values(kind.columns).map((cell) => cell(model, row))]);
});
for (const id of ["row-sort", "row-mistakes"]) $(id).addEventListener("change", () => list());
$("row-search").addEventListener("input", () => list());
if (data.modality === "image") document.querySelector(".texts").hidden = true;
