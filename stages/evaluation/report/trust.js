// Can the confidence be trusted, and what would a threshold on it decide?
const trustModel = chooseModel("trust-model", () => drawTrust());

function drawTrust() {
  const name = trustModel.value;
  chart("reliability-chart", "Share of right predictions at every confidence", { [name]: data.reliability[name] },
    { x: "confidence", y: "accuracy", low: "low", high: "high", count: "rows", ticks: QUARTERS, diagonal: true });
  drawCoverage();
}

function drawCoverage() {
  const slider = $("coverage-threshold");
  const points = data.coverage[trustModel.value].map(([decided, right], step) =>
    ({ threshold: step / 100, decided: decided / data.test_rows, accuracy: decided ? right / decided : null }));
  const isNew = (point, at) => point.accuracy !== null && point.decided !== points[at - 1]?.decided;
  const { threshold, decided, accuracy } = points[slider.value];
  const sentence = `At ${threshold.toFixed(2)}, ${percent(decided)} of the rows are decided` + (accuracy === null ? "." : `, ${percent(accuracy)} of them right.`);
  $("coverage-value").textContent = threshold.toFixed(2);
  $("coverage-words").textContent = sentence;
  slider.setAttribute("aria-valuetext", sentence);
  chart("coverage-chart", "Accuracy of the rows that are decided", { [trustModel.value]: points.filter(isNew) },
    { x: "decided", y: "accuracy", label: "share of rows decided", count: null, ticks: QUARTERS, dots: false, mark: accuracy === null ? null : points[slider.value] });
}

$("coverage-threshold").addEventListener("input", drawCoverage);
