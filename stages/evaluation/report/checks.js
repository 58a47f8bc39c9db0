// Rows for a person to check: likely label errors and near-duplicates. Rows are indices into data.inputs and data.sources.
const shown = (at) => input(data.inputs[at], data.sources[at]);
const saved = (at) => [data.sources[at], words(data.inputs[at])];

function drawChecks() {
  if (data.label_errors.length) {
    pagedTable("suspect-table", ["split", "row", "label", "suggested", "probability"], data.label_errors, (row) =>
      [row.split, shown(row.at), row.label, row.suggested, percent(row.p)]);
    offerCsv("suspect-csv", "label_errors.csv", ["split", "source", "input", "label", "suggested", "probability"], () =>
      data.label_errors.map((row) => [row.split, ...saved(row.at), row.label, row.suggested, row.p]));
  }
  if (data.near_duplicates.length) {
    const apart = data.has_classes ? [] : ["difference"]; // numbers are equal less often than classes
    pagedTable("near-duplicates-table", ["cosine", data.judged, "label", data.known[0], "label", ...apart], data.near_duplicates, (pair) =>
      [pair.cosine.toFixed(3), shown(pair.test), pair.label, shown(pair.train), pair.train_label, ...apart.map(() => short(pair.label - pair.train_label))]);
    offerCsv("near-duplicates-csv", "near_duplicates.csv", ["cosine", "source", "input", "label", "train source", "train input", "train label"], () =>
      data.near_duplicates.map((pair) => [pair.cosine, ...saved(pair.test), pair.label, ...saved(pair.train), pair.train_label]));
  }
}
