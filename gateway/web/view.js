// What is on the screen: screens, inviters, one conversation.

import { chosenSound, element, offers, state } from "./state.js";
import { language, say } from "./words.js";

const SCREENS = ["loading", "signin", "over", "chat"];
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

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
  show("over");
  element("over-title").focus();
}

export function banner(word) {
  const line = element("banner");
  line.hidden = !word;
  line.textContent = word ? say(word) : "";
}

// "(2) Alice": what waits in all conversations, then who is on the screen.
export function drawTitle() {
  const chatting = !element("chat").hidden;
  let unread = 0;
  if (chatting) for (const conversation of state.conversations.values()) unread += conversation.unread;
  const name = (chatting && state.current && state.current.name) || state.settings.name || say("title");
  document.title = unread ? `(${unread}) ${name}` : name;
}

export function setStatus(conversation, status) {
  conversation.status = conversation.over ? "over" : status;
  drawInviters();
  if (conversation === state.current) {
    drawPeer();
    drawComposer();
  }
}

export function drawInviters() {
  const buttons = [...state.conversations.values()].map(inviterButton);
  // The focus survives the redrawing.
  const place = [...element("inviters").children].indexOf(document.activeElement);
  element("inviters").replaceChildren(...buttons);
  if (place >= 0 && buttons[place]) buttons[place].focus();
  drawTitle();
}

function inviterButton(conversation) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "inviter";
  button.dataset.status = conversation.status;
  if (conversation === state.current) button.setAttribute("aria-current", "true");
  button.append(span("name", conversation.name));
  if (offers("status")) {
    button.append(span("status", say(`status.${conversation.status}`) || say("status.unknown")));
  }
  if (conversation.unread) button.append(span("unread", say("unread", { count: conversation.unread })));
  button.addEventListener("click", () => open(conversation));
  return button;
}

function span(className, text) {
  const made = document.createElement("span");
  made.className = className;
  made.textContent = text;
  return made;
}

// Who invited, for what and until when; and before a message fails, that it probably will.
export function drawPeer() {
  const { current } = state;
  const text = say(current.typing ? "composing" : `absent.${current.status}`, { name: current.name });
  element("peer").hidden = !text;
  element("peer").textContent = text || "";
  const until = new Date(current.until);
  const known = !Number.isNaN(until.getTime());
  const word = current.types.includes("file") ? "invitedFiles" : "invited";
  element("invited").textContent = known ? say(word, { name: current.name, time: day.format(until) }) : "";
}

let opened = () => {};

// onOpened(former): called when another conversation comes on the screen.
export function beginView(onOpened) {
  opened = onOpened;
}

export function open(conversation) {
  const former = state.current;
  state.current = conversation;
  conversation.unread = 0;
  drawInviters();
  drawComposer();
  drawPeer();
  drawLog();
  opened(former);
  element("text").focus();
}

// Nothing can be sent when the invitation is over, nor, where the operator wants it so, to somebody who is away.
export function drawComposer() {
  const { current } = state;
  const away = state.settings.require_online === "client" && current.status !== "online" && !current.over;
  const closed = Boolean(current.over) || away;
  const text = element("text");
  text.disabled = closed;
  for (const button of element("composer").querySelectorAll("button")) button.disabled = closed;
  element("attach").hidden = !(offers("file") && current.types.includes("file"));
  text.placeholder = current.over ? say(current.over) : say(away ? "waitOnline" : "messageTo", { name: current.name });
}

export function drawLog() {
  const { current } = state;
  const news = element("news");
  news.setAttribute("aria-live", "off"); // what is drawn anew is not news
  element("with").textContent = current.name;
  element("log").replaceChildren(...current.lines.map((line) => line.item));
  element("earlier").hidden = current.before === null;
  const empty = element("empty");
  empty.hidden = current.lines.length > 0;
  empty.textContent = say("empty", { name: current.name });
  scrollDown(true);
  requestAnimationFrame(() => news.setAttribute("aria-live", "polite"));
}

export function place(line) {
  const low = isLow();
  element("empty").hidden = true;
  element("log").append(line.item);
  if (low || line.direction === "out") scrollDown(true);
}

function isLow() {
  const area = element("scroll");
  return area.scrollHeight - area.scrollTop - area.clientHeight < 80;
}

export function scrollDown(always) {
  const area = element("scroll");
  if (always || isLow()) area.scrollTop = area.scrollHeight;
}

// A short, low tone for what comes while nobody looks; it can be turned off.
export function ring() {
  if (!document.hidden || chosenSound.get() === false) return;
  try {
    const context = new AudioContext();
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = 660;
    volume.gain.setValueAtTime(0.08, context.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, context.currentTime + 0.25);
    tone.connect(volume).connect(context.destination);
    tone.start();
    tone.stop(context.currentTime + 0.25);
    tone.onended = () => context.close();
  } catch {
    // A browser without sound, or one that was never touched.
  }
}
