// Corrections by the user: what can be chosen, what is asked of the session, and what becomes of it.

import { byId } from "./elements.js";
import { sentence } from "./client/index.js";
import { notice } from "./notice.js";
import { pick } from "./pick.js";
import { clock } from "./words.js";

const NEW = "new";
const MERGE = "merge";
const TAKE = "take";

export class Correcting {
  constructor() {
    this.session = null;
    byId("undo").addEventListener("click", () => this.undo());
    addEventListener("keydown", (event) => this.#key(event));
  }

  /** The session to correct from now on, or null. */
  show(session) {
    this.session = session;
    this.refresh();
  }

  /** Shows whether there is anything to take back. */
  refresh() {
    byId("undo").hidden = !this.session?.corrected;
  }

  name(speaker, name) {
    this.session.ask({ type: "name", speaker, name });
  }

  /** Asks with whom a speaker is one person. */
  async merge(speaker) {
    const { session } = this;
    const { transcript } = session;
    const into = await pick(`${transcript.label(speaker)} is the same person as …`, this.#people(speaker));
    if (into !== null && session === this.session) session.ask({ type: "merge", speaker, into });
  }

  /** Asks whose a turn is. */
  async assign(id) {
    const { session } = this;
    const turn = session.transcript.turns.get(id);
    if (!turn) return;
    const choices = [...this.#people(turn.speaker), { value: NEW, label: "Someone new" }];
    const question = `At ${clock(turn.start)}, ${session.transcript.label(turn.speaker)} is really …`;
    const speaker = await pick(question, choices);
    if (speaker !== null && session === this.session) session.ask({ type: "assign", turn: id, speaker });
  }

  undo() {
    if (this.session) this.session.ask({ type: "undo" });
  }

  /** What became of something that was asked on this page. */
  answered({ code, message, speaker }, request) {
    if (code === "name_in_use") this.#offer(request, speaker);
    else if (code !== null && code !== "nothing_to_undo") notice(sentence(message));
  }

  /** A name has to be one speaker's: they may be one person, or the name was somebody else's by mistake. */
  async #offer({ speaker, name }, holder) {
    const { session } = this;
    const who = session.transcript.label(speaker);
    const choice = await pick(`${name} is ${holder}’s name already. Merge ${who} into ${name}?`, [
      { value: MERGE, label: `Yes, both are ${name}` },
      { value: TAKE, label: `No, ${who} is ${name}, and ${holder} is not` },
    ]);
    if (session !== this.session) return;
    if (choice === MERGE) session.ask({ type: "merge", speaker, into: holder });
    if (choice === TAKE) session.ask({ type: "name", speaker, name, take: true });
  }

  #people(except) {
    const { transcript } = this.session;
    const others = transcript.talkers().filter((speaker) => speaker !== null && speaker !== except);
    return others.map((speaker) => ({ value: speaker, label: transcript.label(speaker), speaker }));
  }

  #key(event) {
    if (event.key?.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    if (!this.session || event.target.closest?.("input:not([type=range], [type=radio]), dialog")) return;
    event.preventDefault();
    this.undo();
  }
}
