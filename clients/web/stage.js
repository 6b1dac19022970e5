// The view of a session: the lanes, who is speaking now, the turns, the numbers, and playing them back.

import { Correcting } from "./correcting.js";
import { byId, setText } from "./elements.js";
import { showFacts, showProgress } from "./facts.js";
import { Lanes } from "./lanes.js";
import { Playback } from "./playback.js";
import { QUIETEST_DB } from "./session.js";
import { Speakers } from "./speakers.js";
import { Announcer, Turns } from "./turns.js";
import { View } from "./view.js";
import { clock, count, listed } from "./words.js";

const LONGEST_STEP_MS = 200;
const SAMPLE_S = 8; // of a speaker, to hear who it is

export class Stage {
  constructor() {
    this.session = null;
    this.playback = new Playback((time) => this.#wentTo(time), () => this.#animate());
    this.correcting = new Correcting();
    this.speakers = new Speakers(byId("speakers"), {
      onName: (speaker, name) => this.correcting.name(speaker, name),
      onHear: (speaker) => this.#hear(speaker),
      onMerge: (speaker) => this.correcting.merge(speaker),
    });
    this.lanes = new Lanes(byId("canvas"), (speaker) => this.speakers.middle(speaker));
    this.view = new View(byId("spans"), byId("canvas"), {
      onChange: () => this.draw(),
      onScroll: (time) => this.#scrolled(time),
      onClick: (x, y) => this.#clicked(x, y),
    });
    this.turns = new Turns(byId("turns"), byId("turns-scroll"), {
      onGo: (id) => this.playback.go(this.#turn(id).start),
      onPlay: (id) => this.#playOrPause(id),
      onWho: (id) => this.correcting.assign(id),
    });
    this.announcer = new Announcer(byId("announce"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.lanes.readColors();
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(byId("lanes"));
  }

  /** Shows a session from its beginning; null clears the stage. */
  show(session) {
    this.session = session;
    this.over = false;
    for (const part of [this.speakers, this.turns, this.announcer, this.lanes, this.view]) part.clear();
    this.playback.show(session);
    this.correcting.show(session);
    if (!session) return;
    this.turns.update(session.transcript, session.transcript.inOrder().map(({ id }) => id), new Set());
    this.drawnAt = performance.now();
    this.refresh();
  }

  /** A message arrived; see Session. */
  changed({ message, request, ids, moved }) {
    const { transcript } = this.session;
    if (request && message.type === "answer") this.correcting.answered(message, request);
    for (const [id, speaker] of moved) this.lanes.moved(id, speaker, message.type !== "turn" && speaker !== null);
    const revised = new Set(message.type === "revision" && message.from !== null ? moved.keys() : []);
    this.turns.update(transcript, message.type === "speaker" ? transcript.turns.keys() : ids, revised);
    this.announcer.update(transcript, ids);
    this.refresh();
  }

  /** The state changed. */
  refresh() {
    if (this.session.ended && !this.over) this.#ended();
    showFacts(this.session);
    this.correcting.refresh();
    this.#animate();
  }

  /** Draws the current state. */
  draw() {
    const { session, playback } = this;
    if (!session) return;
    const now = performance.now();
    const time = session.time(Math.min(now - this.drawnAt, LONGEST_STEP_MS));
    this.drawnAt = now;
    const { transcript, ended } = session;
    playback.update(time, ended);
    const { cursor, playing } = playback;
    const here = cursor === null ? [] : transcript.at(cursor);
    const talking = playing ? new Set(here.map(({ speaker }) => speaker)) : session.talking();
    this.speakers.update(transcript, talking, playback.able);
    this.#headline(talking);
    byId("silence").hidden = transcript.talkers().length > 0;
    if (playing) this.view.follow(cursor);
    this.turns.mark(here.map(({ id }) => id), playing);
    const [first, last] = this.view.range(time);
    this.lanes.draw(transcript.turns.values(), transcript.talkers(), first, last, ended ? null : time, cursor);
    const { total } = session.source;
    setText(byId("clock"), clock(time) + (total && !ended ? ` of ${clock(total, false)}` : ""));
    showProgress(session);
    this.#level();
    byId("light").className = `light ${ended ? "" : session.state} ${session.speaks ? "speech" : ""}`;
  }

  /** A session that is over is shown as a whole. */
  #ended() {
    this.over = true;
    this.view.all();
    if (this.playback.cursor === null) this.turns.scrollTo(0);
  }

  /** Redraws as long as anything moves. */
  #animate() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.draw();
      if (this.session && (!this.session.ended || this.lanes.busy || this.playback.playing)) this.#animate();
    });
  }

  #turn(id) {
    return this.session.transcript.turns.get(id);
  }

  #wentTo(time) {
    this.view.look(time);
    this.turns.show(time ?? Infinity);
    this.#animate();
  }

  #scrolled(time) {
    this.turns.scrollTo(time);
    this.#animate();
  }

  #clicked(x, y) {
    const id = this.lanes.at(x, y);
    this.playback.go(id === null ? this.lanes.timeAt(x) : this.#turn(id).start);
    if (id !== null) this.turns.reveal(id);
  }

  #playOrPause(id) {
    const { start, end } = this.#turn(id);
    const { cursor, playing } = this.playback;
    if (playing && start <= cursor && cursor < end) this.playback.toggle();
    else this.playback.play(start);
  }

  /** Plays some of the longest turn of a speaker. */
  #hear(speaker) {
    const mine = [...this.session.transcript.turns.values()].filter((turn) => turn.speaker === speaker);
    const { start, end } = mine.reduce((a, b) => (b.end - b.start > a.end - a.start ? b : a));
    this.playback.play(start, Math.min(end, start + SAMPLE_S));
  }

  #headline(talking) {
    const { transcript, ended } = this.session;
    const { cursor, playing } = this.playback;
    const people = transcript.talkers().filter((speaker) => speaker !== null);
    const names = people.filter((speaker) => talking.has(speaker)).map((speaker) => transcript.label(speaker));
    const nobody = talking.has(null) ? "Someone" : playing ? "Nobody" : "Nobody right now";
    const total = ended && !playing;
    const now = playing ? `Speaking at ${clock(cursor, false)}` : "Speaking now";
    setText(byId("lanes-heading"), total ? "Speakers in total" : now);
    setText(byId("now"), total ? count(people.length, "speaker") : listed(names) || nobody);
    byId("now").classList.toggle("nobody", !total && names.length === 0);
  }

  #level() {
    const { levelDb } = this.session;
    byId("level").style.setProperty("--part", (1 - levelDb / QUIETEST_DB).toFixed(3));
    byId("level").classList.toggle("loud", levelDb > -1);
    byId("level").setAttribute("aria-valuenow", String(Math.round(levelDb)));
  }
}
