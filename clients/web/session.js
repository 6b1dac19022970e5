// One session: sends a source's audio through the connection and keeps the transcript. Does not touch the page.

import { Asked } from "./asked.js";
import { Connection, Transcript } from "./client/index.js";

const GROWS_MS = 1200; // a turn that grew this recently is still going on
export const QUIETEST_DB = -60;
const METER_FALL_DB_PER_S = 24;
const EASE_MS = 150;
const NEARLY_S = 2; // so much audio or less is not worth showing

export class Session {
  /**
   * source: {title, name, live, rate, total, close()}, total in seconds or null if open-ended; tape: its audio;
   * url: of the websocket; options: fields of `start`; on.change({message, request, ids, moved}) and on.state(), as for
   * the connection; id: the server's, of a session to come back to.
   */
  constructor(source, tape, url, options, on, id = null) {
    this.tape = tape;
    this.source = source;
    this.on = on;
    this.transcript = new Transcript();
    this.started = null;
    this.status = null;
    this.state = "connecting";
    this.stopping = false;
    this.finishing = undefined; // since when only the final result is waited for, in ms
    this.levelDb = QUIETEST_DB;
    this.delay = null; // seconds by which labels lag the audio
    this.grew = new Map(); // turn id -> when it last grew, in ms
    this.speech = false; // according to the activity path
    this.shown = 0; // the time on the page, which follows the newest time smoothly
    const start = {
      encoding: "pcm_s16le",
      sample_rate: source.rate,
      channels: 1,
      provisional: true,
      activity: true,
      ...options,
    };
    const handlers = {
      message: (message) => this.#took(message),
      state: (state, sentence) => this.#became(state, sentence),
    };
    this.connection = new Connection(url, start, handlers, id);
    this.asked = new Asked(this, this.connection);
  }

  get ended() {
    return this.state === "ended" || this.state === "failed";
  }

  /** Whether someone is speaking, as far as is known. */
  get speaks() {
    return this.state === "open" && (this.speech || this.grew.size > 0);
  }

  /** Seconds of audio taken. */
  get sent() {
    return this.connection.position;
  }

  /** Seconds of audio not sent yet. */
  get waiting() {
    return this.connection.waiting;
  }

  /** How far it is, 0 to 1; null while that is not known, undefined where nobody waits for anything. */
  get progress() {
    if (this.ended || (this.source.live && !this.stopping && this.state !== "connecting")) return undefined;
    if (this.state !== "open") return null;
    const all = this.stopping ? this.sent : this.source.total;
    return this.transcript.horizon < all - NEARLY_S ? this.transcript.horizon / all : null;
  }

  /** Takes audio as a Uint8Array of 16-bit samples, with its peak (0 to 1). */
  take(bytes, peak) {
    this.connection.send(bytes);
    const fallen = this.levelDb - (METER_FALL_DB_PER_S * bytes.length) / (2 * this.source.rate);
    this.levelDb = Math.max(QUIETEST_DB, peak > 0 ? 20 * Math.log10(peak) : QUIETEST_DB, fallen);
  }

  /** Ends the audio; the final result follows. */
  stop() {
    if (this.stopping) return;
    this.stopping = true;
    this.source.close();
    this.connection.stop();
  }

  /** How many corrections of the user can be taken back. */
  get corrected() {
    return this.asked.count;
  }

  /** Asks for a name or a correction: a request as for the connection. */
  ask(request) {
    this.asked.ask(request);
  }

  /** The speakers who are talking now. */
  talking() {
    const now = performance.now();
    for (const [id, at] of this.grew) if (now - at > GROWS_MS) this.grew.delete(id);
    const turns = [...this.grew.keys()].map((id) => this.transcript.turns.get(id));
    return new Set(turns.filter(Boolean).map((turn) => turn.speaker));
  }

  /** The time to show, `passed` ms after the last call. */
  time(passed) {
    const newest = this.source.live && !this.ended ? this.connection.position : this.transcript.horizon;
    if (this.ended) this.shown = newest;
    else this.shown += (newest - this.shown) * (1 - Math.exp(-Math.max(0, passed) / EASE_MS));
    return this.shown;
  }

  #took(message) {
    const { transcript } = this;
    if (message.type === "started") this.started = message;
    if (message.type === "status") this.status = message;
    if (message.type === "activity") this.speech = message.speech;
    if (message.type === "turn") this.#growing(message);
    const before = new Map([...affected(message, transcript)].map((id) => [id, transcript.turns.get(id)?.speaker]));
    const ids = transcript.apply(message);
    const moved = new Map(); // turn id -> the speaker it had
    for (const id of ids) {
      const [was, is] = [before.get(id), transcript.turns.get(id)?.speaker];
      if (was !== undefined && is !== undefined && was !== is) moved.set(id, was);
    }
    const request = message.type === "answer" ? this.asked.take(message) : undefined;
    this.on.change({ message, request, ids, moved });
  }

  /** A turn that grew: its speaker is talking now, and its end shows how far labels lag the audio. */
  #growing(message) {
    const before = this.transcript.turns.get(message.id);
    if (message.state !== "provisional") {
      this.grew.delete(message.id);
    } else if (!before || message.end > before.end + 1e-6) {
      this.grew.set(message.id, performance.now());
      const delay = Math.max(0, this.connection.position - message.end);
      this.delay = this.delay === null ? delay : 0.7 * this.delay + 0.3 * delay;
    }
  }

  #became(state, sentence) {
    this.state = state;
    if (this.ended) {
      this.stopping = true;
      this.source.close();
      this.grew.clear();
      this.levelDb = QUIETEST_DB;
    }
    this.on.state(state, sentence);
  }
}

function affected(message, transcript) {
  if (message.type === "turn") return [message.id];
  if (message.type === "revision") return message.turns;
  return message.type === "final" ? transcript.turns.keys() : [];
}
