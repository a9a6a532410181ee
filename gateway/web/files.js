// Files both ways: a line in the conversation each, with progress, preview and what can be done with it.

import { Refused, newKey } from "./api.js";
import { state } from "./state.js";
import { amount } from "./text.js";
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
    this.upload = null;
    this.address = null; // of the picture, as a blob of this page
    this.item = document.createElement("li");
    this.item.className = `file ${view.direction}`;
    this.draw();
  }

  advance(view) {
    this.id = view.id;
    this.at ??= view.at;
    this.view = view;
    this.draw();
  }

  draw() {
    const { view } = this;
    this.item.dataset.state = view.state;
    const box = document.createElement("div");
    box.className = "text";
    const speaker = document.createElement("span");
    speaker.className = "unseen";
    speaker.textContent = `${this.direction === "out" ? say("you") : this.conversation.name}: `;
    const name = document.createElement("bdi");
    name.className = "filename";
    name.textContent = view.name;
    box.append(speaker, name, ...this.picture());
    const known = view.size ?? null;
    const mark = document.createElement("p");
    mark.className = "mark";
    const size = document.createElement("span");
    size.textContent = known === null ? "" : amount(known, language);
    const word = document.createElement("span");
    word.textContent = say(`file.${view.state}`) || view.state;
    if (view.reason && OVER.includes(view.state)) word.textContent += `: ${view.reason}`;
    mark.append(size, word);
    if (MOVING.includes(view.state) && known) box.append(this.progress(known));
    mark.append(...this.buttons());
    this.keepFocus(() => this.item.replaceChildren(box, mark));
  }

  // A redrawn line keeps the focus on the same button.
  keepFocus(change) {
    const held = this.item.contains(document.activeElement) ? document.activeElement.dataset.does : null;
    change();
    if (held) this.item.querySelector(`[data-does="${held}"]`)?.focus();
  }

  progress(size) {
    const bar = document.createElement("progress");
    bar.max = size;
    bar.value = this.view.octets;
    bar.setAttribute("aria-label", say("fileProgress", { name: this.view.name }));
    return bar;
  }

  picture() {
    const { view } = this;
    if (!PICTURE.test(view.thumbnail ? "image/png" : view.content_type) || OVER.includes(view.state)) return [];
    if (this.address) {
      const image = document.createElement("img");
      image.src = this.address;
      image.alt = view.name;
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
      const path = `/invitee/file/${encodeURIComponent(this.id)}${this.view.thumbnail ? "/thumbnail" : ""}`;
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

  buttons() {
    const { state: now } = this.view;
    const does = [];
    if (this.direction === "in" && now === "offered") does.push("accept", "decline");
    if (this.direction === "in" && THERE.includes(now)) does.push("save");
    if (MOVING.includes(now)) does.push("cancel");
    if (now === "failed" && this.upload) does.push("again");
    return does.map((word) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.does = word;
      button.textContent = say(`do.${word}`);
      button.setAttribute("aria-label", `${say(`do.${word}`)}: ${this.view.name}`);
      button.addEventListener("click", () => this[word]().catch((error) => this.fail(error)));
      return button;
    });
  }

  fail(error) {
    const reason = error instanceof Refused ? error.problem.detail || error.problem.title : say("cause.network");
    this.view = { ...this.view, reason };
    this.draw();
  }

  async accept() {
    this.advance(await state.gateway.json("POST", `/invitee/file/${encodeURIComponent(this.id)}/accept`));
  }

  decline() {
    return this.cancel();
  }

  async cancel() {
    if (this.upload) this.upload.stopped = true;
    if (this.id) await state.gateway.call("DELETE", `/invitee/file/${encodeURIComponent(this.id)}`);
    this.advance({ ...this.view, state: this.view.state === "offered" ? "declined" : "cancelled" });
  }

  async again() {
    this.upload.key = newKey();
    this.upload.stopped = false;
    await this.send();
  }

  async save() {
    const path = `/invitee/file/${encodeURIComponent(this.id)}`;
    const blob = await (await state.gateway.call("GET", path, { headers: { Accept: "*/*" } })).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = this.view.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    if (PICTURE.test(blob.type) && blob.size <= PREVIEW && !this.address) this.show(blob);
  }

  // Brings a file of this device to the gateway, part by part; a broken connection is taken up where it stood.
  async send() {
    const { upload } = this;
    const { file } = upload;
    let since = Date.now();
    let octets = -1;
    let id = null;
    while (!upload.stopped && !this.conversation.over) {
      try {
        const view = id ? await putPart(id, file, octets) : await begin(this.conversation.to, file, upload.key);
        if (upload.stopped) return;
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
        id = null; // asked with the same key, the gateway tells how far it has come
      }
    }
  }
}

function begin(to, file, key) {
  const query = new URLSearchParams({ to, name: file.name || "file", size: file.size });
  return state.gateway.json("POST", `/invitee/file?${query}`, {
    headers: { "Content-Type": file.type || "application/octet-stream", "Idempotency-Key": key },
  });
}

function putPart(id, file, start) {
  const part = file.slice(start, start + PART);
  const range = file.size ? { "Content-Range": `bytes ${start}-${start + part.size - 1}/${file.size}` } : {};
  return state.gateway.json("PUT", `/invitee/file/${encodeURIComponent(id)}`, {
    data: part,
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
