// The description of the paths, from openapi.json.
import { $, make } from "./dom.js";

const example = [
  `curl -H 'Content-Type: application/json' -d '{"inputs": ["one text", "another"]}' ${location.origin}/predict`,
  `curl -F picture=@one.jpg -F picture=@two.jpg ${location.origin}/predict`,
];

function* sections(path, method, { description, requestBody, responses }) {
  yield make("h2", { textContent: `${method.toUpperCase()} ${path}` });
  yield make("p", { textContent: description ?? "" });
  for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) yield block(`Body, ${type}`, schema);
  for (const [status, { description: meaning, content }] of Object.entries(responses)) {
    const schema = Object.values(content ?? {})[0]?.schema;
    yield status === "200" ? block("Answer", schema) : make("p", { className: "say", textContent: `${status}: ${meaning}` });
  }
}

function block(name, schema) {
  return make("details", {}, make("summary", { textContent: name }), make("pre", { textContent: JSON.stringify(schema, null, 2), tabIndex: 0 }));
}

$("example").textContent = example.join("\n");
try {
  const { info, paths } = await (await fetch("openapi.json")).json();
  $("about").textContent = info.summary;
  const all = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => [path, method, operation]));
  $("paths").replaceChildren(...all.flatMap((one) => [...sections(...one)]));
} catch {
  $("alert").textContent = "The server does not answer. Start python -m stages.serve again.";
}
