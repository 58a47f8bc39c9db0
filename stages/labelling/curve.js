// A small line of accuracy by labels, as SVG.
import { makeSvg, percent } from "./dom.js";

const WIDTH = 260, HEIGHT = 120, LEFT = 40, RIGHT = 8, TOP = 10, BOTTOM = 20;

/** Draw the points, [training rows, accuracy], the fewest rows first, into `place`. */
export function draw(place, points) {
  if (!points.length) return place.replaceChildren();
  const rows = points.map(([count]) => count), shares = points.map(([, share]) => share);
  const low = Math.min(0.9, Math.floor(Math.min(...shares) * 10) / 10), span = Math.max(1 - low, 0.1);
  const first = rows[0], last = rows.at(-1);
  const x = (count) => LEFT + (last === first ? 1 : (count - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (share) => TOP + (1 - (share - low) / span) * (HEIGHT - TOP - BOTTOM);
  const svg = makeSvg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": `Accuracy from ${percent(shares[0])} with ${first} training rows to ${percent(shares.at(-1))} with ${last}`,
  });
  for (const share of [low, 1]) {
    svg.append(makeSvg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share), class: "axis" }));
    svg.append(makeSvg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
  }
  if (last > first) svg.append(makeSvg("text", { x: LEFT, y: HEIGHT - 4 }, first.toLocaleString("en")));
  svg.append(makeSvg("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, `${last.toLocaleString("en")} training rows`));
  const line = points.map(([count, share]) => `${x(count).toFixed(1)},${y(share).toFixed(1)}`).join(" ");
  svg.append(makeSvg("polyline", { points: line, class: "line" }));
  svg.append(makeSvg("circle", { cx: x(last), cy: y(shares.at(-1)), r: 3.5, class: "dot" }));
  place.replaceChildren(svg);
}
