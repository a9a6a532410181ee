// Text of others as nodes: nothing in it is ever markup, links are the only thing that can be clicked.

// Stops before what rather ends the sentence than the address; pairs of brackets inside are kept.
const LINK = /\bhttps?:\/\/[^\s<>"'`\u0000-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/giu;
const TAIL = /[.,;:!?…»”’*_~]+$/u;

function trimmed(address) {
  let end = address.replace(TAIL, "");
  for (const [open, close] of ["()", "[]", "{}"]) {
    while (end.endsWith(close) && count(end, close) > count(end, open)) end = end.slice(0, -1).replace(TAIL, "");
  }
  return end;
}

const count = (text, character) => text.split(character).length - 1;

// Returns nodes for a text: text nodes, and a link for each address of the web in it.
export function nodesOf(text) {
  const nodes = [];
  let place = 0;
  for (const match of text.matchAll(LINK)) {
    const address = trimmed(match[0]);
    if (!isAddress(address)) continue;
    nodes.push(text.slice(place, match.index), linkTo(address));
    place = match.index + address.length;
  }
  nodes.push(text.slice(place));
  return nodes;
}

function isAddress(text) {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol) && text.length > "https://".length;
  } catch {
    return false;
  }
}

function linkTo(address) {
  const link = document.createElement("a");
  link.href = address;
  link.textContent = address;
  link.rel = "noopener noreferrer nofollow";
  link.target = "_blank";
  return link;
}

// A name as part of a line: without the marks that would turn around what stands behind it ("photo[RLO]gnp.exe").
export function isolated(name) {
  return String(name).replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]/g, "");
}

// 1234567 → "1.2 MB", in the language of the page.
export function amount(octets, language) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let value = octets;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  const digits = unit && value < 100 ? 1 : 0;
  const options = { style: "unit", unit: units[unit], unitDisplay: unit ? "short" : "long", maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, options).format(value);
}
