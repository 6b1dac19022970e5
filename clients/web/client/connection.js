// One session over a websocket that may disconnect: audio is kept until the server has it, and the session is resumed.

import { refusal } from "./refusal.js";
import { Requests } from "./requests.js";
import { SendBuffer } from "./send-buffer.js";
import { sentence } from "./text.js";

const PROTOCOL = "turnstream.v1";
const SAMPLE_BYTES = { pcm_s16le: 2, pcm_s24le: 3, pcm_s32le: 4, pcm_f32le: 4 };
const DEFAULTS = { encoding: "pcm_s16le", sample_rate: 16000, channels: 1 };
const PIECE_BYTES = 32768;
const AHEAD_BYTES = 65536; // in the browser's own queue
const MOST_KEPT_BYTES = 64 * 2 ** 20; // 11 minutes at 48 kHz, longer than a server keeps a disconnected session
const POLL_MS = 20;
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5000;
const SILENT_SERVER_MS = 25000; // the server sends a status every few seconds
const CONNECT_MS = 30000;
const RESUME_S = 60; // until the server has said how long it keeps sessions
const ROUNDED_S = 0.1; // safety margin: a status gives the received audio in rounded seconds
// No answer to a ping, too slow, no room just now: the session can be resumed, as after a disconnect.
const RESUMABLE = [4408, 4425, 4503];

export class Connection {
  /**
   * url: of the websocket; start: fields of the `start` message; on.message(message), on.state(state, sentence), where
   * state is open, lost, ended or failed; session: the id of one that an earlier connection began, to come back to it.
   */
  constructor(url, start, on, session = null) {
    this.url = url;
    this.start = { ...DEFAULTS, ...start };
    this.on = on;
    this.buffer = new SendBuffer(SAMPLE_BYTES[this.start.encoding] * this.start.channels);
    this.session = session;
    this.unknown = session !== null; // where its audio goes on is not known yet
    this.seq = 0;
    this.requests = new Requests();
    this.limits = { message_bytes: PIECE_BYTES, resume: session === null ? 0 : RESUME_S };
    this.stopping = false;
    this.over = false;
    this.socket = null;
    this.greeted = false;
    this.lostSince = null;
    this.retryMs = FIRST_RETRY_MS;
    this.retryNow = () => this.lostSince !== null && this.#connect();
    globalThis.addEventListener?.("online", this.retryNow);
    this.#connect();
  }

  /** Seconds of audio taken so far. */
  get position() {
    return this.buffer.end / this.#bytesPerSecond;
  }

  /** Resolves once the server has answered, or once the session is over: audio goes on from `position`. */
  async opened() {
    while (!this.over && !this.greeted) await new Promise((done) => setTimeout(done, POLL_MS));
  }

  /** Seconds of audio not sent yet. */
  get waiting() {
    return this.buffer.unsent / this.#bytesPerSecond;
  }

  /** Takes audio, a Uint8Array in the encoding of `start`, cut anywhere. */
  send(bytes) {
    if (this.stopping || this.over || this.unknown) return;
    if (this.buffer.kept > MOST_KEPT_BYTES) {
      this.#fail("The server cannot keep up: too much audio is waiting to be sent.");
      return;
    }
    this.buffer.append(bytes);
    this.#pump();
  }

  /** Resolves once all audio has been sent, or once the session is over. */
  async drained() {
    while (!this.over && (this.buffer.unsent > 0 || !this.greeted))
      await new Promise((done) => setTimeout(done, POLL_MS));
  }

  /** Says who a speaker is; null takes the name away. take: even from another speaker who has it. */
  name(speaker, name, take = false) {
    return this.ask({ type: "name", speaker, name, ...(take && { take }) });
  }

  /** Says that two speakers are one person, `into`. */
  merge(speaker, into) {
    return this.ask({ type: "merge", speaker, into });
  }

  /** Says whose a turn is: a speaker's, or "new" for somebody not known so far. */
  assign(turn, speaker) {
    return this.ask({ type: "assign", turn, speaker });
  }

  /** Takes back the last merge or assign that stands. */
  undo() {
    return this.ask({ type: "undo" });
  }

  /** Asks one of these, as the message without its id; the id of the `answer` that follows. */
  ask(message) {
    const request = this.requests.add(message);
    if (this.greeted) this.#tellRequest(request);
    return request.id;
  }

  /** The audio has ended; the final result follows. */
  stop() {
    this.stopping = true;
    this.#pump();
  }

  get #bytesPerSecond() {
    return this.buffer.frameBytes * this.start.sample_rate;
  }

  #connect() {
    clearTimeout(this.timer);
    this.#drop();
    const socket = new WebSocket(this.url, PROTOCOL);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heardAt = Date.now();
    socket.onopen = () => socket.send(JSON.stringify(this.#hello()));
    socket.onmessage = (event) => socket === this.socket && this.#take(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.socket && this.#closed(event);
    this.timer = setTimeout(() => this.#watch(), CONNECT_MS);
  }

  #hello() {
    const start = { type: "start", version: 1, ...this.start };
    return this.session === null ? start : { ...start, session: this.session, seq: this.seq };
  }

  #take(message) {
    this.heardAt = Date.now();
    if (message.seq !== undefined) {
      if (message.seq <= this.seq) return;
      this.seq = message.seq;
    }
    if (message.type === "started") this.#begin(message);
    if (message.type === "status") {
      this.buffer.acknowledge(Math.floor(Math.max(message.received - ROUNDED_S, 0) * this.start.sample_rate));
    }
    this.requests.take(message);
    if (message.type === "error") this.failure = message.message;
    this.on.message(message);
    if (message.type === "final") {
      this.on.state("ended", message.reason === "stop" ? "" : ENDINGS[message.reason]);
      this.#finish();
    }
  }

  #begin(message) {
    if (this.unknown) this.buffer.begin(message.position);
    this.unknown = false;
    if (!this.buffer.rewind(message.position)) {
      this.#fail("The server asked for audio that is no longer available.");
      return;
    }
    this.session = message.session;
    this.limits = message.limits;
    this.greeted = true;
    this.lostSince = null;
    this.retryMs = FIRST_RETRY_MS;
    this.failure = undefined;
    this.stopTold = false;
    this.requests.answered = message.corrections === true;
    for (const request of this.requests.open.values()) this.#tellRequest(request);
    this.on.state("open");
    clearTimeout(this.timer);
    this.#watch();
    this.#pump();
  }

  #pump() {
    clearTimeout(this.pumpTimer);
    const socket = this.socket;
    if (!this.greeted || this.over || socket.readyState !== WebSocket.OPEN) return;
    while (this.buffer.unsent > 0 && socket.bufferedAmount < AHEAD_BYTES) {
      socket.send(this.buffer.take(Math.min(PIECE_BYTES, this.limits.message_bytes)));
    }
    if (this.buffer.unsent > 0) {
      this.pumpTimer = setTimeout(() => this.#pump(), POLL_MS);
    } else if (this.stopping && !this.stopTold) {
      this.#tell({ type: "stop" });
      this.stopTold = true;
    }
  }

  #tellRequest(request) {
    const message = this.requests.worded(request);
    if (message) this.#tell(message);
  }

  #tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  #watch() {
    if (Date.now() - this.heardAt > SILENT_SERVER_MS) {
      this.#lost("The server is not responding.");
      return;
    }
    this.timer = setTimeout(() => this.#watch(), 2000);
  }

  #closed(event) {
    const reason = sentence(this.failure ?? event.reason);
    const forGood = event.code >= 4000 && !RESUMABLE.includes(event.code);
    if (forGood) this.#fail(reason || `The server closed the session (${event.code}).`);
    else if (this.session === null && reason) this.#fail(reason);
    else if (this.session === null) refusal(this.url).then((why) => this.#fail(why));
    else this.#lost("The connection was lost.");
  }

  #lost(reason) {
    clearTimeout(this.timer);
    this.#drop();
    this.lostSince ??= Date.now();
    if (this.session === null || Date.now() - this.lostSince > 1000 * this.limits.resume) {
      this.#fail(this.session === null ? reason : "The connection was lost and could not be restored in time.");
      return;
    }
    this.on.state("lost", reason);
    this.timer = setTimeout(() => this.#connect(), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, LAST_RETRY_MS);
  }

  #fail(reason) {
    if (this.over) return;
    this.#finish();
    this.on.state("failed", reason);
  }

  #finish() {
    this.over = true;
    clearTimeout(this.timer);
    clearTimeout(this.pumpTimer);
    globalThis.removeEventListener?.("online", this.retryNow);
    this.#drop();
  }

  /** Closes the socket, whatever its state, and ignores its further events. */
  #drop() {
    this.greeted = false;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}

const ENDINGS = {
  idle: "The server received no audio for too long and ended the session.",
  session_too_long: "The session reached the server's time limit.",
  shutdown: "The server was stopped; this is the result so far.",
};
