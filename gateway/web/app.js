// The guest's page: signs in with the secret of the link, then shows one conversation per inviter.
// Text of others only ever goes into text nodes.

import { Gateway, Refused } from "./api.js";
import { Conversation } from "./conversation.js";
import { beginLive, drop, listen, refresh, wake } from "./live.js";
import { beginLog } from "./log.js";
import { beginOutgoing, resend, retryNow, send, takeUpUnsent } from "./outgoing.js";
import { base, chosenLanguage, chosenSound, clientName, credentials, decoded, drafts, element, forget, lastOpen, linkAccount, offers, state } from "./state.js";
import { banner, beginView, changed, grow, open, show, showOver } from "./view.js";
import { language, languages, say } from "./words.js";

const COMPOSING_PAUSE = 5000; // ms between two calls that say the same; the gateway forgets after 15 s
const TELLING = 4; // calls at a time that tell what was seen
const AGAIN_FIRST = 2_000; // ms until the page tries by itself to sign in again
const AGAIN_LAST = 30_000;
let toldComposing = 0; // when the gateway was last told that somebody types here

// --- the secret ---------------------------------------------------------------------------------------------------

// From #SECRET, #passwd=SECRET or ?passwd=SECRET; gone from address bar and history at once, kept for this tab.
function takeSecret() {
  const fragment = location.hash.slice(1);
  const secret =
    new URLSearchParams(location.search).get("passwd") ||
    new URLSearchParams(fragment).get("passwd") ||
    (fragment.includes("=") ? "" : decoded(fragment));
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
  ["client: used", "elsewhere"],
  ["never-came", "expired"],
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

function showEnded(reason, wasIn = true) {
  forget();
  const word = endWord(reason);
  if (word === "elsewhere") end("elsewhereTitle", word);
  else if (word !== "left") end("endedTitle", word);
  else if (wasIn) end("leftTitle", "left");
  else end("usedTitle", "used");
}

// What to show when a call was refused; false when it is nothing that ends the session.
function leaveBy(error) {
  if (!(error instanceof Refused)) return false;
  if (!state.running) return true; // it has been left already: a call of before that tells so is no news
  if (error.status === 401) {
    credentials.set(null);
    showSignIn("wrongLink");
  } else if (error.status === 410 && error.type !== "file-gone") {
    showEnded(error.problem.detail || error.problem.reason, !element("chat").hidden);
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

async function signIn({ account, secret }, pause = AGAIN_FIRST) {
  stop();
  const attempt = (state.running = new AbortController());
  state.gateway = new Gateway(base, account, secret, clientName());
  if (pause === AGAIN_FIRST) show("loading");
  let answer;
  try {
    answer = await state.gateway.login();
  } catch (error) {
    if (attempt.signal.aborted || leaveBy(error)) return;
    if (error instanceof Refused && error.status < 500 && error.status !== 429) {
      showSignIn("wrongLink"); // no account can be named so
      return;
    }
    const word = !(error instanceof Refused) ? "down" : error.status === 429 ? "throttled" : "downCore";
    const again = (next) => () => signIn({ account, secret }, next);
    end("downTitle", word, "tryAgain", again(AGAIN_FIRST));
    // It also tries by itself, and less and less often.
    const later = setTimeout(again(Math.min(2 * pause, AGAIN_LAST)), Math.max(pause, 1000 * (error.retryAfter || 0)));
    state.running = new AbortController();
    state.running.signal.addEventListener("abort", () => clearTimeout(later));
    return;
  }
  if (attempt.signal.aborted) return;
  credentials.set({ account, secret });
  state.coreLost = false;
  const kept = drafts.get() ?? {};
  state.conversations = new Map(answer.inviters.map((inviter) => [inviter.uid, conversationWith(inviter, kept)]));
  state.current = null;
  show("chat");
  banner("connecting");
  const first = state.conversations.get(lastOpen.get()) ?? state.conversations.values().next().value;
  if (first) open(first);
  takeUpUnsent();
  changed(true);
  listen(attempt.signal);
}

function conversationWith(inviter, kept = {}) {
  const conversation = new Conversation(inviter, (one, line) => {
    resend(one, line);
    changed();
  });
  conversation.draft = String(kept[inviter.uid] ?? "");
  return conversation;
}

// Somebody else has invited this guest meanwhile: the answer to a log-in names them.
async function meet() {
  const { gateway, conversations } = state;
  const answer = await gateway.login().catch(() => null);
  if (!answer || conversations !== state.conversations) return;
  const strangers = answer.inviters.filter(({ uid }) => !conversations.has(uid));
  for (const inviter of strangers) conversations.set(inviter.uid, conversationWith(inviter));
  if (strangers.length) refresh(state.running.signal);
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
  forget();
  end("leftTitle", "left");
}

// --- what the other side is told ------------------------------------------------------------------------------------

const telling = []; // what was seen and nobody has been told yet
let tellers = 0;

// Tells what of the open conversation has been seen; not while the tab is in the background.
function tellSeen() {
  const { current } = state;
  if (!current || document.hidden || !state.gateway) return;
  if (current.rings && !current.over) {
    current.rings = false;
    state.gateway.messages(current.uid).catch(() => {}); // to ask for a conversation is to open it
    changed();
  }
  const lines = current.unseen();
  if (lines.length) changed();
  if (current.over) return;
  telling.push(...lines);
  tell();
}

// Some at a time: thousands may have come while nobody looked. What the connection loses is told when it is back.
function tell() {
  while (telling.length && tellers < TELLING) {
    const line = telling.shift();
    tellers += 1;
    state.gateway
      .seen(line.id)
      .then(
        () => true,
        (error) => error instanceof Refused || (telling.push(line), false),
      )
      .then((goOn) => {
        tellers -= 1;
        if (goOn) tell();
      });
  }
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
  grow();
  toldComposing = 0; // the message says it
  send(current, text);
  changed(true);
}

function takeFiles(files) {
  const { current } = state;
  if (!current || current.over || element("attach").hidden || element("text").disabled) return false;
  for (const file of files) current.sendFile(file);
  changed(true);
  return files.length > 0;
}

// Fetches the page in front of what is here of a conversation; true when there was one.
async function fetchEarlier(conversation) {
  const { conversations } = state;
  try {
    const page = await state.gateway.messages(conversation.uid, conversation.before);
    if (conversations !== state.conversations) return false;
    conversation.before = page.before ?? null;
    conversation.merge(page.messages, conversation.oldest());
    return true;
  } catch (error) {
    if (conversations === state.conversations) leaveBy(error);
    return false;
  }
}

// The standalone client takes the same link; rcsgw+http is for labs without TLS.
function standaloneLink() {
  const known = credentials.get();
  const scheme = location.protocol === "https:" ? "rcsgw" : "rcsgw+http";
  const path = `${base}/invitee/session/${known ? known.account : linkAccount}`;
  return `${scheme}://${location.host}${path}#${encodeURIComponent(known ? known.secret : "")}`;
}

function closeOptions() {
  element("options").open = false;
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
    const response = await fetch(new URL("settings.json", import.meta.url)); // as the page preloads it, or it comes twice
    if (response.ok) Object.assign(state.settings, await response.json());
  } catch {
    // Not worth a word.
  }
  element("brand").hidden = !state.settings.name;
  element("brand-name").textContent = state.settings.name;
  changed();
  element("brand-logo").hidden = !state.settings.logo;
  if (state.settings.logo) element("brand-logo").src = new URL(state.settings.logo, import.meta.url);
  element("standalone").hidden = !offers("standalone");
}

// --- start --------------------------------------------------------------------------------------------------------

function start() {
  const known = credentials.get();
  if (known && known.secret) signIn(known);
  else showSignIn("noSecret");
}

document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
for (const node of document.querySelectorAll("[data-word]")) node.textContent = say(node.dataset.word);
for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say(node.dataset.label));
for (const node of document.querySelectorAll("[data-title]")) node.title = say(node.dataset.title);

beginLive({
  leaveBy,
  showEnded,
  endWord,
  meet,
  connected: tell,
  showIdle: () => end("idleTitle", "idle", "signInAgain", () => signIn(credentials.get())),
});
beginOutgoing(leaveBy);
beginView((former) => {
  tellComposing("idle", former);
  lastOpen.set(state.current.uid);
  tellSeen();
}, tellSeen);
beginLog(fetchEarlier, tellSeen);

element("signin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn({ account: element("account").value.trim(), secret: element("secret").value.trim() });
});
element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
element("text").addEventListener("input", () => {
  grow();
  tellComposing(element("text").value.trim() ? "active" : "idle");
});
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
for (const kind of ["dragover", "dragleave", "drop"]) {
  element("chat").addEventListener(kind, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault(); // else the browser leaves the page for the file
    element("scroll").classList.toggle("target", kind === "dragover" && !element("attach").hidden);
    if (kind === "drop") takeFiles([...event.dataTransfer.files]);
  });
}
element("logout").addEventListener("click", signOut);
element("now").addEventListener("click", wake);
document.addEventListener("click", (event) => element("options").contains(event.target) || closeOptions());
element("options").addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !element("options").open) return;
  closeOptions();
  element("options").querySelector("summary").focus();
});
addEventListener("hashchange", () => takeSecret() && start()); // the link was opened again in this tab
addEventListener("online", () => {
  wake();
  retryNow();
});
addEventListener("offline", drop); // the open stream would notice in a minute
addEventListener("pagehide", () => {
  if (element("chat").hidden || !state.current) return;
  state.current.draft = element("text").value;
  const kept = [...state.conversations.values()].filter((one) => one.draft).map((one) => [one.uid, one.draft]);
  drafts.set(kept.length ? Object.fromEntries(kept) : null);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  changed();
  wake();
});

takeSecret(); // before anything is waited for
drawOptions();
takeSettings().then(start);
