// One message as a list item: its text, and below it when it was said and what has become of it.

import { nodesOf } from "./text.js";
import { language, say } from "./words.js";

const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });
export const MARKS = { pending: "…", waiting: "…", sent: "✓", delivered: "✓✓", displayed: "✓✓", failed: "✗", unknown: "?" };

// Who says it, for those who cannot see on which side it stands. With a direction of its own it does not decide that
// of the text behind it.
export function speaker(conversation, direction) {
  const node = document.createElement("span");
  node.className = "unseen";
  node.dir = "auto";
  node.textContent = `${direction === "out" ? say("you") : conversation.name}: `;
  return node;
}

export function timeNode(at) {
  const node = document.createElement("time");
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return node;
  node.dateTime = at;
  node.textContent = clock.format(date);
  node.title = exact.format(date);
  return node;
}

export function drawLine(conversation, line) {
  line.item = document.createElement("li");
  line.item.className = line.direction;
  const text = document.createElement("p");
  text.className = "text";
  text.dir = "auto";
  text.append(speaker(conversation, line.direction), ...nodesOf(line.text));
  const mark = document.createElement("p");
  mark.className = "mark";
  line.item.append(text, mark);
  drawMark(conversation, line);
}

// Draws what may have changed of a line, if it is on the screen.
export function drawMark(conversation, line) {
  if (!line.item) return;
  line.item.dataset.state = line.state;
  const parts = line.at ? [timeNode(line.at)] : [];
  if (line.direction === "out") {
    const word = document.createElement("span");
    const why = line.cause && say(`cause.${line.cause}`, { name: conversation.name });
    word.textContent = `${MARKS[line.state] || ""} ${say(`state.${line.state}`) || line.state}${why ? `: ${why}` : ""}`;
    word.title = say(`means.${line.state}`) || "";
    parts.push(word);
    // What perhaps arrived is sent again only under its own key, so that nobody gets it twice.
    if (line.state === "failed" || (line.state === "unknown" && line.key)) parts.push(button(conversation, line));
  }
  const mark = line.item.lastChild;
  const held = mark.contains(document.activeElement);
  mark.replaceChildren(...parts);
  if (held) mark.querySelector("button")?.focus();
}

function button(conversation, line) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = say("retry");
  made.addEventListener("click", () => conversation.resend(conversation, line));
  return made;
}
