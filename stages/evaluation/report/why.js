// Why a row got its label: its words, or the regions of its picture, shaded and labelled by their share.
const MIN_LABELLED = 0.2; // of the largest share: smaller ones are shaded without a number

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(Math.abs(value) < 0.01 ? 1 : 0)}\u00a0%`;

function shade(element, share, largest) {
  const colour = share > 0 ? "var(--wrong)" : "var(--accent)";
  element.style.background = `color-mix(in srgb, ${colour} ${Math.round((60 * Math.abs(share)) / largest)}%, transparent)`;
  element.title = signed(share);
  return element;
}

function shadedWords(parts, largest) {
  return make("p", { className: "why-words" }, ...parts.map(({ words, share }) => {
    const start = words.length - words.trimStart().length;
    const mark = shade(make("mark", { textContent: words.slice(start) }), share, largest);
    if (Math.abs(share) >= MIN_LABELLED * largest) mark.append(make("sub", { textContent: signed(share) }));
    return make("span", {}, words.slice(0, start), mark);
  }));
}

function shadedRegions(parts, largest, picture) {
  const boxes = parts.map(({ box: [left, top, right, bottom], share }) => {
    const region = shade(make("span", {}), share, largest);
    for (const [edge, value] of Object.entries({ left, top, width: right - left, height: bottom - top })) region.style[edge] = `${100 * value}%`;
    if (Math.abs(share) >= MIN_LABELLED * largest) region.textContent = signed(share);
    return region;
  });
  return make("div", { className: "why-picture" }, make("img", { src: picture, alt: "the picture, with the share of its regions" }), ...boxes);
}

// Made when it is opened, like the table of the nearest rows.
function why(row) {
  const { output, empty, parts } = rows.why[row];
  const [predicted, actual] = [named[rows.models[data.explained].predicted[row]], named[rows.truth[row]]];
  const details = make("details", { className: "why" }, make("summary", { textContent: `why ${predicted}, not ${actual}` }));
  details.addEventListener("toggle", () => {
    if (details.children.length > 1) return;
    const largest = Math.max(...parts.map(({ share }) => Math.abs(share))) || 1;
    const nothing = data.modality === "image" ? "a plain picture" : "an empty text";
    details.append(
      data.modality === "image" ? shadedRegions(parts, largest, rows.input[row]) : shadedWords(parts, largest),
      make("p", { className: "note", textContent: `+ (orange) speaks for ${predicted}, − (blue) for ${actual}. Of the two, ${predicted} has ${percent(output)}; with ${nothing} it has ${percent(empty)}. The shares sum to the difference.` }));
  });
  return details;
}
