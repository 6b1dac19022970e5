// The turns as text, in order of time, and their announcements for screen readers.

import { element, paint, setText } from "./elements.js";
import { clock, count, duration, look } from "./words.js";

const ANNOUNCE_MS = 1500;
const MOST_ANNOUNCED = 3;
const NEAR_END_PX = 60;

export class Turns {
  /** list: the <ol>; scroller: its scroll container; onGo(id): to a turn; onPlay(id): plays it, or pauses; onWho(id): it is another's. */
  constructor(list, scroller, { onGo, onPlay, onWho }) {
    Object.assign(this, { list, scroller, onGo, onPlay, onWho });
    this.rows = new Map(); // id -> {row, start, end, ...parts}
    this.current = new Set();
    list.addEventListener("click", ({ target }) => this.#clicked(target));
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focusin", ({ target }) => this.#tabStop(target.closest("li")));
  }

  clear() {
    this.list.replaceChildren();
    this.rows.clear();
    this.current.clear();
  }

  /** Shows what changed; `revised` is the set of ids that a revision just moved. Stays scrolled to the end. */
  update(transcript, ids, revised) {
    const { scroller } = this;
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END_PX;
    for (const id of ids) {
      const turn = transcript.turns.get(id);
      if (turn) this.#put(turn, transcript, revised.has(id));
      else this.#remove(id);
    }
    this.#offer();
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  /** Scrolls a turn into view and points at it. */
  reveal(id) {
    const row = this.rows.get(id)?.row;
    if (!row) return;
    this.#intoView(row);
    restart(row, "chosen");
  }

  /** Scrolls to the first turn that is not over at a time in seconds. */
  scrollTo(time) {
    const row = this.#at(time);
    if (row) this.scroller.scrollTop = row.offsetTop;
  }

  /** Shows that turn, in the middle unless it can be seen already. */
  show(time) {
    const { scroller } = this;
    const row = this.#at(time);
    if (!row) return;
    const top = row.offsetTop - scroller.scrollTop;
    if (top >= 0 && top + row.offsetHeight <= scroller.clientHeight) return;
    scroller.scrollTop = row.offsetTop - (scroller.clientHeight - row.offsetHeight) / 2;
  }

  #at(time) {
    const rows = [...this.list.children];
    return rows.find((row) => this.rows.get(row.dataset.id).end > time) ?? rows.at(-1);
  }

  /** Marks the turns at the time that the user went to; scrolls along while they are `playing`. */
  mark(ids, playing) {
    this.list.classList.toggle("playing", playing);
    const now = new Set(ids);
    if (now.size === this.current.size && ids.every((id) => this.current.has(id))) return;
    for (const id of this.current) this.#setCurrent(id, false);
    for (const id of now) this.#setCurrent(id, true);
    this.current = now;
    this.#offer();
    const row = this.rows.get(ids.at(-1))?.row;
    if (row && playing) this.#intoView(row);
  }

  #setCurrent(id, current) {
    const row = this.rows.get(id)?.row;
    row?.classList.toggle("current", current);
    if (current) row?.setAttribute("aria-current", "true");
    else row?.removeAttribute("aria-current");
  }

  #clicked(target) {
    const id = target.closest("li")?.dataset.id;
    if (id === undefined) return;
    if (target.closest(".turn-name")) this.onWho(id);
    else if (target.closest("button")) this.onPlay(id);
    else this.onGo(id);
  }

  /** One turn is a tab stop, for playing and for correcting it; the arrow keys go on from it. */
  #key(event) {
    const row = event.target.closest("li");
    const to = {
      ArrowDown: row?.nextElementSibling,
      ArrowUp: row?.previousElementSibling,
      Home: this.list.firstElementChild,
      End: this.list.lastElementChild,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    this.#tabStop(to).focus({ preventScroll: true });
    this.#intoView(to);
    this.onGo(to.dataset.id);
  }

  /** The tab key leads to the present turn, else to the first one; not away from where the focus is. */
  #offer() {
    const row = this.list.querySelector(".current") ?? this.list.firstElementChild;
    if (row && !this.list.contains(document.activeElement)) this.#tabStop(row);
  }

  #tabStop(row) {
    for (const button of this.list.querySelectorAll('button[tabindex="0"]')) button.tabIndex = -1;
    const buttons = row.querySelectorAll("button");
    for (const button of buttons) button.tabIndex = 0;
    return buttons[0];
  }

  /** Scrolls the list alone, never the page. */
  #intoView(row) {
    const { scroller } = this;
    const below = row.offsetTop + row.offsetHeight - scroller.clientHeight;
    scroller.scrollTop = Math.min(Math.max(scroller.scrollTop, below), row.offsetTop);
  }

  #put(turn, transcript, revised) {
    const parts = this.rows.get(turn.id) ?? this.#make(turn.id);
    this.#place(turn, parts);
    parts.end = turn.end;
    parts.play.setAttribute("aria-label", `Play ${transcript.label(turn.speaker)} at ${clock(turn.start)}`);
    paint(parts.mark, look(turn.speaker));
    setText(parts.time, `${clock(turn.start)} – ${clock(turn.end)}`);
    setText(parts.name, transcript.label(turn.speaker));
    parts.name.setAttribute("aria-label", `${transcript.label(turn.speaker)} at ${clock(turn.start)}: say who this is`);
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
      play: element("button", { type: "button", className: "play small-play", tabIndex: -1 }),
      mark: part("i", "swatch"),
      time: part("span", "time"),
      name: element("button", { type: "button", className: "turn-name", title: "This is …", tabIndex: -1 }),
      length: part("span", "length"),
      note: part("span", "note"),
    };
    parts.row = element("li", {}, parts.play, parts.time, parts.mark, parts.name, parts.note, parts.length);
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
    this.current.delete(id);
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
