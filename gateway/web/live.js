// The stream of events: what comes changes the conversations, whatever happens to the connection in between.

import { Refused } from "./api.js";
import { retryNow } from "./outgoing.js";
import { state } from "./state.js";
import { banner, drawComposer, drawInviters, drawLog, drawPeer, drawTitle, place, ring, scrollDown, setStatus } from "./view.js";

const RETRY_FIRST = 1_000; // ms
const RETRY_LAST = 30_000; // ms

let lastEventId = null;
let wakeUp = () => {}; // ends the pause before the next attempt to connect
let page = null; // {leaveBy, showEnded, showIdle, endWord, seen}: what only the page as a whole can do

export function beginLive(calls) {
  page = calls;
}

export const wake = () => wakeUp();

export async function listen(signal) {
  let pause = RETRY_FIRST;
  lastEventId = null;
  while (!signal.aborted) {
    try {
      const opened = () => {
        pause = RETRY_FIRST;
        state.connected = true;
        banner(state.coreLost ? "coreLost" : null);
        refresh(signal);
        retryNow();
      };
      await state.gateway.stream(lastEventId, signal, opened, (event) => !signal.aborted && receive(event));
    } catch (error) {
      if (signal.aborted || page.leaveBy(error)) return;
      banner(error instanceof Refused && error.status === 429 ? "tooManyTabs" : "lost");
    }
    state.connected = false;
    if (signal.aborted) return;
    if (navigator.onLine === false) banner("offlineHere");
    await new Promise((resolve) => {
      wakeUp = resolve;
      setTimeout(resolve, pause * (0.75 + Math.random() / 2));
    });
    pause = Math.min(pause * 2, RETRY_LAST);
  }
}

// What the stream does not tell: the conversation so far and everybody's status. The stream is open before these are
// asked for, so nothing falls between them; what comes twice is known by its id.
function refresh(signal) {
  for (const conversation of state.conversations.values()) {
    if (conversation.over) continue;
    load(conversation, signal);
    state.gateway
      .status(conversation.uid)
      .then((answer) => !signal.aborted && setStatus(conversation, answer.status))
      .catch((error) => {
        if (!signal.aborted && !page.leaveBy(error)) setStatus(conversation, "unknown");
      });
  }
}

// The newest pages, back to what is known already, and the files.
async function load(conversation, signal) {
  try {
    const known = conversation.loaded;
    let newest = await state.gateway.messages(conversation.uid);
    let fresh = signal.aborted ? 0 : conversation.merge(newest.messages, newest.before);
    while (known && fresh && newest.before != null && !signal.aborted) {
      newest = await state.gateway.messages(conversation.uid, newest.before);
      if (signal.aborted || !conversation.merge(newest.messages, newest.before)) break;
    }
    if (conversation.types.includes("file") && !signal.aborted) {
      const { files } = await state.gateway.files(conversation.uid);
      if (!signal.aborted) fresh += conversation.mergeFiles(files || []);
    }
    if (signal.aborted) return;
    if (conversation === state.current) drawLog();
    else if (fresh) drawInviters();
    page.seen();
  } catch (error) {
    if (!signal.aborted) page.leaveBy(error);
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
    if (conversation && conversation.add(message)) news(conversation, message.direction);
    else if (conversation === state.current) page.seen();
  },
  file(view) {
    const conversation = [...state.conversations.values()].find((one) => one.owns(view));
    if (conversation && conversation.setFile(view)) news(conversation, view.direction);
  },
  receipt(receipt) {
    const conversation = [...state.conversations.values()].find((one) => one.setState(receipt));
    if (conversation && conversation === state.current) scrollDown(false);
  },
  composing,
  status(answer) {
    const conversation = state.conversations.get(answer.uid);
    if (conversation) setStatus(conversation, answer.status);
  },
  session,
  reset: () => state.running && refresh(state.running.signal),
};

// The newest line of a conversation has come.
function news(conversation, direction) {
  if (conversation === state.current) place(conversation.lines.at(-1));
  if (direction === "in") {
    if (conversation !== state.current || document.hidden) conversation.unread += 1;
    ring();
  }
  if (conversation === state.current) {
    page.seen();
    drawTitle();
  } else {
    drawInviters();
  }
}

function composing({ uid, state: now, until }) {
  const conversation = state.conversations.get(uid);
  if (!conversation) return;
  const left = now === "active" ? Date.parse(until) - Date.now() : 0;
  clearTimeout(conversation.typing);
  // A clock that is wrong must neither hide typing nor keep it for ever.
  const wait = Math.min(Math.max(left || 0, 5000), 130_000);
  conversation.typing = now === "active" ? setTimeout(() => composing({ uid, state: "idle" }), wait) : null;
  if (conversation === state.current) drawPeer();
}

function session(change) {
  if (change.uid) {
    const conversation = state.conversations.get(change.uid);
    if (!conversation || ["restored", "failed", "ringing", "refused"].includes(change.state)) return;
    conversation.over = page.endWord(`${change.state} ${change.reason || ""}`);
    setStatus(conversation, "over");
    if (conversation === state.current) drawComposer();
    if ([...state.conversations.values()].every((one) => one.over)) page.showEnded(change.reason || change.state);
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
      page.showIdle();
      break;
    default:
      page.showEnded(change.state === "ended" ? change.reason : change.state);
  }
}
