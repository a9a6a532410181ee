// The guest's page: signs in with the secret of the link, then shows one conversation per inviter.
// Text of others only ever goes into text nodes.

import { Gateway, Refused } from "./api.js";
import { Conversation } from "./conversation.js";
import { beginLive, listen, wake } from "./live.js";
import { beginOutgoing, resend, retryNow, send, takeUpUnsent } from "./outgoing.js";
import { base, chosenLanguage, chosenSound, credentials, element, linkAccount, offers, state, unsent } from "./state.js";
import { banner, beginView, drawTitle, open, place, show, showOver } from "./view.js";
import { language, languages, say } from "./words.js";

const COMPOSING_PAUSE = 5000; // ms between two calls that say the same; the gateway forgets after 15 s
let toldComposing = 0; // when the gateway was last told that somebody types here

// --- the secret ---------------------------------------------------------------------------------------------------

// From #SECRET, #passwd=SECRET or ?passwd=SECRET; gone from address bar and history at once, kept for this tab.
function takeSecret() {
  const fragment = location.hash.slice(1);
  const secret =
    new URLSearchParams(location.search).get("passwd") ||
    new URLSearchParams(fragment).get("passwd") ||
    (fragment.includes("=") ? "" : decodeURIComponent(fragment));
  if (location.search || location.hash) history.replaceState(null, "", location.pathname);
  if (secret) credentials.set({ account: linkAccount, secret });
  return secret;
}

// --- screens ------------------------------------------------------------------------------------------------------

function showSignIn(reason) {
  stop();
  element("signin-reason").textContent = say(reason);
  element("account").value = linkAccount;
  element("secret").value = "";
  show("signin");
  element("secret").focus();
}

function end(title, text, button, action) {
  stop();
  showOver(title, text, button, action);
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
  credentials.set(null);
  unsent.set(null);
  const word = endWord(reason);
  end(word === "left" ? "leftTitle" : "endedTitle", word);
}

// What to show when a call was refused; false when it is nothing that ends the session.
function leaveBy(error) {
  if (!(error instanceof Refused)) return false;
  if (error.status === 401) {
    credentials.set(null);
    showSignIn("wrongLink");
  } else if (error.status === 410 && error.type !== "file-gone") {
    showEnded(error.problem.detail || error.problem.reason);
  } else {
    return false;
  }
  return true;
}

// --- signing in and out -------------------------------------------------------------------------------------------

function stop() {
  if (state.running) state.running.abort();
  state.running = null;
  state.connected = false;
  wake();
}

async function signIn({ account, secret }) {
  stop();
  const attempt = (state.running = new AbortController());
  state.gateway = new Gateway(base, account, secret);
  show("loading");
  let answer;
  try {
    answer = await state.gateway.login();
  } catch (error) {
    if (attempt.signal.aborted || leaveBy(error)) return;
    const again = () => signIn({ account, secret });
    const word = !(error instanceof Refused) ? "down" : error.status === 429 ? "throttled" : "downCore";
    end("downTitle", word, "tryAgain", again);
    return;
  }
  if (attempt.signal.aborted) return;
  credentials.set({ account, secret });
  state.coreLost = false;
  const again = (conversation, line) => {
    const fresh = resend(conversation, line);
    if (fresh && conversation === state.current) place(fresh);
  };
  state.conversations = new Map(answer.inviters.map((inviter) => [inviter.uid, new Conversation(inviter, again)]));
  state.current = null;
  show("chat");
  banner("connecting");
  const first = state.conversations.values().next().value;
  if (first) open(first);
  takeUpUnsent();
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
  const leaving = state.gateway;
  stop(); // the end that the stream would report is the one we asked for
  try {
    await leaving.logout();
  } catch (error) {
    // 401 and 410: somebody else was quicker, it is over all the same.
    if (!(error instanceof Refused && [401, 410].includes(error.status))) {
      end("downTitle", "down", "tryAgain", () => signIn(credentials.get()));
      return;
    }
  } finally {
    button.disabled = false;
  }
  credentials.set(null);
  unsent.set(null);
  end("leftTitle", "left");
}

// --- what the other side is told ------------------------------------------------------------------------------------

// Tells what of the open conversation has been seen; not while the tab is in the background.
function tellSeen() {
  const { current } = state;
  if (!current || current.over || document.hidden || !state.gateway) return;
  current.unread = 0;
  for (const id of current.unseen()) state.gateway.seen(id).catch(() => {}); // a receipt is not worth a word
}

function tellComposing(now, conversation = state.current) {
  const at = Date.now();
  if (!conversation || conversation.over || (now === "active" && at - toldComposing < COMPOSING_PAUSE)) return;
  if (now === "idle" && !toldComposing) return;
  toldComposing = now === "active" ? at : 0;
  state.gateway.composing(conversation.to, now).catch(() => {});
}

// --- what the guest does --------------------------------------------------------------------------------------------

function submit() {
  const { current } = state;
  const text = element("text").value;
  if (!text.trim() || !current || element("text").disabled) return;
  element("text").value = "";
  toldComposing = 0; // the message says it
  place(send(current, text));
}

function takeFiles(files) {
  const { current } = state;
  if (!current || current.over || element("attach").hidden || element("text").disabled) return false;
  for (const file of files) place(current.sendFile(file));
  return files.length > 0;
}

async function earlier() {
  const { current } = state;
  const button = element("earlier");
  const area = element("scroll");
  button.disabled = true;
  try {
    const page = await state.gateway.messages(current.uid, current.before);
    current.prepend(page.messages, page.before);
    if (current === state.current) {
      const below = area.scrollHeight - area.scrollTop;
      open(current);
      area.scrollTop = area.scrollHeight - below;
    }
  } catch (error) {
    leaveBy(error);
  } finally {
    button.disabled = false;
  }
}

// The standalone client takes the same link; rcsgw+http is for labs without TLS.
function standaloneLink() {
  const known = credentials.get();
  const scheme = location.protocol === "https:" ? "rcsgw" : "rcsgw+http";
  return `${scheme}://${location.host}${location.pathname}#${encodeURIComponent(known ? known.secret : "")}`;
}

function drawOptions() {
  const choice = element("language");
  choice.replaceChildren(...Object.entries(languages).map(([tag, name]) => new Option(name, tag, false, tag === language)));
  choice.addEventListener("change", () => {
    chosenLanguage.set(choice.value);
    location.reload(); // the conversation comes back as it was
  });
  const sound = element("sound");
  sound.checked = chosenSound.get() !== false;
  sound.addEventListener("change", () => chosenSound.set(sound.checked));
  element("standalone").addEventListener("click", () => location.assign(standaloneLink()));
}

// What the operator has set; without it everything goes with the page's own defaults.
async function takeSettings() {
  try {
    const response = await fetch(new URL("settings.json", import.meta.url), { credentials: "omit" });
    if (response.ok) Object.assign(state.settings, await response.json());
  } catch {
    // Not worth a word.
  }
  element("brand").hidden = !state.settings.name;
  element("brand-name").textContent = state.settings.name;
  element("brand-logo").hidden = !state.settings.logo;
  if (state.settings.logo) element("brand-logo").src = new URL(state.settings.logo, import.meta.url);
  element("standalone").hidden = !offers("standalone");
}

// --- start --------------------------------------------------------------------------------------------------------

async function start() {
  takeSecret();
  const known = credentials.get();
  if (known && known.secret) signIn(known);
  else showSignIn("noSecret");
}

document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
for (const node of document.querySelectorAll("[data-word]")) node.textContent = say(node.dataset.word);
for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say(node.dataset.label));

beginLive({
  leaveBy,
  showEnded,
  endWord,
  seen: tellSeen,
  showIdle: () => end("idleTitle", "idle", "signInAgain", () => signIn(credentials.get())),
});
beginOutgoing(leaveBy);
beginView((former) => {
  tellComposing("idle", former);
  tellSeen();
});

element("signin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn({ account: element("account").value.trim(), secret: element("secret").value.trim() });
});
element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
element("text").addEventListener("input", () => tellComposing(element("text").value.trim() ? "active" : "idle"));
element("text").addEventListener("keydown", (event) => {
  // Enter sends; not while an input method composes (Chinese), not with Shift.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    element("composer").requestSubmit();
  }
});
element("text").addEventListener("paste", (event) => {
  if (takeFiles([...event.clipboardData.files])) event.preventDefault();
});
element("attach").addEventListener("click", () => element("pick").click());
element("pick").addEventListener("change", () => {
  takeFiles([...element("pick").files]);
  element("pick").value = "";
});
for (const kind of ["dragover", "drop"]) {
  element("chat").addEventListener(kind, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault(); // else the browser leaves the page for the file
    if (kind === "drop") takeFiles([...event.dataTransfer.files]);
  });
}
element("logout").addEventListener("click", signOut);
element("earlier").addEventListener("click", earlier);
addEventListener("hashchange", () => takeSecret() && start()); // the link was opened again in this tab
addEventListener("online", () => {
  wake();
  retryNow();
});
addEventListener("offline", () => element("chat").hidden || banner("offlineHere"));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  tellSeen();
  drawTitle();
  wake();
});

drawOptions();
takeSettings().then(start);
