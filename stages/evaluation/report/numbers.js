// Numbers: predictions against the truth with the band of their intervals, and what all panels need to know of numbers.
// They come as texts, which keep all digits.
const asNumbers = (texts) => texts.map((text) => (text === null ? null : Number(text)));
rows.truth = asNumbers(rows.truth);
train.label = asNumbers(train.label);
for (const model of Object.values(rows.models)) {
  for (const name of ["predicted", "low", "high"]) if (model[name]) model[name] = asNumbers(model[name]);
}
const error = (model, row) => model.predicted[row] - rows.truth[row];
const hasInterval = (model, row) => Boolean(model.low) && model.low[row] !== null;

// From blue for low to orange for high numbers; the few that are furthest out have the colours of the ends.
const sorted = [...train.label, ...rows.truth].sort((a, b) => a - b);
const [least, most] = [0.02, 0.98].map((share) => sorted[Math.round(share * (sorted.length - 1))]);
const ENDS = [[37, 99, 201], [214, 90, 20]];

function colour(value) {
  const share = Math.max(0, Math.min(1, (value - least) / (most - least || 1)));
  return `rgb(${ENDS[0].map((part, k) => Math.round(part + share * (ENDS[1][k] - part))).join(" ")})`;
}

const kind = {
  isListed: () => true,
  isWrong: (model, row) => hasInterval(model, row) && (rows.truth[row] < model.low[row] || rows.truth[row] > model.high[row]),
  order: {
    far: (model) => (a, b) => Math.abs(error(model, b)) - Math.abs(error(model, a)),
    near: (model) => (a, b) => Math.abs(error(model, a)) - Math.abs(error(model, b)),
    high: (model) => (a, b) => error(model, b) - error(model, a),
    low: (model) => (a, b) => error(model, a) - error(model, b),
  },
  verdict: (model, row) => {
    const off = error(model, row);
    const interval = hasInterval(model, row) ? ` (${short(model.low[row])} to ${short(model.high[row])})` : "";
    const note = off ? `, ${short(Math.abs(off))} ${off > 0 ? "too high" : "too low"}` : "";
    return { predicted: short(model.predicted[row]) + interval, note: `actual ${short(rows.truth[row])}${note}` };
  },
  columns: { // of CSV
    label: (model, row) => rows.truth[row],
    predicted: (model, row) => model.predicted[row],
    low: (model, row) => (hasInterval(model, row) ? model.low[row] : ""),
    high: (model, row) => (hasInterval(model, row) ? model.high[row] : ""),
  },
  label: (value) => value,
  inWords: short,
  colour,
  isHidden: () => false,
  drawLegend: () => {
    const bar = make("i", { className: "gradient" });
    bar.style.background = `linear-gradient(to right, ${colour(least)}, ${colour(most)})`;
    $("map-legend").append(short(least), bar, short(most));
  },
};

const scatterModel = chooseModel("scatter-model", () => drawScatter());
let marked = []; // x and y in the drawing, and row of every dot

// Joins dots into one path, which is drawn faster than as many circles.
const path = (dots, colour) => svg("path", { d: dots.map(([x, y]) => `M${x.toFixed(1)},${y.toFixed(1)}h0`).join(""), stroke: colour, class: "dots" });

function drawScatter() {
  const model = rows.models[scatterModel.value];
  const all = [...rows.truth, ...model.predicted];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const margin = (high - low || Math.abs(high) || 1) / 25;
  const range = [low - margin, high + margin];
  const place = plane("scatter-chart", { range, span: range }, []);
  const { across, up } = place;
  const parts = [];
  const widths = rows.truth.map((_, row) => row).filter((row) => hasInterval(model, row)).map((row) => (model.high[row] - model.low[row]) / 2);
  if (widths.length) {
    const half = widths.reduce((sum, width) => sum + width, 0) / widths.length;
    const cut = (value) => up(Math.max(range[0], Math.min(range[1], value)));
    const steps = [...Array(101).keys()].map((k) => range[0] + (k / 100) * (range[1] - range[0]));
    const edge = [...steps.map((value) => [value, value + half]), ...[...steps].reverse().map((value) => [value, value - half])];
    parts.push(svg("polygon", { points: edge.map(([x, y]) => `${across(x)},${cut(y)}`).join(" "), fill: "var(--accent)", opacity: 0.12 }));
  }
  parts.push(...axes(place, { x: "actual", y: "predicted", ticks: marks(range), diagonal: true, range }, []));
  marked = rows.truth.map((truth, row) => [across(truth), up(model.predicted[row]), row]);
  parts.push(path(marked.filter(([, , row]) => !kind.isWrong(model, row)), "var(--accent)"), path(marked.filter(([, , row]) => kind.isWrong(model, row)), "var(--wrong)"));
  $("scatter-chart").replaceChildren(svg("svg", { viewBox: `0 0 ${place.width} ${place.height}`, width: place.width, role: "img", "aria-label": "Predicted by actual number of every row" }, ...parts));
}

// Tells of the row under the mouse.
function drawScatterTip(event) {
  const box = $("scatter-chart").firstChild.getBoundingClientRect();
  const scale = $("scatter-chart").firstChild.viewBox.baseVal.width / box.width;
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const dot = closest(marked, x * scale, y * scale, NEAR * scale);
  const tip = $("scatter-tip");
  tip.hidden = !dot;
  if (!dot) return;
  const { predicted, note } = kind.verdict(rows.models[scatterModel.value], dot[2]);
  tip.replaceChildren(make("b", { textContent: `${predicted}: ${note}` }), input(rows.input[dot[2]], rows.source[dot[2]], "div"));
  tip.style.left = `${Math.min(x + 12, Math.max(box.width - 280, 0))}px`;
  tip.style.top = `${y + 14}px`;
}

for (const event of ["pointermove", "pointerdown"]) $("scatter-chart").addEventListener(event, drawScatterTip);
$("scatter-chart").addEventListener("pointerleave", () => { $("scatter-tip").hidden = true; });

function drawPanels() {
  drawScatter();
  drawn.set("scatter-chart", drawScatter);
}
