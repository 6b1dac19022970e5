// The view of a session: the lanes, who is speaking now, the turns, the numbers.

import { byId, setText } from "./elements.js";
import { showFacts } from "./facts.js";
import { Lanes } from "./lanes.js";
import { QUIETEST_DB } from "./session.js";
import { Speakers } from "./speakers.js";
import { Announcer, Turns } from "./turns.js";
import { View } from "./view.js";
import { clock, count, listed } from "./words.js";

const LONGEST_STEP_MS = 200;

export class Stage {
  constructor() {
    this.session = null;
    this.speakers = new Speakers(byId("speakers"), (speaker, name) => this.session.name(speaker, name));
    this.lanes = new Lanes(byId("canvas"), (speaker) => this.speakers.middle(speaker));
    this.view = new View(byId("spans"), byId("scrub"), byId("position"), byId("live"), byId("canvas"), () =>
      this.draw(),
    );
    this.turns = new Turns(byId("turns"), byId("turns-scroll"), (id) =>
      this.view.show(this.session.transcript.turns.get(id)),
    );
    this.announcer = new Announcer(byId("announce"));
    byId("canvas").addEventListener("click", (event) => {
      const id = this.lanes.at(event.offsetX, event.offsetY);
      if (id !== null) this.turns.reveal(id);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.lanes.readColors();
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(byId("lanes"));
  }

  /** Shows a session from its beginning; null clears the stage. */
  show(session) {
    this.session = session;
    for (const part of [this.speakers, this.turns, this.announcer, this.lanes, this.view]) part.clear();
    if (!session) return;
    showFacts(session);
    this.drawnAt = performance.now();
    this.#animate();
  }

  /** A message arrived; see Session. */
  changed({ message, ids, moved }) {
    const { transcript } = this.session;
    for (const [id, speaker] of moved) this.lanes.moved(id, speaker, message.type !== "turn" && speaker !== null);
    const revised = new Set(message.type === "revision" && message.from !== null ? moved.keys() : []);
    this.turns.update(transcript, message.type === "speaker" ? transcript.turns.keys() : ids, revised);
    this.announcer.update(transcript, ids);
    this.refresh();
  }

  /** The state changed. */
  refresh() {
    if (this.session.ended) this.view.ended();
    showFacts(this.session);
    this.#animate();
  }

  /** Draws the current state. */
  draw() {
    const { session } = this;
    if (!session) return;
    const now = performance.now();
    const time = session.time(Math.min(now - this.drawnAt, LONGEST_STEP_MS));
    this.drawnAt = now;
    const talking = session.talking();
    const { transcript, ended, source } = session;
    this.speakers.update(transcript, talking);
    this.#headline(transcript, talking, ended);
    byId("silence").hidden = transcript.talkers().length > 0;
    const [first, last] = this.view.range(time);
    this.lanes.draw(transcript.turns.values(), transcript.talkers(), first, last, ended ? null : time);
    setText(byId("clock"), clock(time) + (source.total && !ended ? ` of ${clock(source.total, false)}` : ""));
    this.#level();
    byId("light").className = `light ${ended ? "" : session.state} ${session.speaks ? "speech" : ""}`;
  }

  /** Redraws as long as anything moves. */
  #animate() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.draw();
      if (this.session && (!this.session.ended || this.lanes.busy)) this.#animate();
    });
  }

  #headline(transcript, talking, ended) {
    const people = transcript.talkers().filter((speaker) => speaker !== null);
    const names = people.filter((speaker) => talking.has(speaker)).map((speaker) => transcript.label(speaker));
    const nobody = talking.has(null) ? "Someone" : "Nobody right now";
    setText(byId("lanes-heading"), ended ? "Speakers in total" : "Speaking now");
    setText(byId("now"), ended ? count(people.length, "speaker") : listed(names) || nobody);
    byId("now").classList.toggle("nobody", !ended && names.length === 0);
  }

  #level() {
    const { levelDb } = this.session;
    byId("level").style.setProperty("--part", (1 - levelDb / QUIETEST_DB).toFixed(3));
    byId("level").classList.toggle("loud", levelDb > -1);
    byId("level").setAttribute("aria-valuenow", String(Math.round(levelDb)));
  }
}
