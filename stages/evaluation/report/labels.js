// What all panels need to know of labels: which rows are listed, what is said of them, and their colours.
const { labels } = data;
// Labels for the middle of a sentence: those that are written from right to left keep its other words in order.
const named = labels.map((label) => (/[\u0590-\u08ff\ufb1d-\ufefc]/.test(label) ? `\u2068${label}\u2069` : label));
const hues = labels.map((_, index) => `hsl(${(index * 137.5) % 360} 62% ${46 + (index % 3) * 9}%)`);
const hidden = new Set(); // labels
const filter = {
  actual: choose("row-actual", ["any", ...labels], ["", ...labels.keys()], () => list()),
  predicted: choose("row-predicted", ["any", ...labels], ["", ...labels.keys()], () => list()),
};
const isWanted = (select, index) => select.value === "" || Number(select.value) === index;

const kind = {
  isListed: (model, row) => isWanted(filter.actual, rows.truth[row]) && isWanted(filter.predicted, model.predicted[row]),
  isWrong: (model, row) => model.predicted[row] !== rows.truth[row],
  order: {
    confident: (model) => (a, b) => model.confidence[b] - model.confidence[a],
    unsure: (model) => (a, b) => model.confidence[a] - model.confidence[b],
    unlikely: (model) => (a, b) => model.p_true[a] - model.p_true[b],
  },
  verdict: (model, row) => ({
    predicted: `${named[model.predicted[row]]} ${percent(model.confidence[row])}`,
    note: kind.isWrong(model, row) ? `actual ${named[rows.truth[row]]}, ${percent(model.p_true[row])}` : "correct",
  }),
  columns: { // of CSV
    label: (model, row) => labels[rows.truth[row]],
    predicted: (model, row) => labels[model.predicted[row]],
    confidence: (model, row) => model.confidence[row],
  },
  label: (index) => labels[index],
  inWords: (index) => named[index],
  colour: (index) => hues[index],
  isHidden: (index) => hidden.has(index),
  drawLegend: (redraw) => labels.forEach((label, index) => {
    const dot = make("i");
    dot.style.background = hues[index];
    const button = make("button", { "aria-pressed": "true" }, dot, label);
    button.addEventListener("click", () => {
      if (!hidden.delete(index)) hidden.add(index);
      button.setAttribute("aria-pressed", String(!hidden.has(index)));
      redraw();
    });
    $("map-legend").append(button);
  }),
};

// Shows all rows of a cell of the confusion matrix.
function show(model, actual, predicted) {
  rowModel.value = model;
  filter.actual.value = actual;
  filter.predicted.value = predicted;
  $("row-mistakes").checked = false;
  list();
  $("rows").scrollIntoView();
  $("row-count").focus({ preventScroll: true });
}
