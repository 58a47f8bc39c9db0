// What the scripts of all pages share. Texts, names and labels are set as text, never as HTML.

export const $ = (id) => document.getElementById(id);

export const percent = (share) => `${Math.round(share * 100)}%`;

export function make(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

export function makeSvg(name, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}
