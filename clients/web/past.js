// A session that is over, from the store; to the page it is like any other one that has ended.

import { Transcript } from "./client/index.js";
import { QUIETEST_DB } from "./session.js";
import { Tape } from "./tape.js";

export class Past {
  /** What Store.load gave; on.change as of Session. */
  constructor({ summary, transcript, chunks }, on) {
    const { source, started, complete } = summary;
    this.summary = summary;
    this.on = on;
    this.source = { ...source, total: summary.duration, close() {} };
    this.transcript = Transcript.from(transcript);
    this.started = started;
    this.tape = new Tape(source.rate, chunks);
    this.state = complete ? "ended" : "failed";
    this.ended = this.stopping = true;
    this.speaks = false;
    this.status = this.delay = null;
    this.levelDb = QUIETEST_DB;
    this.sent = this.tape.duration;
    this.waiting = 0;
  }

  talking() {
    return new Set();
  }

  time() {
    return this.transcript.horizon;
  }

  stop() {}

  /** Names a speaker; null removes the name. */
  name(speaker, name) {
    const message = { type: "speaker", state: "named", speaker, name, confidence: null };
    this.on.change({ message, ids: this.transcript.apply(message), moved: new Map() });
  }
}
