// Rows for a person to check: likely label errors and near-duplicates.
function drawChecks() {
  if (data.label_errors.length) {
    pagedTable("suspect-table", ["split", "row", "label", "suggested", "probability"], data.label_errors, (row) =>
      [row.split, input(row.input, row.source), row.label, row.suggested, percent(row.p)]);
    offerCsv("suspect-csv", "label_errors.csv", ["split", "source", "input", "label", "suggested", "probability"], () =>
      data.label_errors.map((row) => [row.split, row.source, words(row.input), row.label, row.suggested, row.p]));
  }
  if (data.near_duplicates.length) {
    pagedTable("near-duplicates-table", ["cosine", "test row", "label", "training row", "label"], data.near_duplicates, (pair) =>
      [pair.cosine.toFixed(3), input(pair.test, pair.source), pair.label, input(pair.train, pair.train_source), pair.train_label]);
    offerCsv("near-duplicates-csv", "near_duplicates.csv", ["cosine", "source", "input", "label", "train source", "train input", "train label"], () =>
      data.near_duplicates.map((pair) => [pair.cosine, pair.source, words(pair.test), pair.label, pair.train_source, words(pair.train), pair.train_label]));
  }
}
