// The turns as text, in order of time, and their announcements for screen readers.

import { element, paint, setText } from "./elements.js";
import { clock, count, duration, look } from "./words.js";

const ANNOUNCE_MS = 1500;
const MOST_ANNOUNCED = 3;
const NEAR_END_PX = 60;

export class Turns {
  /** list: the <ol>; scroller: its scroll container; onChoose(id): called when a turn is clicked. */
  constructor(list, scroller, onChoose) {
    this.list = list;
    this.scroller = scroller;
    this.rows = new Map(); // id -> {row, start, ...parts}
    list.addEventListener("click", (event) => {
      const row = event.target.closest("li");
      if (row) onChoose(row.dataset.id);
    });
  }

  clear() {
    this.list.replaceChildren();
    this.rows.clear();
  }

  /** Shows what changed; `revised` is the set of ids that a revision just moved. Stays scrolled to the end. */
  update(transcript, ids, revised) {
    const { scroller } = this;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END_PX;
    for (const id of ids) {
      const turn = transcript.turns.get(id);
      if (turn) this.#show(turn, transcript, revised.has(id));
      else this.#remove(id);
    }
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  /** Scrolls a turn into view. */
  reveal(id) {
    const row = this.rows.get(id)?.row;
    if (!row) return;
    row.scrollIntoView({ block: "nearest" });
    restart(row, "chosen");
  }

  #show(turn, transcript, revised) {
    const parts = this.rows.get(turn.id) ?? this.#make(turn.id);
    this.#place(turn, parts);
    paint(parts.mark, look(turn.speaker));
    setText(parts.time, `${clock(turn.start)} – ${clock(turn.end)}`);
    setText(parts.name, transcript.label(turn.speaker));
    setText(parts.length, duration(turn.end - turn.start));
    const others = [...new Set(turn.was)].filter((speaker) => speaker !== null && speaker !== turn.speaker);
    const was = others.length ? `was ${others.map((speaker) => transcript.label(speaker)).join(", ")}` : "";
    setText(parts.note, turn.state === "provisional" ? "provisional" : was);
    parts.row.classList.toggle("provisional", turn.state === "provisional");
    if (revised) restart(parts.row, "revised");
  }

  #make(id) {
    const part = (tag, className) => element(tag, { className });
    const parts = {
      mark: part("i", "swatch"),
      time: part("span", "time"),
      name: part("span", "turn-name"),
      length: part("span", "length"),
      note: part("span", "note"),
    };
    parts.row = element("li", {}, parts.time, parts.mark, parts.name, parts.note, parts.length);
    parts.row.dataset.id = id;
    this.rows.set(id, parts);
    return parts;
  }

  /** Keeps rows in order of start; nearly always the row belongs at the end or stays. */
  #place(turn, parts) {
    if (parts.start === turn.start && parts.row.parentNode) return;
    parts.start = turn.start;
    let after = this.list.lastElementChild;
    while (after && (after === parts.row || this.rows.get(after.dataset.id).start > turn.start))
      after = after.previousElementSibling;
    const next = after ? after.nextElementSibling : this.list.firstElementChild;
    if (next !== parts.row) this.list.insertBefore(parts.row, next);
  }

  #remove(id) {
    this.rows.get(id)?.row.remove();
    this.rows.delete(id);
  }
}

/** Announces newly committed turns in a live region, a few at a time and not too often. */
export class Announcer {
  constructor(region) {
    this.region = region;
    this.announced = new Set();
    this.waiting = [];
  }

  clear() {
    this.announced.clear();
    this.waiting = [];
    this.region.replaceChildren();
  }

  update(transcript, ids) {
    for (const id of ids) {
      const turn = transcript.turns.get(id);
      if (!turn || turn.state !== "committed" || this.announced.has(id)) continue;
      this.announced.add(id);
      this.waiting.push(id);
    }
    if (this.waiting.length) this.timer ??= setTimeout(() => this.#announce(transcript), ANNOUNCE_MS);
  }

  #announce(transcript) {
    this.timer = undefined;
    const turns = this.waiting.map((id) => transcript.turns.get(id)).filter(Boolean);
    const newest = turns.slice(-MOST_ANNOUNCED);
    const sentences = newest.map((t) => `${transcript.label(t.speaker)}, ${clock(t.start)} to ${clock(t.end)}.`);
    if (turns.length > newest.length) sentences.unshift(`${count(turns.length, "turn")}; the latest:`);
    this.region.replaceChildren(element("p", { textContent: sentences.join(" ") }));
    this.waiting = [];
  }
}

/** Restarts the animation of a class. */
function restart(row, name) {
  row.classList.remove(name);
  void row.offsetWidth;
  row.classList.add(name);
}
