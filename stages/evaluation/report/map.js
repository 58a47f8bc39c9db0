// Map of the rows: training rows as squares, judged rows as dots, a ring around mistakes.
const layers = [
  { split: "train", name: data.known[1], rows: train, labels: train.label, alpha: 0.35, isShown: data.judged === "test row" },
  { split: "test", name: `${data.judged}s`, rows, labels: rows.truth, alpha: 0.8, isShown: true },
];
const canvas = $("map-canvas");
const context = canvas.getContext("2d");
let dots = []; // x, y, layer and row of every mark

const edges = (axis) => layers.reduce(([low, high], layer) =>
  layer.rows[axis].reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [low, high]), [Infinity, -Infinity]);
const [[west, east], [south, north]] = [edges("x"), edges("y")];

function drawMap() {
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  context.scale(ratio, ratio);
  const model = rows.models[rowModel.value];
  dots = [];
  for (const layer of layers.filter(({ isShown }) => isShown)) {
    layer.labels.forEach((label, row) => {
      if (kind.isHidden(label)) return;
      const x = 14 + ((layer.rows.x[row] - west) / (east - west || 1)) * (width - 28);
      const y = 14 + ((north - layer.rows.y[row]) / (north - south || 1)) * (height - 28);
      dots.push([x, y, layer, row]);
      context.fillStyle = kind.colour(label);
      context.globalAlpha = layer.alpha;
      if (layer.split === "train") {
        context.fillRect(x - 2, y - 2, 4, 4);
        return;
      }
      ring(x, y, 3.2);
      context.fill();
      if (kind.isWrong(model, row)) {
        context.strokeStyle = kind.colour(model.predicted[row]);
        ring(x, y, 5.2);
        context.stroke();
      }
    });
  }
  drawLasso();
}

function ring(x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
}

function rowInWords({ split, labels: layerLabels }, row) {
  const actual = kind.inWords(layerLabels[row]);
  if (split === "train") return `${actual} (${data.known[0]})`;
  const predicted = kind.inWords(rows.models[rowModel.value].predicted[row]);
  return actual === predicted ? actual : `${actual} predicted as ${predicted}`;
}

function drawTip({ offsetX, offsetY }) {
  const dot = closest(dots, offsetX, offsetY, NEAR);
  const tip = $("map-tip");
  tip.hidden = !dot;
  if (!dot) return;
  const [, , layer, row] = dot;
  tip.replaceChildren(make("b", { textContent: rowInWords(layer, row) }), input(layer.rows.input[row], layer.rows.source[row], "div"));
  tip.style.left = `${Math.min(offsetX + 12, Math.max(canvas.clientWidth - 280, 0))}px`;
  tip.style.top = `${offsetY + 14}px`;
}

for (const event of ["pointermove", "pointerdown"]) canvas.addEventListener(event, drawTip);
canvas.addEventListener("pointerleave", ({ pointerType }) => { if (pointerType === "mouse") $("map-tip").hidden = true; });

// Draws and lists other rows than before: those of a hidden layer or label are not there.
function redraw() {
  drawMap();
  select();
}

for (const layer of layers) {
  const box = make("input", { type: "checkbox", checked: layer.isShown });
  box.addEventListener("change", () => {
    layer.isShown = box.checked;
    redraw();
  });
  $("map-layers").append(make("label", {}, box, ` ${layer.name}`));
}
kind.drawLegend(redraw);
