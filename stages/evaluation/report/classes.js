// Confusion: a matrix, or a list of the most frequent confusions where it would be too large. Classes.
const MAX_MATRIX_LABELS = 100; // more make the matrix unreadable
const MAX_CONFUSIONS = 200; // cells listed instead of the matrix
const confusionModel = chooseModel("confusion-model", () => drawConfusion());
const classModel = chooseModel("class-model", () => drawClasses());
let classOrder = "f1";

function cellButton(model, actual, predicted, rowCount) {
  const title = `${named[actual]} predicted as ${named[predicted]}: ${rowCount}`;
  const button = make("button", { textContent: rowCount, title, "aria-label": title });
  button.addEventListener("click", () => show(model, actual, predicted));
  return button;
}

function drawConfusion() {
  const model = confusionModel.value;
  const cells = data.confusion[model];
  if (!data.exclusive) {
    const worst = cells.filter(([missed, given]) => missed !== given).slice(0, MAX_CONFUSIONS);
    $("matrix").replaceChildren(table(["missed", "given instead", "rows"], worst.map(([missed, given, count]) => [data.names[missed], data.names[given], count])));
    hintAtScrolling();
    return;
  }
  if (labels.length > MAX_MATRIX_LABELS) {
    const worst = cells.filter(([actual, predicted]) => actual !== predicted).slice(0, MAX_CONFUSIONS);
    $("matrix").replaceChildren(table(["actual", "predicted", "rows"], worst.map(([actual, predicted, count]) =>
      [labels[actual], labels[predicted], make("td", {}, cellButton(model, actual, predicted, count))])));
    hintAtScrolling();
    return;
  }
  const support = labels.map(() => 0);
  for (const [actual, , count] of cells) support[actual] += count;
  const counts = new Map(cells.map(([actual, predicted, count]) => [actual * labels.length + predicted, count]));
  const lines = labels.map((label, actual) => [heading(label, "row"), ...labels.map((_, predicted) => {
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

function drawClasses() {
  const columns = ["label", "precision", "recall", "f1", "support"];
  const heads = columns.map((name) => {
    const button = make("button", {}, term(name), name === classOrder ? " ↑" : "");
    button.addEventListener("click", () => {
      classOrder = name;
      drawClasses();
      $("class-table").querySelectorAll("th button")[columns.indexOf(name)].focus();
    });
    return button;
  });
  const sorted = [...data.per_class[classModel.value]].sort((a, b) => (a[classOrder] < b[classOrder] ? -1 : a[classOrder] > b[classOrder] ? 1 : 0));
  const lines = table(heads, sorted.map((line) => columns.map((name) => (name === "label" || name === "support" ? line[name] : line[name].toFixed(3)))));
  lines.querySelectorAll("th")[columns.indexOf(classOrder)].setAttribute("aria-sort", "ascending");
  $("class-table").replaceChildren(lines);
  hintAtScrolling();
}

function drawPanels() {
  drawConfusion();
  drawClasses();
  drawTrust();
}
