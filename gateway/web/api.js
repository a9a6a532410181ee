// The calls of the gateway that a guest needs, and the stream of events.

export class Refused extends Error {
  // An answer of the gateway that is not 2xx: problem details (RFC 9457), as far as they could be read.
  constructor(status, problem, retryAfter) {
    super(problem.title || `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
    this.type = String(problem.type || "").replace(/^.*\//, "");
    this.retryAfter = retryAfter;
  }
}

const PATIENCE = 30_000; // ms that an answer may take; the gateway's own waits are a tenth of it
const SILENCE = 60_000; // ms without a byte on the stream, keep-alive comments included, that mean it is dead

export class Gateway {
  // base: path of the gateway's API, "/rcsgw". account: SIP URI as the link has it. client: what this client is told by.
  constructor(base, account, secret, client) {
    this.client = client;
    this.base = base;
    this.account = account;
    const userId = account.replace(/^(sips?|tel):/i, "");
    const bytes = new TextEncoder().encode(`${userId}:${secret}`);
    this.authorization = "Basic " + btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  }

  // body: an object to send as JSON; data: octets to send as they are; patient: it may take as long as it takes.
  async call(method, path, { body, data, headers = {}, signal, patient = Boolean(signal) } = {}) {
    const response = await fetch(this.base + path, {
      method,
      signal: patient ? signal : AbortSignal.timeout(PATIENCE),
      cache: "no-store",
      // With "omit" a 401 comes to us instead of opening the browser's own password dialog.
      credentials: "omit",
      referrerPolicy: "no-referrer",
      headers: {
        Accept: "application/json",
        Authorization: this.authorization,
        "Rcsgw-Client": this.client,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? data : JSON.stringify(body),
    });
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    throw new Refused(response.status, problem || {}, Number(response.headers.get("Retry-After")) || 0);
  }

  async json(method, path, options) {
    const response = await this.call(method, path, options);
    return response.status === 204 ? null : response.json();
  }

  login() {
    return this.json("POST", `/invitee/session/${encodeURIComponent(this.account)}`);
  }

  logout() {
    return this.call("DELETE", `/invitee/session/${encodeURIComponent(this.account)}`);
  }

  status(uid) {
    return this.json("GET", `/invitee/status/${encodeURIComponent(uid)}`);
  }

  messages(uid, before) {
    const query = new URLSearchParams({ with: uid });
    if (before !== undefined) query.set("before", before);
    return this.json("GET", `/invitee/messages?${query}`);
  }

  files(uid) {
    return this.json("GET", `/invitee/files?${new URLSearchParams({ with: uid })}`);
  }

  send(to, message, key) {
    return this.json("POST", "/invitee/message", { body: { to, message }, headers: { "Idempotency-Key": key } });
  }

  composing(to, state) {
    return this.call("POST", "/invitee/composing", { body: { to, state } });
  }

  seen(id) {
    return this.call("POST", "/invitee/receipt", { body: { id } });
  }

  // Reads the event stream until it breaks; calls opened() once and received(event) for each event.
  // Returns when the server ended it; throws Refused or TypeError (no connection).
  async stream(lastEventId, signal, opened, received) {
    const silence = new AbortController();
    const ended = () => silence.abort();
    if (signal.aborted) return;
    signal.addEventListener("abort", ended);
    let timer = setTimeout(ended, SILENCE);
    try {
      const response = await this.call("GET", "/invitee/events", {
        signal: silence.signal,
        headers: {
          Accept: "text/event-stream",
          ...(lastEventId === null ? {} : { "Last-Event-ID": lastEventId }),
        },
      });
      opened();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser(received);
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(ended, SILENCE);
        parser.feed(value);
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", ended);
    }
  }
}

// text/event-stream by hand, because EventSource cannot send Authorization.
export class EventParser {
  constructor(received) {
    this.received = received;
    this.rest = "";
    this.clear();
  }

  clear() {
    this.id = null;
    this.kind = "message";
    this.data = [];
  }

  feed(text) {
    this.rest += text;
    // A CR at the very end may be the first half of CRLF: it waits for more.
    const held = this.rest.endsWith("\r") ? "\r" : "";
    const lines = this.rest.slice(0, this.rest.length - held.length).split(/\r\n|\n|\r/);
    this.rest = lines.pop() + held;
    lines.forEach((line) => this.line(line));
  }

  line(line) {
    if (line === "") {
      // An id without data is where the stream stands; it is told with data null.
      const data = this.data.length ? this.data.join("\n") : null;
      if (data !== null || this.id !== null) this.received({ id: this.id, kind: this.kind, data });
      this.clear();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, to keep the connection alive
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.kind = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}

export function newKey() {
  // randomUUID exists in secure contexts only; a lab may well use plain HTTP.
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
