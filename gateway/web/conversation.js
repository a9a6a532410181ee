// What was said with one inviter: lines in order, each with the list item that shows it.

import { FileLine, sendFile } from "./files.js";
import { nodesOf } from "./text.js";
import { language, say } from "./words.js";

const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const MARKS = { pending: "…", waiting: "…", sent: "✓", delivered: "✓✓", displayed: "✓✓", failed: "✗", unknown: "?" };
// An answer may be older than the event that overtook it: a state never goes back in this order.
const ORDER = ["waiting", "pending", "unknown", "sent", "delivered", "displayed", "failed"];

export class Conversation {
  // inviter: as in the log-in answer. resend(conversation, line) is called by a line's button.
  constructor(inviter, resend) {
    this.uid = inviter.uid;
    this.to = inviter.sip || inviter.uid;
    this.name = inviter.name || inviter.sip || inviter.uid;
    this.resend = resend;
    this.types = inviter.types || ["im"];
    this.until = inviter.until;
    this.status = "unknown";
    this.over = null; // why, when the invitation is over
    this.unread = 0;
    this.typing = null; // timer that ends the other side's typing
    this.lines = []; // messages {id, key, direction, text, state, at, item, mark} and FileLines, oldest first
    this.known = new Map(); // id → line
    this.before = null; // cursor of the page in front of what is here
    this.loaded = false;
  }

  owns(message) {
    return message.uid ? message.uid === this.uid : [message.from, message.to].includes(this.to);
  }

  // Adds a message of the gateway; false when it was here already (then only its state is taken).
  add(message, index = this.lines.length) {
    const there = this.known.get(message.id);
    if (there) {
      this.advance(there, message.state, message.cause);
      return false;
    }
    const type = message.content_type || "text/plain";
    const text = type.startsWith("text/plain") ? message.message : say("notText", { type });
    const line = { id: message.id, key: null, direction: message.direction, text, state: message.state, at: message.at };
    this.draw(line);
    this.lines.splice(index, 0, line);
    this.known.set(line.id, line);
    if (message.state === "failed") this.setLine(line, "failed", causeWord(message.cause));
    return true;
  }

  // The newest page of the conversation, as loaded when the stream opens. Returns how many lines were new.
  merge(messages, before) {
    let fresh = 0;
    for (const message of messages) if (this.add(message)) fresh += 1;
    if (!this.loaded) this.before = before ?? null;
    this.loaded = true;
    if (fresh) this.sort();
    return fresh;
  }

  // Lines that were here before a page came may be younger than it; those without a time are still being sent.
  sort() {
    const time = (line) => (line.at ? Date.parse(line.at) : Infinity);
    const timed = this.lines.map((line) => [time(line), line]);
    timed.sort(([a], [b]) => (a === b ? 0 : a - b));
    this.lines = timed.map(([, line]) => line);
  }

  // A file as the gateway tells of it; true when it is new here.
  setFile(view) {
    const there =
      this.known.get(view.id) || this.lines.find((line) => line.upload && !line.id && view.direction === "out" && line.view.name === view.name);
    if (there) {
      this.known.set(view.id, there);
      there.advance(view);
      return false;
    }
    const line = new FileLine(this, view);
    this.lines.push(line);
    this.known.set(view.id, line);
    return true;
  }

  mergeFiles(views) {
    const fresh = views.filter((view) => this.setFile(view)).length;
    if (fresh) this.sort();
    return fresh;
  }

  sendFile(file) {
    const line = sendFile(this, file, (id) => this.known.set(id, line));
    this.lines.push(line);
    return line;
  }

  prepend(messages, before) {
    let index = 0;
    for (const message of messages) if (this.add(message, index)) index += 1;
    this.before = before ?? null;
  }

  addOwn(text, key) {
    const line = { id: null, key, direction: "out", text, state: "pending", at: null };
    this.draw(line);
    this.lines.push(line);
    return line;
  }

  // The gateway took the message. Its event may have been quicker than this answer: then the event's line goes.
  answered(line, answer) {
    const twin = this.twin(line, answer.id);
    line.at = twin ? twin.at : new Date().toISOString();
    this.advance(line, twin && rank(twin.state) > rank(answer.state) ? twin.state : answer.state);
  }

  // The line learns its id; the event of the same message may have been quicker: then that one's line goes.
  twin(line, id) {
    if (!id) return null;
    const twin = this.known.get(id);
    if (twin && twin !== line) this.remove(twin);
    line.id = id;
    this.known.set(id, line);
    return twin === line ? null : twin;
  }

  refused(line, error) {
    this.twin(line, error.problem.message_id);
    line.at = new Date().toISOString();
    this.setLine(line, "failed", problemWord(error));
  }

  // A receipt; true when the message is one of this conversation.
  setState(receipt) {
    const line = this.known.get(receipt.id);
    if (line) this.advance(line, receipt.state, receipt.cause);
    return Boolean(line);
  }

  advance(line, state, cause) {
    if (line.direction === "out" && rank(state) >= rank(line.state)) this.setLine(line, state, causeWord(cause));
    if (line.direction === "in" && state === "displayed") line.state = state; // another tab has shown it
  }

  // Ids of what the other side wrote and nobody has been told to have seen; each is given once.
  unseen() {
    const lines = this.lines.filter((line) => line.text !== undefined && line.direction === "in" && line.state !== "displayed");
    for (const line of lines) line.state = "displayed";
    return lines.map((line) => line.id);
  }

  remove(line) {
    line.item.remove();
    if (this.known.get(line.id) === line) this.known.delete(line.id);
    this.lines = this.lines.filter((other) => other !== line);
  }

  draw(line) {
    line.item = document.createElement("li");
    line.item.className = line.direction;
    const text = document.createElement("p");
    text.className = "text";
    text.dir = "auto";
    const speaker = document.createElement("span");
    speaker.className = "unseen";
    speaker.textContent = `${line.direction === "out" ? say("you") : this.name}: `;
    text.append(speaker, ...nodesOf(line.text));
    line.mark = document.createElement("p");
    line.mark.className = "mark";
    line.item.append(text, line.mark);
    this.setLine(line, line.state);
  }

  setLine(line, state, cause = null) {
    line.state = state;
    line.item.dataset.state = state;
    const parts = [];
    if (line.at) {
      const time = document.createElement("time");
      time.dateTime = line.at;
      time.textContent = format(line.at);
      parts.push(time);
    }
    if (line.direction === "out") {
      const word = document.createElement("span");
      const why = cause && say(`cause.${cause}`, { name: this.name });
      word.textContent = `${MARKS[state] || ""} ${say(`state.${state}`) || state}${why ? `: ${why}` : ""}`;
      parts.push(word);
      if (state === "failed" || (state === "unknown" && line.key)) parts.push(this.button(line));
    }
    line.mark.replaceChildren(...parts);
  }

  button(line) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = say("retry");
    button.addEventListener("click", () => this.resend(this, line));
    return button;
  }
}

const rank = (state) => ORDER.indexOf(state);

function format(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  return (date.toDateString() === new Date().toDateString() ? clock : calendar).format(date);
}

// What a peer answered (SIP or MSRP code) as one of the page's own words.
function causeWord(cause) {
  if (!cause) return null;
  if (cause.protocol === "MSRP") return cause.code === 413 ? "too-large" : cause.code === 408 ? "timeout" : "other";
  if ([486, 600].includes(cause.code)) return "busy";
  if ([603, 607].includes(cause.code)) return "declined";
  if ([404, 410, 480].includes(cause.code)) return "peer-offline";
  if ([408, 504].includes(cause.code)) return "timeout";
  return cause.code >= 500 && cause.code < 600 ? "unavailable" : "other";
}

function problemWord(error) {
  if (["peer-offline", "no-relation", "too-large", "too-many-requests"].includes(error.type)) return error.type;
  if (error.problem.sip) return causeWord(error.problem.sip);
  return { 413: "too-large", 429: "too-many-requests", 504: "timeout", 502: "unavailable", 503: "unavailable" }[error.status] || "other";
}
