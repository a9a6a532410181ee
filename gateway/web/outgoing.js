// Messages of the guest on their way: typed while the connection is gone, they go when it is back, once.

import { Refused, newKey } from "./api.js";
import { state, unsent } from "./state.js";
import { changed } from "./view.js";

const PAUSES = [500, 2_000, 5_000, 10_000, 30_000]; // ms between attempts; the idempotency key makes them harmless
let leave = () => {};

// leaveBy(error): the page's way out when a refusal ends the session.
export function beginOutgoing(leaveBy) {
  leave = leaveBy;
}

// Sends a text; its line shows what becomes of it.
export function send(conversation, text, key = newKey()) {
  const line = conversation.addOwn(text, key);
  keep();
  deliver(conversation, line);
}

// One after the other, so that what was typed while the connection was gone arrives in its order.
async function deliver(conversation, line) {
  const through = state.gateway;
  const before = conversation.turn;
  let done;
  conversation.turn = new Promise((resolve) => (done = resolve));
  if (!state.connected) conversation.setLine(line, "waiting");
  await before;
  await bring(conversation, line, through);
  done();
  keep();
  changed();
}

// Ends when the gateway has answered, or there is nobody left to bring the message to.
async function bring(conversation, line, through) {
  const { key } = line; // the line may turn out to be that of another message
  for (let attempt = 0; through === state.gateway && !conversation.over; attempt += 1) {
    try {
      conversation.answered(line, await through.send(conversation.to, line.text, key));
      return;
    } catch (error) {
      if (through !== state.gateway) return; // another login: it takes what is unsent with it
      if (error instanceof Refused && !(error.status === 503 && error.type === "unavailable" && attempt < 3)) {
        conversation.refused(line, error);
        leave(error);
        return;
      }
      if (line.state === "pending") conversation.setLine(line, "waiting");
    }
    await pause(PAUSES[Math.min(attempt, PAUSES.length - 1)]);
  }
}

const waiting = new Set(); // what ends each pause

function pause(milliseconds) {
  return new Promise((resolve) => {
    const go = () => {
      waiting.delete(go);
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(go, milliseconds);
    waiting.add(go);
  });
}

// The connection is there again: whatever waits for it goes at once.
export function retryNow() {
  for (const go of [...waiting]) go();
}

// What failed or is of unknown fate is sent again under its own key: it stays one message, here and at the other side.
// One that another page sent, or an earlier one, is a new message; its line stays as what it is.
export function resend(conversation, line) {
  if (line.key) {
    conversation.setLine(line, "pending");
    deliver(conversation, line);
  } else {
    send(conversation, line.text);
  }
}

// What has no answer yet outlives a reload of the tab.
function keep() {
  const left = [];
  for (const { uid, lines } of state.conversations.values()) {
    for (const line of lines) {
      if (line.key && ["pending", "waiting"].includes(line.state) && !line.id) left.push([uid, line.key, line.text]);
    }
  }
  unsent.set(left.length ? left : null);
}

// Takes up what an earlier load of this tab had not brought out.
export function takeUpUnsent() {
  const left = unsent.get();
  if (!Array.isArray(left)) return;
  for (const [uid, key, text] of left) {
    const conversation = state.conversations.get(uid);
    if (conversation && !conversation.over) send(conversation, text, key);
  }
  keep();
}
