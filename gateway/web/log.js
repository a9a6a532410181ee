// The conversation on the screen: a window of its lines, so that a page with thousands of them stays as quick as one
// with ten. It follows the newest line unless somebody has scrolled up.

import { drawLine } from "./bubble.js";
import { element, state } from "./state.js";
import { language, say } from "./words.js";

const USUAL = 80; // lines on the screen while it follows the newest
const MOST = 200; // lines on the screen at most
const STEP = 60; // lines more at a time when somebody scrolls
const LOW = 80; // px from the end that count as reading the newest
const HIGH = 300; // px from the top at which earlier lines come by themselves

let first = null; // the window's first line; null: what stands there when it ends at `last`
let last = null; // its last line; null: the newest
let drawn = []; // the lines in the window
let of = null; // the conversation they are of
let follows = true; // whether the reader is at the newest line; what grows there does not push it off the screen
const days = new Map(); // day → the list item in front of it
const heading = new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long" });
const farHeading = new Intl.DateTimeFormat(language, { dateStyle: "long" });

export const isLow = () => last === null && follows;

function below() {
  const area = element("scroll");
  return area.scrollHeight - area.scrollTop - area.clientHeight;
}

function toBottom() {
  const area = element("scroll");
  area.scrollTop = area.scrollHeight;
  follows = true;
}

function range(lines) {
  let end = last ? lines.indexOf(last) + 1 : 0;
  if (end === 0) [last, end] = [null, lines.length];
  let begin = first ? lines.indexOf(first) : -1;
  if (begin < 0 || begin >= end) begin = Math.max(0, end - USUAL);
  return [begin, end];
}

// toEnd: show the newest, wherever the reader is.
export function drawLog(toEnd = false) {
  const { current } = state;
  if (!current) return;
  const area = element("scroll");
  const follow = toEnd || current !== of || isLow();
  if (current !== of) leave();
  if (follow) first = last = null;
  else if (!first && drawn.length) first = drawn[0]; // who reads further up is not moved by what comes
  of = current;
  const lines = current.shown();
  let [begin, end] = range(lines);
  if (end - begin > MOST) {
    end = begin + MOST;
    last = lines[end - 1];
  }
  const visible = lines.slice(begin, end);
  const kept = follow ? null : anchor(area, new Set(visible));
  const place = kept && kept.item.getBoundingClientRect().top;
  const older = drawn.length > 0 && visible[0] !== drawn[0] && !drawn.includes(visible[0]);
  put(visible, older || !drawn.length || !visible.includes(drawn.at(-1)));
  element("earlier").hidden = begin === 0 && current.before === null;
  element("empty").hidden = lines.length > 0;
  if (follow) toBottom();
  else if (kept) area.scrollTop += kept.item.getBoundingClientRect().top - place;
  drawNewest();
}

// The first line that the reader sees of those that stay.
function anchor(area, staying) {
  const top = area.getBoundingClientRect().top;
  return drawn.find((line) => staying.has(line) && line.item && line.item.getBoundingClientRect().bottom > top) || null;
}

function put(visible, silent) {
  const news = element("news");
  if (silent) news.setAttribute("aria-live", "off"); // what is drawn anew is not news
  const staying = new Set(visible);
  for (const line of drawn) if (!staying.has(line)) forget(line);
  const nodes = [];
  let day = "";
  for (const line of visible) {
    const its = dayOf(line);
    if (its !== day) nodes.push(dayNode(its, line));
    day = its;
    if (!line.item) drawLine(of, line);
    nodes.push(line.item);
  }
  const log = element("log");
  const wanted = new Set(nodes);
  for (const child of [...log.children]) if (!wanted.has(child)) child.remove();
  let at = log.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else log.insertBefore(node, at);
  }
  drawn = visible;
  if (silent) requestAnimationFrame(() => news.setAttribute("aria-live", "polite"));
}

function forget(line) {
  if (line.text !== undefined) line.item = null; // a file keeps its picture
}

function leave() {
  drawn.forEach(forget);
  drawn = [];
  days.clear();
  element("log").replaceChildren();
}

function dayOf(line) {
  const date = line.at ? new Date(line.at) : new Date();
  return Number.isNaN(date.getTime()) ? "" : date.toDateString();
}

function dayNode(day, line) {
  if (!days.has(day)) {
    const item = document.createElement("li");
    item.className = "day";
    const today = day === new Date().toDateString();
    const yesterday = day === new Date(Date.now() - 86_400_000).toDateString();
    const date = new Date(line.at);
    const words = date.getFullYear() === new Date().getFullYear() ? heading : farHeading;
    item.textContent = today ? say("today") : yesterday ? say("yesterday") : words.format(date);
    days.set(day, item);
  }
  return days.get(day);
}

function drawNewest() {
  const button = element("newest");
  button.hidden = isLow();
  const missed = of && !button.hidden ? of.unread : 0;
  button.textContent = missed ? `↓ ${say("unread", { count: missed })}` : "↓";
}

// Shows earlier lines that are here already; false when there are none.
function stepUp() {
  const lines = of.shown();
  const [begin, end] = range(lines);
  if (begin === 0) return false;
  const top = Math.max(0, begin - STEP);
  first = lines[top];
  last = end - top > MOST ? lines[top + MOST - 1] : end === lines.length ? null : lines[end - 1];
  drawLog();
  return true;
}

function stepDown() {
  const lines = of.shown();
  const [begin, end] = range(lines);
  const bottom = Math.min(lines.length, end + STEP);
  last = bottom === lines.length ? null : lines[bottom - 1];
  first = lines[Math.max(begin, bottom - MOST)];
  drawLog();
}

let busy = false;

// Earlier lines: those that are here, else a page of the gateway. fetchPage(conversation) brings one.
async function earlier(fetchPage) {
  const wanted = of;
  if (busy || !wanted || stepUp() || wanted.before === null) return;
  busy = true;
  element("earlier").disabled = true;
  try {
    if (!first && drawn.length) first = drawn[0];
    if (await fetchPage(wanted)) if (wanted === of) stepUp();
  } finally {
    busy = false;
    element("earlier").disabled = false;
  }
}

// fetchPage: see above. reading(): called when the reader has come to the newest line.
export function beginLog(fetchPage, reading) {
  const area = element("scroll");
  element("earlier").addEventListener("click", () => earlier(fetchPage));
  element("newest").addEventListener("click", () => {
    drawLog(true);
    element("text").focus();
    reading();
  });
  // A picture that has loaded, a keyboard that has come up.
  const sizes = new ResizeObserver(() => isLow() && toBottom());
  sizes.observe(area);
  sizes.observe(element("log"));
  let due = false;
  let top = 0;
  area.addEventListener("scroll", () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      if (!of) return;
      // Only who scrolls up leaves the newest line; that something grows there is no wish.
      if (below() < LOW) follows = true;
      else if (area.scrollTop < top) follows = false;
      top = area.scrollTop;
      if (area.scrollTop < HIGH && area.scrollHeight > 2 * area.clientHeight) earlier(fetchPage);
      else if (last !== null && below() < HIGH) stepDown();
      if (isLow()) reading();
      drawNewest();
    });
  });
}
