// Lists the rows of the map that a line is drawn around, or that lie in a circle which the keyboard moves.
const lassoButton = $("map-lasso");
let lasso = []; // corners
let isDrawing = false;
let circle = null; // of the keyboard: x, y, radius
let selected = []; // layer and row

const showSelected = pagedTable("map-table", ["row", "label"], [], ([layer, row]) =>
  [input(layer.rows.input[row], layer.rows.source[row]), rowInWords(layer, row)]);

function drawLasso() {
  if (!lasso.length) return;
  context.globalAlpha = 1;
  context.strokeStyle = getComputedStyle(document.body).color;
  context.setLineDash([4, 3]);
  context.beginPath();
  for (const [x, y] of lasso) context.lineTo(x, y);
  context.closePath();
  context.stroke();
  context.setLineDash([]);
}

// Counts the sides of the polygon that a line from the point to the right crosses.
function isInside([x, y]) {
  return lasso.reduce((inside, [x1, y1], corner) => {
    const [x2, y2] = lasso[(corner + 1) % lasso.length];
    return y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1) ? !inside : inside;
  }, false);
}

function select() {
  const inside = dots.filter(isInside).map(([, , layer, row]) => [layer, row]);
  const [tested, trained] = ["test", "train"].map((split) => inside.filter(([layer]) => layer.split === split));
  selected = [...tested, ...trained];
  $("map-count").textContent = lasso.length ? `${tested.length} ${data.judged}s and ${trained.length} ${data.known[1]} inside the line` : "";
  $("map-selected").hidden = !selected.length;
  showSelected(selected);
}

function clearLasso() {
  [lasso, circle] = [[], null];
  select();
  drawMap();
}

// Its corners are pixels. A phone that hides its address bar changes the height of the window only.
let mapWidth = canvas.clientWidth;
window.addEventListener("resize", () => {
  if (canvas.clientWidth === mapWidth) return;
  mapWidth = canvas.clientWidth;
  clearLasso();
});

function setDrawing(on) {
  lassoButton.setAttribute("aria-pressed", String(on));
  canvas.style.touchAction = on ? "none" : "auto"; // a finger draws, or scrolls the page
}

canvas.addEventListener("pointerdown", (event) => {
  if (lassoButton.getAttribute("aria-pressed") !== "true") return;
  [isDrawing, circle, lasso] = [true, null, [[event.offsetX, event.offsetY]]];
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
  if (!isDrawing) return;
  lasso.push([offsetX, offsetY]);
  drawMap();
});
canvas.addEventListener("pointerup", () => {
  if (!isDrawing) return;
  isDrawing = false;
  if (lasso.length < 3) clearLasso();
  else select();
});
canvas.addEventListener("pointercancel", () => { isDrawing = false; });

const STEP = 12; // pixels that a key moves
const KEYS = {
  ArrowLeft: () => { circle.x -= STEP; },
  ArrowRight: () => { circle.x += STEP; },
  ArrowUp: () => { circle.y -= STEP; },
  ArrowDown: () => { circle.y += STEP; },
  "+": () => { circle.radius += STEP; },
  "-": () => { circle.radius = Math.max(STEP, circle.radius - STEP); },
  Enter: () => $("map-count").focus(),
};
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Escape") clearLasso();
  if (!KEYS[event.key]) return;
  event.preventDefault();
  circle ||= { x: canvas.clientWidth / 2, y: canvas.clientHeight / 2, radius: 5 * STEP };
  KEYS[event.key]();
  lasso = [...Array(32).keys()].map((k) => [circle.x + circle.radius * Math.cos((k * Math.PI) / 16), circle.y + circle.radius * Math.sin((k * Math.PI) / 16)]);
  select();
  drawMap();
});

lassoButton.addEventListener("click", () => setDrawing(lassoButton.getAttribute("aria-pressed") !== "true"));
setDrawing(matchMedia("(hover: hover)").matches);
offerCsv("map-csv", "map_rows.csv", ["split", "source", "input", "label", "predicted"], () => {
  const { predicted } = rows.models[rowModel.value];
  return selected.map(([layer, row]) => [layer.split, layer.rows.source[row], words(layer.rows.input[row]), kind.label(layer.labels[row]),
    layer.split === "test" ? kind.label(predicted[row]) : ""]);
});
