// What was said with one inviter: lines in order, each with the list item that shows it.

import { language, say } from "./words.js";

const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const MARKS = { pending: "…", sent: "✓", delivered: "✓✓", displayed: "✓✓", failed: "✗", unknown: "?" };
// An answer may be older than the event that overtook it: a state never goes back in this order.
const ORDER = ["pending", "unknown", "sent", "delivered", "displayed", "failed"];

export class Conversation {
  // inviter: as in the log-in answer. resend(conversation, line) is called by a line's button.
  constructor(inviter, resend) {
    this.uid = inviter.uid;
    this.to = inviter.sip || inviter.uid;
    this.name = inviter.name || inviter.sip || inviter.uid;
    this.resend = resend;
    this.status = "unknown";
    this.over = null; // why, when the invitation is over
    this.unread = 0;
    this.typing = null; // timer that ends the other side's typing
    this.lines = []; // {id, key, direction, text, state, at, item, mark}
    this.before = null; // cursor of the page in front of what is here
    this.loaded = false;
  }

  owns(message) {
    return message.uid ? message.uid === this.uid : [message.from, message.to].includes(this.to);
  }

  // Adds a message of the gateway; false when it was here already (then only its state is taken).
  add(message, index = this.lines.length) {
    const there = this.lines.find((line) => line.id === message.id);
    if (there) {
      this.advance(there, message.state, message.cause);
      return false;
    }
    const type = message.content_type || "text/plain";
    const text = type.startsWith("text/plain") ? message.message : say("notText", { type });
    const line = { id: message.id, key: null, direction: message.direction, text, state: message.state, at: message.at };
    this.draw(line);
    this.lines.splice(index, 0, line);
    if (message.state === "failed") this.setLine(line, "failed", causeWord(message.cause));
    return true;
  }

  // The newest page of the conversation, as loaded when the stream opens. Returns how many lines were new.
  merge(messages, before) {
    let fresh = 0;
    for (const message of messages) if (this.add(message)) fresh += 1;
    if (!this.loaded) this.before = before ?? null;
    this.loaded = true;
    // Lines that were here before the page came may be younger than it; those without a time are still being sent.
    this.lines.sort((a, b) => (a.at && b.at ? Date.parse(a.at) - Date.parse(b.at) : a.at ? -1 : b.at ? 1 : 0));
    return fresh;
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
    const twin = this.lines.find((other) => other !== line && other.id === answer.id);
    if (twin) this.remove(twin);
    line.id = answer.id;
    line.at = twin ? twin.at : new Date().toISOString();
    this.advance(line, twin && rank(twin.state) > rank(answer.state) ? twin.state : answer.state);
  }

  refused(line, error) {
    const id = error.problem.message_id;
    const twin = id && this.lines.find((other) => other !== line && other.id === id);
    if (twin) this.remove(twin);
    if (id) line.id = id;
    line.at = new Date().toISOString();
    this.setLine(line, "failed", problemWord(error));
  }

  // A receipt; true when the message is one of this conversation.
  setState(receipt) {
    const line = this.lines.find((one) => one.id === receipt.id);
    if (line) this.advance(line, receipt.state, receipt.cause);
    return Boolean(line);
  }

  advance(line, state, cause) {
    if (line.direction === "out" && rank(state) >= rank(line.state)) this.setLine(line, state, causeWord(cause));
    if (line.direction === "in" && state === "displayed") line.state = state; // another tab has shown it
  }

  // Ids of what the other side wrote and nobody has been told to have seen; each is given once.
  unseen() {
    const lines = this.lines.filter((line) => line.direction === "in" && line.state !== "displayed");
    for (const line of lines) line.state = "displayed";
    return lines.map((line) => line.id);
  }

  remove(line) {
    line.item.remove();
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
    text.append(speaker, line.text);
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
