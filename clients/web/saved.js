// The list of the last sessions on the first page.

import { ask } from "./ask.js";
import { byId, element, setText } from "./elements.js";
import { MOST_SESSIONS } from "./store.js";
import { clock, day, listed, size } from "./words.js";

const MOST_NAMES = 4;

export class Saved {
  /** onOpen(id): the user chose a session. */
  constructor(onOpen) {
    this.onOpen = onOpen;
    byId("delete-all").addEventListener("click", () => this.#deleteAll());
  }

  /** Shows what is in the store; null has nothing. */
  async show(store) {
    this.store = store;
    const summaries = (await store?.list().catch(() => [])) ?? [];
    byId("saved").hidden = summaries.length === 0;
    byId("saved-list").replaceChildren(...summaries.map((summary) => this.#row(summary)));
    const bytes = summaries.reduce((sum, summary) => sum + summary.bytes, 0);
    setText(byId("saved-hint"), `Up to ${MOST_SESSIONS} sessions are kept in this browser alone, now ${size(bytes)}.`);
    byId("delete-all").hidden = summaries.length < 2;
  }

  #row(summary) {
    const { id, begun, source, duration, speakers, complete } = summary;
    const title = element("span", { className: "saved-title", textContent: source.name ?? "Microphone" });
    const names = speakers.length > MOST_NAMES ? `${speakers.length} speakers` : listed(speakers) || "nobody spoke";
    const parts = [day(begun), clock(duration, false), complete ? names : `${names}, ended early`];
    const facts = element("span", { className: "saved-facts", textContent: parts.join(" · ") });
    const open = element("button", { type: "button", className: "saved-open" }, title, facts);
    open.addEventListener("click", () => this.onOpen(id));
    const remove = element("button", { type: "button", className: "remove" });
    remove.setAttribute("aria-label", `Delete ${title.textContent}, ${day(begun)}`);
    remove.addEventListener("click", () => this.#delete(id, title.textContent));
    return element("li", {}, open, remove);
  }

  async #delete(id, title) {
    const gone = "Its turns, names and audio are deleted from this browser.";
    if (!(await ask(`Delete ${title}?`, gone, "Delete"))) return;
    await this.store.delete(id);
    await this.#shown();
  }

  async #deleteAll() {
    const gone = "Their turns, names and audio are deleted from this browser.";
    if (!(await ask("Delete all sessions?", gone, "Delete all"))) return;
    for (const { id } of await this.store.list()) await this.store.delete(id);
    await this.#shown();
  }

  /** Shows the list again, with the focus on something that is still there. */
  async #shown() {
    await this.show(this.store);
    (byId("saved-list").querySelector("button") ?? byId("listen")).focus();
  }
}
