// The speakers next to their lanes: who, how long they talked, and a field to name them.

import { element, paint, setText } from "./elements.js";
import { duration, look } from "./words.js";

const LONGEST_NAME = 64;

export class Speakers {
  /**
   * list: the <ol>; onName(speaker, name or null); onHear(speaker): plays something of them; onMerge(speaker): they are
   * one person with another one.
   */
  constructor(list, { onName, onHear, onMerge }) {
    Object.assign(this, { list, onName, onHear, onMerge });
    this.rows = new Map(); // speaker -> {row, lane, name, merge, hear, talk, bar}
  }

  clear() {
    this.list.replaceChildren();
    this.rows.clear();
  }

  /** The middle of a speaker's lane, in pixels from the top of the list's container; the last one for unlisted ones. */
  middle(speaker) {
    const { row, lane } = this.rows.get(speaker) ?? [...this.rows.values()].at(-1) ?? {};
    return row ? row.offsetTop + lane.offsetTop + lane.offsetHeight / 2 : 0;
  }

  /**
   * Shows the speakers who have turns; `talking` is the set of those talking now, `able` whether they can be heard
   * again. True if the rows changed.
   */
  update(transcript, talking, able) {
    const wanted = transcript.talkers();
    const changed = this.#arrange(wanted);
    const most = Math.max(...wanted.map((speaker) => transcript.talkOf(speaker)), 1e-6);
    const all = wanted.reduce((sum, speaker) => sum + transcript.talkOf(speaker), 0) || 1;
    for (const speaker of wanted) {
      this.#show(speaker, transcript, talking.has(speaker), most, all);
      this.rows.get(speaker).hear.hidden = !able;
      this.rows.get(speaker).merge.hidden = speaker === null || wanted.filter((one) => one !== null).length < 2;
    }
    return changed;
  }

  #arrange(wanted) {
    const shown = [...this.rows.keys()];
    if (shown.length === wanted.length && wanted.every((speaker, i) => speaker === shown[i])) return false;
    const before = this.rows;
    this.rows = new Map(wanted.map((speaker) => [speaker, before.get(speaker) ?? this.#make(speaker)]));
    for (const [speaker, { row }] of before) if (!this.rows.has(speaker)) row.remove();
    wanted.forEach((speaker, i) => {
      const { row } = this.rows.get(speaker);
      if (this.list.children[i] !== row) this.list.insertBefore(row, this.list.children[i] ?? null);
    });
    return true;
  }

  #make(speaker) {
    const mark = element("i", { className: "swatch" });
    paint(mark, look(speaker));
    const name = element(speaker === null ? "span" : "button", { className: "name" });
    if (speaker !== null) {
      name.type = "button";
      name.addEventListener("click", () => this.#edit(speaker));
    }
    const hear = element("button", { type: "button", className: "play small-play" });
    hear.addEventListener("click", () => this.onHear(speaker));
    const merge = element("button", { type: "button", className: "play small-play merge" });
    merge.addEventListener("click", () => this.onMerge(speaker));
    const talk = element("span", { className: "talk" });
    const bar = element("i", { className: "share" });
    paint(bar, look(speaker));
    const who = element("div", { className: "who" }, name, merge, hear, talk, bar);
    const lane = element("span", { className: "lane" });
    const row = element("li", { className: "speaker" }, mark, who, lane);
    row.dataset.speaker = speaker ?? "";
    return { row, lane, name, merge, hear, talk, bar };
  }

  #show(speaker, transcript, talks, most, all) {
    const { row, name, merge, hear, talk, bar } = this.rows.get(speaker);
    const label = transcript.label(speaker);
    setText(name, label);
    hear.setAttribute("aria-label", `Hear ${label}`);
    merge.setAttribute("aria-label", `Merge ${label} into another speaker`);
    merge.title = `Merge ${label} into …`;
    if (speaker !== null) name.setAttribute("aria-label", `${label}: name this speaker`);
    const seconds = transcript.talkOf(speaker);
    setText(talk, `${duration(seconds)} · ${Math.round((100 * seconds) / all)} %`);
    bar.style.setProperty("--share", String(seconds / most));
    row.classList.toggle("talking", talks);
    row.classList.toggle("named", label !== speaker);
  }

  #edit(speaker) {
    const { row, name } = this.rows.get(speaker);
    const given = name.textContent === speaker ? "" : name.textContent;
    const field = element("input", { value: given, maxLength: LONGEST_NAME, placeholder: `Name of ${speaker}` });
    field.setAttribute("aria-label", `Name of ${speaker}`);
    field.autocomplete = "off";
    const form = element("form", { className: "rename" }, field, element("button", { textContent: "Save" }));
    let open = true;
    const close = (save) => {
      if (!open) return;
      open = false;
      const text = printable(field.value);
      form.replaceWith(name);
      row.classList.remove("editing");
      if (save && text !== given) this.onName(speaker, text || null);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close(true);
      name.focus();
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      close(false);
      name.focus();
    });
    form.addEventListener("focusout", (event) => form.contains(event.relatedTarget) || close(true));
    name.replaceWith(form);
    row.classList.add("editing");
    field.focus();
    field.select();
  }
}

/** The text as a valid name: no control characters, no spaces at the ends. */
function printable(text) {
  return text
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "")
    .replace(/\p{Zs}/gu, " ")
    .trim();
}
