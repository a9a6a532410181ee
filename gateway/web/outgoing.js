// Messages of the guest on their way: typed while the connection is gone, they go when it is back, once.

import { Refused, newKey } from "./api.js";
import { state, unsent } from "./state.js";

const PAUSES = [500, 2_000, 5_000, 10_000, 30_000]; // ms between attempts; the idempotency key makes them harmless
let wake = () => {};
let leave = () => {};

// leaveBy(error): the page's way out when a refusal ends the session.
export function beginOutgoing(leaveBy) {
  leave = leaveBy;
}

// The connection is there again: whatever waits for it goes at once.
export function retryNow() {
  wake();
}

// Sends a text and returns its line, which shows what becomes of it.
export function send(conversation, text, key = newKey()) {
  const line = conversation.addOwn(text, key);
  keep();
  deliver(conversation, line);
  return line;
}

async function deliver(conversation, line) {
  const through = state.gateway;
  for (let attempt = 0; ; attempt += 1) {
    try {
      conversation.answered(line, await through.send(conversation.to, line.text, line.key));
      break;
    } catch (error) {
      if (through !== state.gateway) return; // another login: it takes what is unsent with it
      if (error instanceof Refused && !(error.status === 503 && error.type === "unavailable" && attempt < 3)) {
        conversation.refused(line, error);
        leave(error);
        break;
      }
      conversation.setLine(line, "waiting");
    }
    await pause(PAUSES[Math.min(attempt, PAUSES.length - 1)]);
    if (through !== state.gateway || conversation.over) return;
  }
  keep();
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    const before = wake;
    const timer = setTimeout(resolve, milliseconds);
    wake = () => {
      clearTimeout(timer);
      before();
      resolve();
    };
  });
}

// A message that surely failed is a new one when it is sent again; one of unknown fate keeps its key, so that the
// other side never gets it twice.
export function resend(conversation, line) {
  if (line.state === "unknown" && line.key) {
    conversation.setLine(line, "pending");
    deliver(conversation, line);
    return null;
  }
  conversation.remove(line);
  return send(conversation, line.text);
}

// What has no answer yet outlives a reload of the tab.
function keep() {
  const waiting = [];
  for (const { uid, lines } of state.conversations.values()) {
    for (const line of lines) {
      if (line.key && ["pending", "waiting"].includes(line.state) && !line.id) waiting.push([uid, line.key, line.text]);
    }
  }
  unsent.set(waiting.length ? waiting : null);
}

// Takes up what an earlier load of this tab had not brought out.
export function takeUpUnsent() {
  const waiting = unsent.get();
  if (!Array.isArray(waiting)) return;
  for (const [uid, key, text] of waiting) {
    const conversation = state.conversations.get(uid);
    if (conversation && !conversation.over) send(conversation, text, key);
  }
  keep();
}
