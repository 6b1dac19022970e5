// The state of a session so far, built from the server's messages alone: no page, no clock, no socket.

import { numberOf } from "./text.js";

export class Transcript {
  constructor() {
    this.turns = new Map(); // id -> {id, speaker, start, end, committed, state, was: [speakers it had], heard}
    this.speakers = new Map(); // id -> {id, name, confidence, into}
    this.revisions = [];
    this.corrected = 0; // turns that belong to others in the final result
    this.final = null; // {reason, duration, speakers, statistics}
    this.horizon = 0; // newest time that any message refers to, in seconds
    this.heard = 0; // messages applied, to recognize what is new
    this.talk = new Map(); // speaker -> seconds
  }

  /** Applies one message; returns the ids of the turns it changed. */
  apply(message) {
    this.heard += 1;
    switch (message.type) {
      case "turn":
        return this.#turn(message);
      case "revision":
        return this.#revision(message);
      case "speaker":
        return this.#speaker(message);
      case "activity":
        this.#reach(message.end);
        return [];
      case "status":
        this.#reach(message.processed);
        return [];
      case "final":
        return this.#final(message);
      default:
        return [];
    }
  }

  /** The transcript that `toJSON` gave. */
  static from({ turns, speakers, revisions, corrected, final, horizon }) {
    const transcript = new Transcript();
    for (const turn of turns) transcript.turns.set(turn.id, turn);
    for (const speaker of speakers) transcript.speakers.set(speaker.id, speaker);
    Object.assign(transcript, { revisions, corrected, final, horizon });
    for (const turn of final ? [] : turns) transcript.#count(turn, 1);
    for (const { speaker, talk } of final?.speakers ?? []) transcript.talk.set(speaker, talk);
    return transcript;
  }

  /** Everything as plain values, to store it. */
  toJSON() {
    const { revisions, corrected, final, horizon } = this;
    return { turns: this.inOrder(), speakers: [...this.speakers.values()], revisions, corrected, final, horizon };
  }

  /** How to label a speaker: the name, else the id; null is the unknown speaker. */
  label(speaker) {
    if (speaker === null) return this.final ? "Unknown" : "Not known yet";
    return this.speakers.get(speaker)?.name ?? speaker;
  }

  /** Speakers who currently have turns, in order of appearance; the unknown one (null) last. */
  talkers() {
    const found = [...this.talk].filter(([, seconds]) => seconds > 1e-6).map(([speaker]) => speaker);
    return found.sort((a, b) => (numberOf(a) || Infinity) - (numberOf(b) || Infinity));
  }

  talkOf(speaker) {
    return this.talk.get(speaker) ?? 0;
  }

  /** The turns at a time in seconds. */
  at(time) {
    return [...this.turns.values()].filter(({ start, end }) => start <= time && time < end);
  }

  /**
   * How often speech went from one speaker to another, the end included; naming the unknown corrects nobody, and the
   * user's own corrections are not counted.
   */
  get corrections() {
    return this.revisions.filter(({ from, reason }) => from !== null && reason !== "corrected").length + this.corrected;
  }

  /** Turns in order of time. */
  inOrder() {
    return [...this.turns.values()].sort((a, b) => a.start - b.start || numberOf(a.id) - numberOf(b.id));
  }

  #turn(message) {
    const before = this.turns.get(message.id);
    if (before) this.#count(before, -1);
    if (message.state === "retracted") {
      this.turns.delete(message.id);
      return before ? [message.id] : [];
    }
    const turn = { ...before, ...fieldsOf(message), was: before?.was ?? [], heard: this.heard };
    this.turns.set(turn.id, turn);
    this.#count(turn, 1);
    if (turn.speaker !== null) this.#meet(turn.speaker, message.name);
    this.#reach(turn.end);
    return [turn.id];
  }

  #revision(message) {
    const known = message.turns.filter((id) => this.turns.has(id));
    this.revisions.push({
      turns: message.turns,
      from: message.from,
      to: message.to,
      reason: message.reason,
      at: message.at,
    });
    for (const id of known) {
      const turn = this.turns.get(id);
      this.#count(turn, -1);
      this.turns.set(id, { ...turn, speaker: message.to, was: [...turn.was, message.from], heard: this.heard });
      this.#count(turn, 1, message.to);
    }
    if (message.to !== null) this.#meet(message.to);
    if (this.final) this.#recount();
    this.#reach(message.at);
    return known;
  }

  #speaker(message) {
    const speaker = this.#meet(message.speaker);
    if (message.state === "named") Object.assign(speaker, { name: message.name, confidence: message.confidence });
    if (message.state === "appeared") Object.assign(speaker, { name: message.name ?? speaker.name, into: null });
    if (message.state === "merged") speaker.into = message.into;
    return [];
  }

  #final(message) {
    const before = this.turns;
    const changed = new Set([...before.keys(), ...message.turns.map(({ id }) => id)]);
    this.corrected = corrections([...before.values()], message.turns);
    const { reason, duration, speakers, statistics } = message;
    this.final = { reason, duration, speakers, statistics };
    this.turns = new Map(message.turns.map((given) => [given.id, this.#finalTurn(given, before.get(given.id))]));
    this.talk = new Map(message.speakers.map(({ speaker, talk }) => [speaker, talk]));
    for (const { speaker, name } of message.speakers) if (speaker !== null) this.#meet(speaker, name);
    this.horizon = message.duration;
    return [...changed];
  }

  #finalTurn(given, before) {
    const was = [...(before?.was ?? [])];
    if (before && before.speaker !== given.speaker) was.push(before.speaker);
    if (given.speaker !== null) this.#meet(given.speaker, given.name);
    return { ...fieldsOf(given), was, heard: this.heard };
  }

  #meet(id, name = null) {
    if (!this.speakers.has(id)) this.speakers.set(id, { id, name: null, confidence: null, into: null });
    const speaker = this.speakers.get(id);
    if (name) speaker.name = name;
    return speaker;
  }

  /** The speakers of a final result whose turns were corrected; what it said of them was rounded. */
  #recount() {
    this.talk.clear();
    for (const turn of this.turns.values()) this.#count(turn, 1);
    const speakers = this.talkers().map((speaker) => {
      const { name = null, confidence = null } = this.speakers.get(speaker) ?? {};
      return { speaker, name, confidence, talk: Math.round(1000 * this.talkOf(speaker)) / 1000 };
    });
    this.final = { ...this.final, speakers };
  }

  #count(turn, sign, speaker = turn.speaker) {
    this.talk.set(speaker, this.talkOf(speaker) + sign * (turn.end - turn.start));
  }

  #reach(seconds) {
    this.horizon = Math.max(this.horizon, seconds);
  }
}

function fieldsOf({ id, speaker, start, end, committed, state }) {
  return { id, speaker, start, end, committed, state };
}

/** How many turns of known speakers are mostly another known speaker's in the final result. */
function corrections(before, after) {
  const known = after.filter(({ speaker }) => speaker !== null).sort((a, b) => a.start - b.start);
  return before.filter(({ speaker }) => speaker !== null).filter((turn) => isAnothers(turn, known)).length;
}

function isAnothers(turn, known) {
  let [kept, taken] = [0, 0];
  for (const { speaker, start, end } of known) {
    if (start >= turn.end) break;
    const both = Math.max(0, Math.min(end, turn.end) - Math.max(start, turn.start));
    if (speaker === turn.speaker) kept += both;
    else taken += both;
  }
  const half = (turn.end - turn.start) / 2;
  return kept < half && taken > half;
}
