// A session that is over, from the store; to the page it is like any other one that has ended.

import { Asked } from "./asked.js";
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
    this.asked = new Asked(this, null);
  }

  talking() {
    return new Set();
  }

  time() {
    return this.transcript.horizon;
  }

  stop() {}

  get corrected() {
    return this.asked.count;
  }

  ask(request) {
    this.asked.ask(request);
  }
}
