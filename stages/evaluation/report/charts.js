// Charts in SVG, over a logarithmic or linear axis; line charts with their numbers as a table.
const COLOURS = ["var(--accent)", "var(--wrong)", "var(--soft)"];
const drawn = new Map(); // id of a chart to the function that draws it again

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const SHARES = [0, 1]; // the lowest and the highest value of an axis, if not told otherwise
const QUARTERS = [0, 0.25, 0.5, 0.75, 1];

// At most seven round values from the lowest to the highest of an axis.
function marks([low, high]) {
  const size = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(size));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= size);
  const first = Math.ceil(low / step);
  return [...Array(Math.floor(high / step) - first + 1).keys()].map((k) => Number(((first + k) * step).toPrecision(12)));
}

// Pixels of the plot, and from values to pixels. The text keeps its size: a narrow screen gets a narrower drawing.
function plane(id, { log, range = SHARES, span = SHARES }, all) {
  const width = Math.max(280, Math.min(640, $(id).clientWidth || 640));
  const [height, left, right, top, bottom] = [320, 44, width - 74, 24, 286];
  const scale = log ? Math.log : (value) => value;
  const [first, last] = log ? [Math.min(...all), Math.max(...all)] : span;
  return {
    ...{ width, height, left, right },
    across: (value) => left + ((scale(value) - scale(first)) / (scale(last) - scale(first) || 1)) * (right - left),
    up: (value) => top + ((range[1] - value) / (range[1] - range[0])) * (bottom - top),
  };
}

function axes({ width, height, left, right, across, up }, { x, y, log, label, ticks, diagonal, range = SHARES }, all) {
  const parts = [];
  for (const value of range === SHARES ? QUARTERS : marks(range)) {
    parts.push(svg("line", { x1: left, x2: right, y1: up(value), y2: up(value), stroke: "var(--line)" }));
    parts.push(svg("text", { x: left - 8, y: up(value) + 4, "text-anchor": "end" }, range === SHARES ? value.toFixed(2) : short(value)));
  }
  let free = -Infinity; // where the next tick label fits
  for (const value of ticks || [...new Set(all)].sort((a, b) => a - b)) {
    if (across(value) < free) continue;
    free = across(value) + 30;
    parts.push(svg("text", { x: across(value), y: height - 16, "text-anchor": "middle" }, log ? String(Math.round(value)) : short(value)));
  }
  parts.push(svg("text", { x: right, y: height - 2, "text-anchor": "end" }, label || x));
  parts.push(svg("text", { x: 0, y: 10 }, y.replaceAll("_", " ")));
  if (diagonal) parts.push(svg("line", { x1: across(range[0]), y1: up(range[0]), x2: across(range[1]), y2: up(range[1]), stroke: "var(--soft)", "stroke-dasharray": 4 }));
  return parts;
}

function line({ across, up }, name, points, index, { x, y, low, high, count, dots = true }) {
  const colour = COLOURS[index % COLOURS.length];
  const parts = [];
  if (low) {
    const band = [...points.map((p) => [p[x], p[high]]), ...[...points].reverse().map((p) => [p[x], p[low]])];
    parts.push(svg("polygon", { points: band.map(([a, b]) => `${across(a)},${up(b)}`).join(" "), fill: colour, opacity: 0.15 }));
  }
  parts.push(svg("polyline", { points: points.map((p) => `${across(p[x])},${up(p[y])}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
  if (dots) for (const p of points) parts.push(svg("circle", { cx: across(p[x]), cy: up(p[y]), r: 3.5, fill: colour }, svg("title", {}, `${name}: ${p[y]} at ${p[x]}`)));
  if (count) for (const p of points) parts.push(svg("text", { x: across(p[x]), y: Math.max(up(p[y]) - 8, 10), "text-anchor": "middle" }, String(p[count])));
  return parts;
}

// Names the lines at their ends, the highest first, and not over each other.
function legend({ right, up }, named, { y }) {
  let free = -Infinity;
  return named
    .map(([name, points], index) => ({ name, index, height: up(points[points.length - 1][y]) + 4 }))
    .sort((a, b) => a.height - b.height)
    .map(({ name, index, height }) => {
      free = Math.max(height, free + 16);
      const text = svg("text", { x: right + 8, y: free }, name);
      text.style.fill = COLOURS[index % COLOURS.length];
      return text;
    });
}

// `series` maps names to points; `options` name the fields of a point, and `mark` is a point to stand out.
function chart(id, title, series, options) {
  const named = Object.entries(series).filter(([, points]) => points.length);
  const all = named.flatMap(([, points]) => points.map((point) => point[options.x]));
  if (!all.length) return;
  drawn.set(id, () => chart(id, title, series, options));
  const place = plane(id, options, all);
  const parts = axes(place, options, all);
  named.forEach(([name, points], index) => parts.push(...line(place, name, points, index, options)));
  parts.push(...legend(place, named, options));
  if (options.mark) parts.push(svg("circle", { cx: place.across(options.mark[options.x]), cy: place.up(options.mark[options.y]), r: 6, fill: "var(--wrong)" }));
  const image = svg("svg", { viewBox: `0 0 ${place.width} ${place.height}`, width: place.width, role: "img", "aria-label": title }, ...parts);
  const isOpen = Boolean($(id).querySelector("details[open]"));
  $(id).replaceChildren(image, numbers(named, options, isOpen));
}

function numbers(named, { x, y, low, high, count, label }, open) {
  const fields = [x, y, low, high, count].filter(Boolean);
  const lines = named.flatMap(([name, points]) => points.map((point) => [name, ...fields.map((field) => (Number.isFinite(point[field]) ? short(point[field]) : ""))]));
  const columns = ["", label || x, ...fields.slice(1).map((field) => field.replaceAll("_", " "))];
  return make("details", { open }, make("summary", { textContent: "numbers" }), make("div", { className: "scroll" }, table(columns, lines)));
}

window.addEventListener("resize", () => { for (const draw of drawn.values()) draw(); });
