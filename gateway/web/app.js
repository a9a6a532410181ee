// The guest's page: signs in with the secret of the link, then shows one conversation per inviter.
// Text of others only ever goes into textContent.

import { Gateway, Refused, newKey } from "./api.js";
import { Conversation } from "./conversation.js";
import { language, say } from "./words.js";

const element = (id) => document.getElementById(id);
const SCREENS = ["loading", "signin", "over", "chat"];
const RETRY_FIRST = 1_000; // ms
const RETRY_LAST = 30_000; // ms
const SEND_RETRIES = [500, 2_000, 5_000]; // ms; the idempotency key makes them harmless

const marker = "/invitee/session/";
const at = location.pathname.lastIndexOf(marker);
const base = location.pathname.slice(0, at);
const linkAccount = decodeURIComponent(location.pathname.slice(at + marker.length));
const storageKey = `rcsgw ${linkAccount}`;

let gateway = null;
let conversations = new Map(); // uid → Conversation
let current = null;
let toldComposing = 0; // when the gateway was last told that somebody types here
const COMPOSING_PAUSE = 5000; // ms between two such calls; the gateway forgets after 15 s
let lastEventId = null;
let running = null; // AbortController of this login
let wake = () => {}; // ends the pause before the next attempt to connect
let coreLost = false;

// --- the secret ---------------------------------------------------------------------------------------------------

// From #SECRET, #passwd=SECRET or ?passwd=SECRET; gone from address bar and history at once, kept for this tab.
function takeSecret() {
  const fragment = location.hash.slice(1);
  const secret =
    new URLSearchParams(location.search).get("passwd") ||
    new URLSearchParams(fragment).get("passwd") ||
    (fragment.includes("=") ? "" : decodeURIComponent(fragment));
  if (location.search || location.hash) history.replaceState(null, "", location.pathname);
  if (secret) remember({ account: linkAccount, secret });
  return secret;
}

function remember(credentials) {
  try {
    sessionStorage.setItem(storageKey, JSON.stringify(credentials));
  } catch {
    // Storage is switched off: a reload asks for the link again, nothing worse.
  }
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(storageKey));
  } catch {
    return null;
  }
}

function forget() {
  try {
    sessionStorage.removeItem(storageKey);
  } catch {
    // As in remember().
  }
}

// --- screens ------------------------------------------------------------------------------------------------------

function show(screen) {
  for (const id of SCREENS) element(id).hidden = id !== screen;
  document.title = say("title");
}

function showSignIn(reason) {
  stop();
  element("signin-reason").textContent = say(reason);
  element("account").value = linkAccount;
  element("secret").value = "";
  show("signin");
  element("secret").focus();
}

function showOver(title, text, button, action) {
  stop();
  element("over-title").textContent = say(title);
  element("over-text").textContent = say(text);
  const again = element("again");
  again.hidden = !button;
  again.textContent = button ? say(button) : "";
  again.onclick = action;
  show("over");
  element("over-title").focus();
}

// What the gateway gives as the reason of an end → the page's word for it; longer ones first.
const ENDS = [
  ["inviter-logout", "closed"],
  ["expired", "expired"],
  ["revoked", "revoked"],
  ["closed", "closed"],
  ["logout", "left"],
];

function endWord(reason) {
  const known = ENDS.find(([part]) => String(reason || "").includes(part));
  return known ? known[1] : "ended";
}

function showEnded(reason) {
  forget();
  const word = endWord(reason);
  showOver(word === "left" ? "leftTitle" : "endedTitle", word);
}

// What to show when a call was refused; false when it is nothing that ends the session.
function leaveBy(error) {
  if (!(error instanceof Refused)) return false;
  if (error.status === 401) {
    forget();
    showSignIn("wrongLink");
  } else if (error.status === 410) {
    showEnded(error.problem.detail || error.problem.reason);
  } else {
    return false;
  }
  return true;
}

function banner(word) {
  const line = element("banner");
  line.hidden = !word;
  line.textContent = word ? say(word) : "";
}

// --- signing in and out -------------------------------------------------------------------------------------------

function stop() {
  if (running) running.abort();
  running = null;
  wake();
}

async function signIn({ account, secret }) {
  stop();
  const attempt = (running = new AbortController());
  gateway = new Gateway(base, account, secret);
  show("loading");
  let answer;
  try {
    answer = await gateway.login();
  } catch (error) {
    if (attempt.signal.aborted || leaveBy(error)) return;
    const again = () => signIn({ account, secret });
    if (!(error instanceof Refused)) showOver("downTitle", "down", "tryAgain", again);
    else showOver("downTitle", error.status === 429 ? "throttled" : "downCore", "tryAgain", again);
    return;
  }
  if (attempt.signal.aborted) return;
  remember({ account, secret });
  coreLost = false;
  lastEventId = null;
  conversations = new Map(answer.inviters.map((inviter) => [inviter.uid, new Conversation(inviter, resend)]));
  current = null;
  show("chat");
  banner("connecting");
  const first = conversations.values().next().value;
  if (first) open(first);
  listen(attempt.signal);
}

async function signOut() {
  const dialog = element("confirm");
  dialog.returnValue = "stay";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "leave") return;
  const button = element("logout");
  button.disabled = true;
  banner("loggingOut");
  const leaving = gateway;
  stop(); // the end that the stream would report is the one we asked for
  try {
    await leaving.logout();
  } catch (error) {
    // 401 and 410: somebody else was quicker, it is over all the same.
    if (!(error instanceof Refused && [401, 410].includes(error.status))) {
      showOver("downTitle", "down", "tryAgain", () => signIn(remembered()));
      return;
    }
  } finally {
    button.disabled = false;
  }
  forget();
  showOver("leftTitle", "left");
}

// --- events -------------------------------------------------------------------------------------------------------

async function listen(signal) {
  let pause = RETRY_FIRST;
  while (!signal.aborted) {
    try {
      await gateway.stream(
        lastEventId,
        signal,
        () => {
          pause = RETRY_FIRST;
          banner(coreLost ? "coreLost" : null);
          refresh(signal);
        },
        (event) => !signal.aborted && receive(event),
      );
    } catch (error) {
      if (signal.aborted || leaveBy(error)) return;
      banner(error instanceof Refused && error.status === 429 ? "tooManyTabs" : "lost");
    }
    if (signal.aborted) return;
    if (navigator.onLine === false) banner("offlineHere");
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, pause * (0.75 + Math.random() / 2));
    });
    pause = Math.min(pause * 2, RETRY_LAST);
  }
}

// What the stream does not tell: the conversation so far and everybody's status. The stream is open before these are
// asked for, so nothing falls between them; what comes twice is known by its id.
function refresh(signal) {
  for (const conversation of conversations.values()) {
    if (conversation.over) continue;
    loadMessages(conversation, signal);
    gateway
      .status(conversation.uid)
      .then((answer) => !signal.aborted && setStatus(conversation, answer.status))
      .catch((error) => {
        if (!signal.aborted && !leaveBy(error)) setStatus(conversation, "unknown");
      });
  }
}

async function loadMessages(conversation, signal) {
  try {
    const page = await gateway.messages(conversation.uid);
    if (signal.aborted) return;
    const fresh = conversation.merge(page.messages, page.before);
    if (conversation === current) drawLog();
    else if (fresh) drawInviters();
  } catch (error) {
    if (!signal.aborted) leaveBy(error);
  }
}

function receive({ id, kind, data }) {
  if (id !== null) lastEventId = id;
  if (data === null) return undefined;
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    return undefined;
  }
  switch (event.kind || kind) {
    case "message":
      return receiveMessage(event.message);
    case "receipt": {
      const conversation = [...conversations.values()].find((one) => one.setState(event.receipt));
      if (conversation && conversation === current) scrollDown(false);
      return undefined;
    }
    case "composing":
      return receiveComposing(event.composing);
    case "status": {
      const conversation = conversations.get(event.status.uid);
      return conversation && setStatus(conversation, event.status.status);
    }
    case "session":
      return receiveSession(event.session);
    case "reset":
      return running && refresh(running.signal);
    default:
      return undefined; // a kind of later versions
  }
}

function receiveMessage(message) {
  const conversation = [...conversations.values()].find((one) => one.owns(message));
  if (!conversation) return;
  const fresh = conversation.add(message);
  if (conversation === current) {
    element("empty").hidden = true;
    if (fresh) place(conversation.lines.at(-1));
    tellSeen();
  } else if (fresh && message.direction === "in") {
    conversation.unread += 1;
    drawInviters();
  }
  if (fresh && message.direction === "in" && document.hidden) document.title = `● ${say("title")}`;
}

function receiveComposing({ uid, state, until }) {
  const conversation = conversations.get(uid);
  if (!conversation) return;
  const left = state === "active" ? Date.parse(until) - Date.now() : 0;
  clearTimeout(conversation.typing);
  // A clock that is wrong must neither hide typing nor keep it for ever.
  const wait = Math.min(Math.max(left || 0, 5000), 130_000);
  conversation.typing = state === "active" ? setTimeout(() => receiveComposing({ uid, state: "idle" }), wait) : null;
  if (conversation === current) drawPeer();
}

// Tells what of the open conversation has been seen; not while the tab is in the background.
function tellSeen() {
  if (!current || current.over || document.hidden || !gateway) return;
  for (const id of current.unseen()) gateway.seen(id).catch(() => {}); // a receipt is not worth a word
}

function tellComposing(state) {
  const now = Date.now();
  if (!current || current.over || (state === "active" && now - toldComposing < COMPOSING_PAUSE)) return;
  if (state === "idle" && !toldComposing) return;
  toldComposing = state === "active" ? now : 0;
  gateway.composing(current.to, state).catch(() => {});
}

function receiveSession(session) {
  if (session.uid) {
    const conversation = conversations.get(session.uid);
    if (!conversation || ["restored", "failed", "ringing", "refused"].includes(session.state)) return;
    conversation.over = endWord(`${session.state} ${session.reason || ""}`);
    setStatus(conversation, "over");
    if (conversation === current) drawComposer();
    if ([...conversations.values()].every((one) => one.over)) showEnded(session.reason || session.state);
    return;
  }
  switch (session.state) {
    case "failed":
      coreLost = true;
      banner("coreLost");
      break;
    case "restored":
      coreLost = false;
      banner(null);
      break;
    case "idle":
      showOver("idleTitle", "idle", "signInAgain", () => signIn(remembered()));
      break;
    default:
      showEnded(session.state === "ended" ? session.reason : session.state);
  }
}

// --- drawing ------------------------------------------------------------------------------------------------------

function setStatus(conversation, status) {
  conversation.status = conversation.over ? "over" : status;
  drawInviters();
  if (conversation === current) drawPeer();
}

function drawInviters() {
  const buttons = [...conversations.values()].map((conversation) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "inviter";
    button.dataset.status = conversation.status;
    if (conversation === current) button.setAttribute("aria-current", "true");
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = conversation.name;
    const status = document.createElement("span");
    status.className = "status";
    status.textContent = say(`status.${conversation.status}`) || say("status.unknown");
    button.append(name, status);
    if (conversation.unread) {
      const unread = document.createElement("span");
      unread.className = "unread";
      unread.textContent = say("unread", { count: conversation.unread });
      button.append(unread);
    }
    button.addEventListener("click", () => open(conversation));
    return button;
  });
  // The focus survives the redrawing.
  const place = [...element("inviters").children].indexOf(document.activeElement);
  element("inviters").replaceChildren(...buttons);
  if (place >= 0 && buttons[place]) buttons[place].focus();
}

// Says before a message fails that it probably will.
function drawPeer() {
  const text = say(current.typing ? "composing" : `absent.${current.status}`, { name: current.name });
  element("peer").hidden = !text;
  element("peer").textContent = text || "";
}

function open(conversation) {
  tellComposing("idle");
  current = conversation;
  conversation.unread = 0;
  drawInviters();
  drawComposer();
  drawPeer();
  drawLog();
  element("text").focus();
}

function drawComposer() {
  const text = element("text");
  const over = Boolean(current.over);
  text.disabled = over;
  element("composer").querySelector("button").disabled = over;
  text.placeholder = over ? say(current.over) : say("messageTo", { name: current.name });
}

function drawLog() {
  const log = element("log");
  log.setAttribute("aria-live", "off"); // what is drawn anew is not news
  log.replaceChildren(...current.lines.map((line) => line.item));
  element("earlier").hidden = current.before === null;
  const empty = element("empty");
  empty.hidden = current.lines.length > 0;
  empty.textContent = say("empty", { name: current.name });
  scrollDown(true);
  tellSeen();
  requestAnimationFrame(() => log.setAttribute("aria-live", "polite"));
}

function place(line) {
  const low = isLow();
  element("log").append(line.item);
  if (low || line.direction === "out") scrollDown(true);
}

function isLow() {
  const area = element("scroll");
  return area.scrollHeight - area.scrollTop - area.clientHeight < 80;
}

function scrollDown(always) {
  const area = element("scroll");
  if (always || isLow()) area.scrollTop = area.scrollHeight;
}

async function earlier() {
  const conversation = current;
  const button = element("earlier");
  const area = element("scroll");
  button.disabled = true;
  try {
    const page = await gateway.messages(conversation.uid, conversation.before);
    conversation.prepend(page.messages, page.before);
    if (conversation === current) {
      const below = area.scrollHeight - area.scrollTop;
      drawLog();
      area.scrollTop = area.scrollHeight - below;
    }
  } catch (error) {
    leaveBy(error);
  } finally {
    button.disabled = false;
  }
}

// --- sending ------------------------------------------------------------------------------------------------------

async function send(conversation, text, key = newKey()) {
  const line = conversation.addOwn(text, key);
  if (conversation === current) {
    element("empty").hidden = true;
    place(line);
  }
  await deliver(conversation, line);
}

async function deliver(conversation, line) {
  const through = gateway;
  for (const pause of [...SEND_RETRIES, null]) {
    try {
      conversation.answered(line, await through.send(conversation.to, line.text, line.key));
      return;
    } catch (error) {
      if (through !== gateway) return;
      if (error instanceof Refused) {
        conversation.refused(line, error);
        leaveBy(error);
        return;
      }
      if (pause === null) break;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  conversation.setLine(line, "unknown", "network");
}

// A message that surely failed is a new one when it is sent again; one of unknown fate keeps its key, so that the
// other side never gets it twice.
function resend(conversation, line) {
  if (line.state === "unknown" && line.key) {
    conversation.setLine(line, "pending");
    deliver(conversation, line);
  } else {
    conversation.remove(line);
    send(conversation, line.text);
  }
}

// --- start --------------------------------------------------------------------------------------------------------

function start() {
  takeSecret();
  const credentials = remembered();
  if (credentials && credentials.secret) signIn(credentials);
  else showSignIn("noSecret");
}

document.documentElement.lang = language;
for (const node of document.querySelectorAll("[data-word]")) node.textContent = say(node.dataset.word);

element("signin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn({ account: element("account").value.trim(), secret: element("secret").value.trim() });
});
element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("text").value;
  if (!text.trim() || !current || current.over) return;
  element("text").value = "";
  toldComposing = 0; // the message says it
  send(current, text);
});
element("text").addEventListener("input", () => tellComposing(element("text").value.trim() ? "active" : "idle"));
element("text").addEventListener("keydown", (event) => {
  // Enter sends; not while an input method composes (Chinese), not with Shift.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    element("composer").requestSubmit();
  }
});
element("logout").addEventListener("click", signOut);
element("earlier").addEventListener("click", earlier);
addEventListener("hashchange", () => takeSecret() && start()); // the link was opened again in this tab
addEventListener("online", () => wake());
addEventListener("offline", () => element("chat").hidden || banner("offlineHere"));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  document.title = say("title");
  tellSeen();
  wake();
});

start();
