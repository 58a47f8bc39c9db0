// Shows an answer: probabilities, the words or regions that decided, and the nearest training rows.
import { $, make, makeSvg, percent } from "./dom.js";

const MAX_LABELS = 8; // that are shown before a press on "all"
const MIN_SHOWN_SHARE = 0.05; // of the largest: smaller ones are not coloured

/** Show a prediction; tell whether there is one. */
export function showPrediction(prediction, count) {
  $("result").hidden = false;
  $("why").hidden = $("nearest").hidden = true;
  if (prediction.rejected) {
    $("label").textContent = "Not classified";
    $("confidence").textContent = prediction.rejected;
    $("labels").replaceChildren();
    $("sure").textContent = "";
    $("all").hidden = true;
    return false;
  }
  const isNumber = typeof prediction.predicted === "number";
  $("label").textContent = isNumber ? short(prediction.predicted) : [prediction.predicted].flat().join(", ") || "No label";
  $("confidence").textContent = isNumber ? interval(prediction) : percent(prediction.confidence);
  $("sure").textContent = certainty(prediction).join(" · ");
  const shares = Object.entries(prediction.probabilities ?? {}).sort(([, one], [, other]) => other - one);
  const list = (number) => $("labels").replaceChildren(...shares.slice(0, number).map(bar));
  list(MAX_LABELS);
  $("all").hidden = count <= MAX_LABELS;
  $("all").textContent = `All ${count} labels`;
  $("all").onclick = () => {
    list(count);
    $("all").hidden = true;
  };
  return true;
}

/** Write a number with at most six digits that count. */
const short = (number) => String(Number(number.toPrecision(6)));

/** Say where the true number most likely is; nothing where held-out rows were too few to tell. */
function interval({ low, high }) {
  return low === null ? "" : `${short(low)} to ${short(high)}`;
}

/** Say how sure a prediction is, where the model's folder tells. */
function certainty({ accepted, unfamiliar, prediction_set: set }) {
  const sentences = [];
  if (accepted !== undefined) sentences.push(accepted ? "sure enough to be accepted" : "not sure enough to be accepted");
  if (set) sentences.push(`set of labels: ${set.join(", ") || "none"}`);
  if (unfamiliar !== undefined) sentences.push(`less familiar than ${Math.floor(unfamiliar)}% of the training rows`);
  return sentences;
}

function bar([name, share]) {
  return make(
    "li", {},
    make("span", { className: "name", textContent: name, dir: "auto" }),
    make("progress", { max: 1, value: share, ariaLabel: name }),
    make("span", { className: "share", textContent: percent(share) }),
  );
}

/** Show what decided; `file` is the picture, null for texts. */
export function showExplanation({ output, empty, parts }, label, file) {
  const largest = Math.max(...parts.map(({ share }) => Math.abs(share)), Number.MIN_VALUE);
  const strength = ({ share }) => Math.abs(share) / largest;
  $("parts").replaceChildren(...(file ? [regions(parts, strength, file)] : words(parts, strength)));
  if ($("parts").scrollHeight > $("parts").clientHeight) $("parts").tabIndex = 0; // the keyboard can scroll it
  const nothing = file ? "a plain picture" : "no words";
  $("why-say").textContent =
    `${percent(output)} for ${label}; with ${nothing} it would be ${percent(empty)}. Blue parts speak for it, orange ones against it.`;
}

function words(parts, strength) {
  return parts.map((part) => {
    if (strength(part) < MIN_SHOWN_SHARE) return part.words;
    const node = make("mark", { className: part.share > 0 ? "for" : "against", textContent: part.words, title: signed(part.share) });
    node.style.setProperty("--share", strength(part).toFixed(3));
    return node;
  });
}

function regions(parts, strength, file) {
  const picture = make("img", { alt: "The picture" });
  picture.onload = () => picture.classList.toggle("small", picture.naturalWidth < 128);
  picture.onerror = () => picture.replaceWith(make("p", { textContent: "The browser cannot show this picture." }));
  const reader = new FileReader();
  reader.onload = () => (picture.src = reader.result);
  reader.readAsDataURL(file);
  const svg = makeSvg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", role: "img", "aria-label": "The regions that decided" });
  for (const part of parts.filter((one) => strength(one) >= MIN_SHOWN_SHARE)) {
    const [left, top, right, bottom] = part.box;
    const box = { x: left, y: top, width: right - left, height: bottom - top };
    const rect = makeSvg("rect", { ...box, class: part.share > 0 ? "for" : "against", "fill-opacity": 0.6 * strength(part) });
    rect.append(makeSvg("title", {}, signed(part.share)));
    svg.append(rect);
  }
  return make("div", { className: "picture" }, picture, svg);
}

const signed = (share) => `${share > 0 ? "+" : "−"}${(100 * Math.abs(share)).toFixed(1)} points`;

/** Show the nearest training rows; null where there are none at hand. */
export function showNearest(rows, modality) {
  $("nearest").hidden = !rows?.length;
  $("rows").replaceChildren(
    ...(rows ?? []).map(({ input, source, label, similarity }) =>
      make(
        "li", {},
        modality === "image" ? make("img", { src: input, alt: `A picture of ${label}` }) : make("div", { className: "input", textContent: input, dir: "auto" }),
        make("p", { textContent: `${label} · ${percent(similarity)} alike · ${source}` }),
      ),
    ),
  );
}
