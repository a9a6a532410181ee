// Files both ways: a line in the conversation each, with progress, preview and what can be done with it.

import { Refused, newKey } from "./api.js";
import { speaker, timeNode } from "./bubble.js";
import { element, state } from "./state.js";
import { amount, isolated } from "./text.js";
import { language, say } from "./words.js";

const PART = 1_048_576; // octets of one call: what a lost connection costs at most
const PAUSE = 2_000; // ms before a broken upload goes on
const PATIENCE = 600_000; // ms without progress after which it has failed
const PREVIEW = 5_000_000; // octets of a picture that is shown by itself
const PICTURE = /^image\/(png|jpeg|gif|webp|avif)$/;
const MOVING = ["uploading", "sending", "receiving"];
const THERE = ["ready", "displayed"];
const OVER = ["failed", "declined", "cancelled", "expired"];

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// One file, coming or going. `view` is what the gateway says of it.
export class FileLine {
  constructor(conversation, view) {
    this.conversation = conversation;
    this.id = view.id ?? null;
    this.direction = view.direction;
    this.at = view.at;
    this.view = view;
    this.seen = true;
    this.upload = null; // {file, key, stopped, known} while this page sends it
    this.saving = null; // {parts, octets, abort} while this page fetches it
    this.problem = ""; // why the last thing that was tried with it did not work
    this.address = null; // of the picture, as a blob of this page
    this.item = document.createElement("li");
    this.item.className = `file ${view.direction}`;
    this.draw();
  }

  get path() {
    return `/invitee/file/${encodeURIComponent(this.id)}`;
  }

  get name() {
    return isolated(this.view.name);
  }

  advance(view) {
    this.id = view.id;
    this.at ??= view.at;
    this.view = view;
    this.problem = "";
    this.draw();
  }

  // Draws what has changed; buttons stay what they are while somebody presses them.
  draw() {
    const { view } = this;
    this.item.dataset.state = view.state;
    const pictures = this.picture();
    const moving = this.saving ? this.saving.octets : MOVING.includes(view.state) ? view.octets : null;
    const bar = Boolean(view.size) && moving !== null;
    const does = this.actions();
    const form = [this.name, view.size, this.at, this.address, pictures.length, bar, ...does].join("\n");
    if (form !== this.form) this.build(pictures, bar, does);
    this.form = form;
    const word = this.item.querySelector(".word");
    if (word.textContent !== this.word()) word.textContent = this.word();
    if (bar) this.item.querySelector("progress").value = moving;
  }

  build(pictures, bar, does) {
    const { view } = this;
    const box = document.createElement("div");
    box.className = "text";
    const name = document.createElement("bdi");
    name.className = "filename";
    name.textContent = this.name;
    box.append(speaker(this.conversation, this.direction), name, ...pictures);
    if (bar) box.append(this.progress());
    const size = document.createElement("span");
    size.textContent = view.size == null ? "" : amount(view.size, language);
    const word = document.createElement("span");
    word.className = "word";
    const mark = document.createElement("p");
    mark.className = "mark";
    mark.append(timeNode(this.at), size, word, ...does.map((one) => this.button(one)));
    this.keepFocus(() => this.item.replaceChildren(box, mark));
  }

  word() {
    const { view } = this;
    const why = this.problem || (OVER.includes(view.state) && view.reason) || "";
    const saved = this.direction === "in" && view.state === "displayed";
    const now = this.saving ? "saving" : this.isBroken ? "broken" : saved ? "saved" : view.state;
    return (say(`file.${now}`) || now) + (why ? `: ${why}` : "");
  }

  // A redrawn line keeps the focus on the same button.
  keepFocus(change) {
    const held = this.item.contains(document.activeElement) ? document.activeElement.dataset.does : null;
    change();
    if (held) this.item.querySelector(`[data-does="${held}"]`)?.focus();
  }

  progress() {
    const bar = document.createElement("progress");
    bar.max = this.view.size;
    bar.setAttribute("aria-label", say("fileProgress", { name: this.name }));
    return bar;
  }

  picture() {
    const { view } = this;
    if (!PICTURE.test(view.thumbnail ? "image/png" : view.content_type) || OVER.includes(view.state)) return [];
    if (this.address) {
      const image = document.createElement("img");
      image.src = this.address;
      image.alt = this.name;
      return [image];
    }
    const small = (view.size ?? Infinity) <= PREVIEW;
    if (view.id && (view.thumbnail || (this.direction === "in" && view.state === "displayed" && small))) this.look();
    return [];
  }

  // Fetches the thumbnail, or the picture once the guest has taken it.
  async look() {
    if (this.looking) return;
    this.looking = true;
    try {
      const path = `${this.path}${this.view.thumbnail ? "/thumbnail" : ""}`;
      const blob = await (await state.gateway.call("GET", path, { headers: { Accept: "*/*" } })).blob();
      if (PICTURE.test(blob.type)) this.show(blob);
    } catch {
      // Without a picture the name says enough.
    }
  }

  show(blob) {
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(blob);
    this.draw();
  }

  // Whether it is one of this guest's that no page sends any more: it goes on when the file is chosen again.
  get isBroken() {
    return this.direction === "out" && this.view.state === "uploading" && !this.upload;
  }

  // What can be done with it now.
  actions() {
    const { state: now } = this.view;
    const does = [];
    if (this.direction === "in" && now === "offered") does.push("accept", "decline");
    if (this.direction === "in" && THERE.includes(now) && !this.saving) does.push("save");
    if (this.isBroken) does.push("choose");
    if (MOVING.includes(now) || this.saving) does.push("cancel");
    if (now === "failed" && this.upload) does.push("again");
    return does;
  }

  button(word) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.does = word;
    button.textContent = say(`do.${word}`);
    button.setAttribute("aria-label", `${say(`do.${word}`)}: ${this.name}`);
    button.addEventListener("click", () => this[word]().catch((error) => this.fail(error)));
    return button;
  }

  fail(error) {
    this.problem = error instanceof Refused ? error.problem.detail || error.problem.title : say("cause.network");
    this.draw();
  }

  async accept() {
    this.advance(await state.gateway.json("POST", `${this.path}/accept`));
  }

  decline() {
    return this.cancel();
  }

  async cancel() {
    if (this.saving) {
      this.saving.abort.abort();
      return;
    }
    if (this.upload) this.upload.stopped = true;
    if (this.id) await state.gateway.call("DELETE", this.path);
    this.advance({ ...this.view, id: this.id, state: this.view.state === "offered" ? "declined" : "cancelled" });
  }

  async again() {
    this.upload.key = newKey();
    this.upload.stopped = false;
    await this.send();
  }

  async choose() {
    element("pick").click();
  }

  wants(file) {
    return this.isBroken && file.name === this.view.name && file.size === this.view.size;
  }

  goOn(file) {
    this.upload = { file, key: newKey(), stopped: false, known: () => {} };
    this.send(this.id, this.view.octets);
  }

  // Fetches the file and hands it to the browser; a broken connection is taken up where it stood.
  async save() {
    if (this.saving) return;
    const saving = (this.saving = { parts: [], octets: 0, abort: new AbortController() });
    this.problem = "";
    this.draw();
    try {
      const type = await this.fetchAll(saving);
      const blob = new Blob(saving.parts, { type });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = this.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      if (PICTURE.test(type) && blob.size <= PREVIEW && !this.address) this.show(blob);
    } catch (error) {
      if (!saving.abort.signal.aborted) throw error;
    } finally {
      this.saving = null;
      this.draw();
    }
  }

  async fetchAll(saving) {
    let tag = null;
    let since = Date.now();
    for (;;) {
      try {
        const rest = saving.octets && tag ? { Range: `bytes=${saving.octets}-`, "If-Range": tag } : {};
        const signal = saving.abort.signal;
        const response = await state.gateway.call("GET", this.path, { headers: { Accept: "*/*", ...rest }, signal, patient: true });
        if (response.status !== 206) [saving.parts, saving.octets] = [[], 0];
        tag = response.headers.get("ETag");
        const reader = response.body.getReader();
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return response.headers.get("Content-Type") || "";
          saving.parts.push(value);
          saving.octets += value.length;
          since = Date.now();
          this.draw();
        }
      } catch (error) {
        if (error instanceof Refused || saving.abort.signal.aborted || Date.now() - since > PATIENCE) throw error;
        await wait(PAUSE);
      }
    }
  }

  // Brings a file of this device to the gateway, part by part; a broken connection is taken up where it stood.
  async send(id = null, octets = -1) {
    const { upload } = this;
    const { file } = upload;
    let since = Date.now();
    while (!upload.stopped && !this.conversation.over) {
      try {
        const view = id ? await putPart(id, file, octets) : await begin(this.conversation.to, file, upload.key);
        if (upload.stopped) {
          // Cancelled before it had a name here.
          if (!this.id) await state.gateway.call("DELETE", `/invitee/file/${encodeURIComponent(view.id)}`);
          upload.known(view.id);
          return;
        }
        if (view.octets > octets) since = Date.now();
        [id, octets] = [view.id, view.octets];
        upload.known(id);
        this.advance(view);
        if (view.state !== "uploading") return;
      } catch (error) {
        if (upload.stopped) return;
        if (error instanceof Refused && error.status !== 416 && !error.problem.retryable) {
          this.advance({ ...this.view, state: "failed", reason: error.problem.detail || error.problem.title });
          return;
        }
        if (Date.now() - since > PATIENCE) {
          this.advance({ ...this.view, state: "failed", reason: say("cause.network") });
          return;
        }
        await wait(Math.max(PAUSE, 1000 * (error.retryAfter || 0)));
        if (id) octets = await this.whereItStands(octets);
      }
    }
  }

  // After a break: what has arrived of the part that was cut off.
  async whereItStands(octets) {
    try {
      return (await state.gateway.json("GET", `${this.path}/state`)).octets;
    } catch {
      return octets;
    }
  }
}

function begin(to, file, key) {
  const query = new URLSearchParams({ to, name: file.name || "file", size: file.size });
  return state.gateway.json("POST", `/invitee/file?${query}`, {
    headers: { "Content-Type": file.type || "application/octet-stream", "Idempotency-Key": key },
    patient: true,
  });
}

function putPart(id, file, start) {
  const part = file.slice(start, start + PART);
  const range = file.size ? { "Content-Range": `bytes ${start}-${start + part.size - 1}/${file.size}` } : {};
  return state.gateway.json("PUT", `/invitee/file/${encodeURIComponent(id)}`, {
    data: part,
    patient: true,
    headers: { "Content-Type": "application/octet-stream", ...range },
  });
}

// A line for a file of this device, whose sending has begun; known(id) is called when the gateway has named it.
export function sendFile(conversation, file, known) {
  const view = { direction: "out", state: "uploading", octets: 0, size: file.size, content_type: file.type };
  const line = new FileLine(conversation, { ...view, id: null, name: file.name || "file", at: new Date().toISOString() });
  line.upload = { file, key: newKey(), stopped: false, known };
  if (PICTURE.test(file.type) && file.size <= PREVIEW) line.show(file);
  line.send();
  return line;
}
