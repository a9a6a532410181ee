// What was said with one inviter: lines in order, each with the list item that shows it while it is on the screen.

import { drawMark } from "./bubble.js";
import { FileLine, sendFile } from "./files.js";
import { triedKeys } from "./state.js";
import { isolated } from "./text.js";
import { say } from "./words.js";

// State → states that come after it. Only what failed, or perhaps did not arrive, can begin anew: see setState().
const NEXT = {
  waiting: ["pending", "sent", "delivered", "displayed", "failed", "unknown"],
  pending: ["sent", "delivered", "displayed", "failed", "unknown"],
  unknown: ["sent", "delivered", "displayed", "failed"],
  sent: ["delivered", "displayed", "failed"],
  delivered: ["displayed"],
  failed: ["delivered", "displayed"],
};

const AGAIN = ["failed", "unknown"];
const TRIED = 50; // messages whose keys outlive a reload, so that they are sent again under the same one

export class Conversation {
  // inviter: as in the log-in answer. resend(conversation, line) is called by a line's button.
  constructor(inviter, resend) {
    this.uid = inviter.uid;
    this.to = inviter.sip || inviter.uid;
    this.name = isolated(inviter.name || inviter.sip || inviter.uid);
    this.resend = resend;
    this.types = inviter.types || ["im"];
    this.until = inviter.until;
    this.status = "unknown";
    this.cause = ""; // what the network answered when the status was asked, if it was no success
    this.over = null; // why, when the invitation is over
    this.rings = false; // whether the inviter has opened a chat that waits for the guest
    this.typing = null; // timer that ends the other side's typing
    this.turn = Promise.resolve(); // when the message before is with the gateway: they keep their order
    this.draft = ""; // what was typed here and not sent, while another conversation is on the screen
    this.lines = []; // messages {id, key, direction, text, state, cause, at, seen, item} and FileLines, oldest first
    this.disordered = false;
    this.known = new Map(); // direction and id → line: who chooses an id that we use shadows nothing
    this.before = null; // cursor of the page in front of what is here
    this.loaded = false;
  }

  owns(message) {
    return message.uid ? message.uid === this.uid : [message.from, message.to].includes(this.to);
  }

  // What has come and nobody has looked at.
  get unread() {
    return this.lines.reduce((count, line) => count + (line.direction === "in" && !line.seen ? 1 : 0), 0);
  }

  // Lines as they are shown. Files of a time whose messages have not been fetched yet wait for these.
  shown() {
    if (this.disordered) this.sort();
    if (this.before === null) return this.lines;
    const first = this.lines.findIndex((line) => line.text !== undefined);
    return first > 0 ? this.lines.slice(first) : this.lines;
  }

  // Adds a message of the gateway; false when it was here already (then only its time and state are taken).
  // live: it comes by an event, so that one of our own may be the one whose answer is still on its way.
  add(message, live = false) {
    const there = this.known.get(`${message.direction} ${message.id}`) || (live && this.awaited(message));
    if (there) {
      if (there.at !== message.at) this.disordered = true;
      there.at = message.at;
      this.advance(there, message.state, message.cause);
      drawMark(this, there);
      return false;
    }
    const type = message.content_type || "text/plain";
    const text = type.startsWith("text/plain") ? message.message : say("notText", { type });
    const { id, direction, state, at, cause } = message;
    const key = direction === "out" && AGAIN.includes(state) ? (triedKeys.get() ?? {})[id] ?? null : null;
    const line = { id, key, direction, text, state, at, cause: causeWord(cause), seen: state === "displayed", item: null };
    this.lines.push(line);
    this.know(line);
    return true;
  }

  know(line) {
    this.known.set(`${line.direction} ${line.id}`, line);
  }

  // The line of ours that waits for the id which this message has.
  awaited(message) {
    if (message.direction !== "out") return null;
    const line = this.lines.find((one) => one.key && !one.id && one.text === message.message);
    if (!line) return null;
    line.id = message.id;
    this.know(line);
    return line;
  }

  // A page of the conversation, which stands in front of the line `next` if there is one: the clock alone does not tell
  // what was said within a millisecond. Returns how many lines were new.
  merge(messages, next = null) {
    const there = this.lines.length;
    for (const message of messages) this.add(message);
    const fresh = this.lines.splice(there);
    const place = next ? this.lines.indexOf(next) : -1;
    this.lines.splice(place < 0 ? there : place, 0, ...fresh);
    if (fresh.length) this.disordered = true;
    return fresh.length;
  }

  // The line of the oldest message of a page, or of all that is here.
  oldest([message] = []) {
    if (message) return this.known.get(`${message.direction} ${message.id}`);
    return this.lines.find((line) => line.text !== undefined) ?? null;
  }

  // Those without a time are still being sent.
  sort() {
    const time = (line) => (line.at ? Date.parse(line.at) : Infinity);
    const timed = this.lines.map((line) => [time(line), line]);
    timed.sort(([a], [b]) => (a === b ? 0 : a - b));
    this.lines = timed.map(([, line]) => line);
    this.disordered = false;
  }

  // A file as the gateway tells of it; true when it is new here.
  setFile(view, seen = true) {
    const mine = (line) =>
      line.upload && !line.id && !line.upload.stopped && line.view.name === view.name && line.view.size === view.size;
    const there = this.known.get(`file ${view.id}`) || (view.direction === "out" && this.lines.find(mine));
    if (there) {
      this.known.set(`file ${view.id}`, there);
      there.advance(view);
      return false;
    }
    const line = new FileLine(this, view);
    line.seen = seen;
    this.lines.push(line);
    this.known.set(`file ${view.id}`, line);
    return true;
  }

  mergeFiles(views) {
    const fresh = views.filter((view) => this.setFile(view)).length;
    if (fresh) this.disordered = true;
    return fresh;
  }

  sendFile(file) {
    // Chosen again after a reload, a file goes on where it stood.
    const broken = this.lines.find((line) => line.wants && line.wants(file));
    if (broken) {
      broken.goOn(file);
      return;
    }
    const line = sendFile(this, file, (id) => this.known.set(`file ${id}`, line));
    this.lines.push(line);
  }

  addOwn(text, key) {
    const line = { id: null, key, direction: "out", text, state: "pending", at: null, cause: null, seen: true, item: null };
    this.lines.push(line);
    return line;
  }

  // The gateway took the message. Its event may have been quicker than this answer: then that line is the one.
  answered(line, answer) {
    const kept = this.named(line, answer.id);
    kept.at ??= new Date().toISOString();
    this.advance(kept, answer.state);
    drawMark(this, kept);
  }

  // The gateway refused the message, or tells what has become of it in vain.
  refused(line, error) {
    const kept = this.named(line, error.problem.message_id);
    kept.at ??= new Date().toISOString();
    // No answer in time: it may have arrived.
    this.setLine(kept, error.status === 504 ? "unknown" : "failed", problemWord(error));
  }

  // The line learns its id. Returns the line that stays, when another has this id already.
  named(line, id) {
    if (!id || line.id === id) return line;
    const twin = this.known.get(`out ${id}`);
    if (twin && twin !== line) {
      twin.key = line.key;
      // With another id it is a message of ours that was sent elsewhere and reads the same.
      if (!line.id) this.lines = this.lines.filter((other) => other !== line);
      else line.key = null;
      return twin;
    }
    if (line.id) {
      const own = this.addOwn(line.text, line.key);
      line.key = null;
      return this.named(own, id);
    }
    line.id = id;
    this.know(line);
    return line;
  }

  // A receipt; true when the message is one of this conversation.
  setState(receipt) {
    const line = this.known.get(`out ${receipt.id}`) || this.known.get(`in ${receipt.id}`);
    if (!line) return false;
    if (receipt.state === "pending" && AGAIN.includes(line.state)) this.setLine(line, "pending");
    else this.advance(line, receipt.state, receipt.cause);
    return true;
  }

  // An answer may be older than the event that overtook it: a state never goes back.
  advance(line, state, cause) {
    if (line.direction === "out" && NEXT[line.state]?.includes(state)) this.setLine(line, state, causeWord(cause));
    if (line.direction === "in" && state === "displayed") line.seen = true; // another tab has shown it
  }

  setLine(line, state, cause = null) {
    line.state = state;
    line.cause = cause;
    if (line.id && line.key && AGAIN.includes(state)) {
      const tried = Object.entries(triedKeys.get() ?? {}).slice(1 - TRIED);
      triedKeys.set({ ...Object.fromEntries(tried), [line.id]: line.key });
    }
    drawMark(this, line);
  }

  // What the other side wrote and nobody has been told to have seen; each is given once.
  unseen() {
    const lines = this.lines.filter((line) => line.direction === "in" && !line.seen);
    for (const line of lines) line.seen = true;
    return lines.filter((line) => line.text !== undefined);
  }
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
