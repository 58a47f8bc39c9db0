// The learning curves, and the metric of parts of the rows.
function drawCurves() {
  const all = Object.values(data.curves).flat().map((point) => point.highest);
  const range = data.unit_metric && all.length ? [0, Math.max(...all) || 1] : undefined;
  const label = data.has_classes ? "labels per class" : "labels";
  const metric = data.metric.replaceAll("_", " ");
  chart("curve-chart", `${metric[0].toUpperCase()}${metric.slice(1)} by ${label}`, data.curves,
    { x: "labels_per_class", y: data.metric, low: "lowest", high: "highest", log: true, label, range });
}

function drawSlices() {
  const sliced = Object.entries(data.slices).filter(([, lines]) => lines.length);
  if (!sliced.length) return;
  $("slices").hidden = false;
  const shown = data.unit_metric ? short : percent;
  const lines = sliced[0][1].map((slice, index) => [slice.slice, slice.rows, ...sliced.map(([, slices]) => {
    const { [data.metric]: value, low, high } = slices[index];
    const cell = make("td", { textContent: shown(value) });
    if (low !== undefined) cell.append(make("small", { textContent: `${shown(low)}–${shown(high)}` }));
    return cell;
  })]);
  $("slice-table").append(table(["slice", "rows", ...sliced.map(([name]) => `${data.metric.replaceAll("_", " ")} of ${name}`)], lines));
}
