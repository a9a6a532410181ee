// The stream of events: what comes changes the conversations, whatever happens to the connection in between.

import { Refused } from "./api.js";
import { retryNow } from "./outgoing.js";
import { state } from "./state.js";
import { sound } from "./sound.js";
import { banner, changed, setStatus } from "./view.js";

const RETRY_FIRST = 1_000; // ms
const RETRY_LAST = 30_000; // ms

let lastEventId = null;
let wakeUp = () => {}; // ends the pause before the next attempt to connect
let cut = () => {}; // gives the open stream up
let owner = null; // {leaveBy, showEnded, showIdle, endWord, meet, connected}: what only the page as a whole can do

export function beginLive(calls) {
  owner = calls;
}

export const wake = () => wakeUp();
export const drop = () => cut();

export async function listen(signal) {
  let pause = RETRY_FIRST;
  lastEventId = null;
  while (!signal.aborted) {
    const attempt = new AbortController();
    let lost = "lost";
    cut = () => attempt.abort();
    signal.addEventListener("abort", cut, { once: true });
    try {
      const opened = () => {
        pause = RETRY_FIRST;
        state.connected = true;
        banner(state.coreLost ? "coreLost" : null);
        refresh(signal);
        retryNow();
        owner.connected();
      };
      await state.gateway.stream(lastEventId, attempt.signal, opened, (event) => !signal.aborted && receive(event));
    } catch (error) {
      if (signal.aborted || owner.leaveBy(error)) return;
      lost = error instanceof Refused && error.status === 429 ? "tooManyTabs" : "lost";
    }
    state.connected = false;
    if (signal.aborted) return;
    banner(navigator.onLine === false ? "offlineHere" : lost);
    await new Promise((resolve) => {
      wakeUp = resolve;
      setTimeout(resolve, pause * (0.75 + Math.random() / 2));
    });
    pause = Math.min(pause * 2, RETRY_LAST);
  }
}

// What the stream does not tell: the conversation so far and everybody's status. The stream is open before these are
// asked for, so nothing falls between them; what comes twice is known by its id.
export function refresh(signal) {
  for (const conversation of state.conversations.values()) {
    if (conversation.over) continue;
    load(conversation, signal);
    state.gateway
      .status(conversation.uid)
      .then((answer) => !signal.aborted && setStatus(conversation, answer.status, answer.cause))
      .catch((error) => {
        if (!signal.aborted && !owner.leaveBy(error)) setStatus(conversation, "unknown");
      });
  }
}

// The newest pages, back to what is known already, and the files.
async function load(conversation, signal) {
  try {
    const known = conversation.loaded;
    let page = await state.gateway.messages(conversation.uid);
    if (signal.aborted) return;
    let fresh = conversation.merge(page.messages);
    if (!known) conversation.before = page.before ?? null;
    conversation.loaded = true;
    changed();
    while (known && fresh && page.before != null) {
      const next = conversation.oldest(page.messages);
      page = await state.gateway.messages(conversation.uid, page.before);
      if (signal.aborted) return;
      fresh = conversation.merge(page.messages, next);
    }
    if (conversation.types.includes("file")) {
      const { files } = await state.gateway.files(conversation.uid);
      if (signal.aborted) return;
      conversation.mergeFiles(files || []);
    }
    changed();
  } catch (error) {
    if (!signal.aborted) owner.leaveBy(error);
  }
}

function receive({ id, kind, data }) {
  if (id !== null) lastEventId = id;
  if (data === null) return;
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    return;
  }
  const known = receivers[event.kind || kind]; // others are kinds of later versions
  if (known) known(event[event.kind] ?? event);
}

const receivers = {
  message(message) {
    const conversation = [...state.conversations.values()].find((one) => one.owns(message));
    if (!conversation) return owner.meet();
    if (conversation.add(message, true) && message.direction === "in") sound(conversation);
    changed();
  },
  file(view) {
    const conversation = [...state.conversations.values()].find((one) => one.owns(view));
    if (!conversation) return owner.meet();
    if (conversation.setFile(view, view.direction === "out") && view.direction === "in") sound(conversation);
    changed();
  },
  receipt(receipt) {
    [...state.conversations.values()].find((one) => one.setState(receipt));
    changed();
  },
  composing,
  status(answer) {
    const conversation = state.conversations.get(answer.uid);
    if (conversation) setStatus(conversation, answer.status, answer.cause);
  },
  session,
  reset: () => state.running && refresh(state.running.signal),
};

function composing({ uid, state: now, until }) {
  const conversation = state.conversations.get(uid);
  if (!conversation) return;
  const left = now === "active" ? Date.parse(until) - Date.now() : 0;
  clearTimeout(conversation.typing);
  // A clock that is wrong must neither hide typing nor keep it for ever.
  const wait = Math.min(Math.max(left || 0, 5000), 130_000);
  conversation.typing = now === "active" ? setTimeout(() => composing({ uid, state: "idle" }), wait) : null;
  changed();
}

// An inviter's chat rings until the conversation is opened.
function ringing(conversation) {
  conversation.rings = true;
  sound(conversation);
  changed();
}

function session(change) {
  if (change.uid) {
    const conversation = state.conversations.get(change.uid);
    if (conversation && change.state === "ringing") ringing(conversation);
    if (!conversation || ["restored", "failed", "ringing", "refused"].includes(change.state)) return;
    conversation.over = owner.endWord(`${change.state} ${change.reason || ""}`);
    setStatus(conversation, "over");
    if ([...state.conversations.values()].every((one) => one.over)) owner.showEnded(change.reason || change.state);
    return;
  }
  switch (change.state) {
    case "failed":
      state.coreLost = true;
      banner("coreLost");
      break;
    case "restored":
      state.coreLost = false;
      banner(null);
      break;
    case "idle":
      owner.showIdle();
      break;
    default:
      owner.showEnded(change.state === "ended" ? change.reason : change.state);
  }
}
