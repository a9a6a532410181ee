// What is on the screen: screens, inviters, the words around one conversation.

import { MARKS } from "./bubble.js";
import { drawLog, isLow } from "./log.js";
import { element, offers, state } from "./state.js";
import { language, say } from "./words.js";

const SCREENS = ["loading", "signin", "over", "chat"];
const FRAME = 16; // ms: what happens within them is drawn at once, in a background tab too
const LINES = 6; // of the text field, until it scrolls
const moment = new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
const farMoment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

export function show(screen) {
  for (const id of SCREENS) element(id).hidden = id !== screen;
  drawTitle();
}

export function showOver(title, text, button, action) {
  element("over-title").textContent = say(title);
  element("over-text").textContent = say(text);
  const again = element("again");
  again.hidden = !button;
  again.textContent = button ? say(button) : "";
  again.onclick = action;
  const news = element("over").hidden;
  show("over");
  if (news) element("over-title").focus();
}

// What stands in the way at the moment, and what to do about it; null when nothing does.
export function banner(word) {
  const line = element("banner");
  line.hidden = !word;
  line.dataset.kind = word || "";
  element("banner-text").textContent = word ? say(word) : "";
  element("now").hidden = !["lost", "tooManyTabs"].includes(word);
}

// "(2) Alice": what waits in all conversations, then who is on the screen.
function drawTitle() {
  const chatting = !element("chat").hidden;
  let unread = 0;
  if (chatting) for (const conversation of state.conversations.values()) unread += conversation.unread;
  const name = (chatting && state.current && state.current.name) || state.settings.name || say("title");
  document.title = unread ? `(${unread}) ${name}` : name;
}

// cause: what the network answered, where it did; who looks closer is told.
export function setStatus(conversation, status, cause) {
  conversation.status = conversation.over ? "over" : status;
  conversation.cause = cause && cause.code >= 300 ? `SIP ${cause.code} ${cause.reason}` : "";
  changed();
}

let due = 0;
let toEnd = false;
let reading = () => {};

// Something of what is shown has changed: it is drawn soon, however much changes until then.
export function changed(showEnd = false) {
  toEnd ||= showEnd;
  due ||= setTimeout(draw, FRAME);
}

function draw() {
  due = 0;
  if (state.current && !element("chat").hidden) {
    drawComposer();
    drawPeer();
    drawLog(toEnd);
    toEnd = false;
    reading();
    drawInviters();
  }
  drawTitle();
}

let shown = "";

function drawInviters() {
  const all = [...state.conversations.values()];
  const now = JSON.stringify(all.map((one) => [one.uid, one.name, one.status, one.cause, one.unread, one.rings, one === state.current]));
  if (now === shown) return;
  shown = now;
  const buttons = all.map((conversation) => {
    if (!shownBy.has(conversation)) shownBy.set(conversation, inviterButton(conversation));
    drawInviter(shownBy.get(conversation), conversation);
    return shownBy.get(conversation);
  });
  const nav = element("inviters");
  if (nav.children.length !== buttons.length || buttons.some((one, place) => nav.children[place] !== one)) {
    nav.replaceChildren(...buttons);
  }
}

const shownBy = new WeakMap(); // conversation → its button, which stays while it is pressed

function inviterButton(conversation) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "inviter";
  button.addEventListener("click", () => open(conversation));
  return button;
}

function drawInviter(button, conversation) {
  button.dataset.status = conversation.status;
  if (conversation === state.current) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  const top = span("top", "");
  top.append(span("name", conversation.name));
  if (conversation.unread) {
    const count = span("unread", conversation.unread > 99 ? "99+" : String(conversation.unread));
    top.append(count, span("unseen", say("unread", { count: "" })));
  }
  button.replaceChildren(top);
  const word = conversation.rings ? "rings" : `status.${conversation.status}`;
  if (offers("status") || conversation.over || conversation.rings) {
    const status = span("status", say(word) || say("status.unknown"));
    status.title = conversation.over ? "" : conversation.cause;
    button.append(status);
  }
}

function span(className, text) {
  const made = document.createElement("span");
  made.className = className;
  made.dir = "auto";
  made.textContent = text;
  return made;
}

const mustWait = ({ status, over }) => state.settings.require_online === "client" && status !== "online" && !over;

// Who invited, for what and until when; and before a message fails, that it probably will.
function drawPeer() {
  const { current } = state;
  const { name } = current;
  const absent = mustWait(current) ? say("waitOnline", { name }) : say(`absent.${current.status}`, { name });
  const why = absent && current.cause ? `${absent} (${current.cause})` : absent;
  const text = current.over ? say(current.over) : current.typing ? say("composing", { name }) : why;
  set("peer", text || "");
  element("peer").hidden = !text;
  element("peer").dataset.typing = Boolean(current.typing && !current.over);
  const until = new Date(current.until);
  const word = current.types.includes("file") ? "invitedFiles" : "invited";
  const near = until.getFullYear() === new Date().getFullYear() ? moment : farMoment;
  set("invited", Number.isNaN(until.getTime()) ? "" : say(word, { name, time: near.format(until) }));
  set("with", name);
  set("empty", say("empty", { name }));
}

// Unchanged words are left alone: a live region would say them again.
function set(id, text) {
  const node = element(id);
  if (node.textContent !== text) node.textContent = text;
}

let opened = () => {};

// onOpened(former): called when another conversation comes on the screen. onReading(): whenever something of it has
// been drawn.
export function beginView(onOpened, onReading) {
  opened = onOpened;
  reading = () => isLow() && onReading();
  const marks = Object.entries(MARKS).filter(([mark]) => mark !== "waiting");
  element("marks").replaceChildren(
    ...marks.flatMap(([name, mark]) => {
      const term = document.createElement("dt");
      term.textContent = `${mark} ${say(`state.${name}`)}`;
      const meaning = document.createElement("dd");
      meaning.textContent = say(`means.${name}`);
      return [term, meaning];
    }),
  );
}

export function open(conversation) {
  const former = state.current;
  const text = element("text");
  if (former) former.draft = text.value;
  state.current = conversation;
  text.value = conversation.draft;
  grow();
  changed(true);
  draw();
  opened(former);
  element("inviters").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  text.focus();
}

// Nothing can be sent when the invitation is over, nor, where the operator wants it so, to somebody who is away.
function drawComposer() {
  const { current } = state;
  const away = mustWait(current);
  const closed = Boolean(current.over) || away;
  const text = element("text");
  if (text.disabled !== closed) {
    const typing = document.activeElement === text;
    text.disabled = closed;
    for (const button of element("composer").querySelectorAll("button")) button.disabled = closed;
    if (!closed && (typing || document.activeElement === document.body)) text.focus();
  }
  element("attach").hidden = !(offers("file") && current.types.includes("file"));
  text.placeholder = current.over ? say("status.over") : say(away ? "waitOnlineShort" : "messageTo", { name: current.name });
}

// The text field is as high as its text, where the style sheet alone cannot say so.
export function grow() {
  const text = element("text");
  if (CSS.supports("field-sizing", "content")) return;
  text.rows = Math.min(LINES, text.value.split("\n").length);
}

