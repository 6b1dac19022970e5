// Corrections of a transcript that is over: the messages a server would send, and the way back.

export class Edits {
  constructor(transcript) {
    this.transcript = transcript;
    this.done = []; // for each correction, the messages that take it back
  }

  /** How many corrections can be taken back. */
  get count() {
    return this.done.length;
  }

  /** What changes by a request (`name`, `merge`, `assign` or `undo`, as for the server): messages, the answer last. */
  ask(request) {
    const refusal = this.#refusal(request);
    const answer = { type: "answer", id: null, request: request.type, code: null, message: null, speaker: null };
    if (refusal) return [{ ...answer, ...refusal }];
    const messages = this.#changes(request);
    const { to: speaker = null } = messages.find(({ type }) => type === "revision") ?? {};
    return [...messages, { ...answer, speaker }];
  }

  #changes(request) {
    switch (request.type) {
      case "name":
        return this.#name(request);
      case "merge":
        return this.#merge(request);
      case "assign":
        return this.#assign(request);
      default:
        return this.done.pop();
    }
  }

  #name({ speaker, name }) {
    const holder = this.#holder(speaker, name);
    return [...(holder === null ? [] : [this.#named(holder, null)]), this.#named(speaker, name)];
  }

  #merge({ speaker, into }) {
    const { speakers } = this.transcript;
    const [gone, kept] = [speaker, into].map((id) => speakers.get(id)?.name ?? null);
    const names = gone ? [this.#named(speaker, null), ...(kept ? [] : [this.#named(into, gone)])] : [];
    const back = gone ? [...(kept ? [] : [this.#named(into, null)]), this.#named(speaker, gone)] : [];
    const moved = this.#moved(this.#turnsOf(speaker), speaker, into, [this.#speaker(speaker, "appeared"), ...back]);
    return [...moved, this.#speaker(speaker, "merged", { into }), ...names];
  }

  #assign({ turn, speaker }) {
    const to = speaker === "new" ? this.#newcomer() : speaker;
    const from = this.transcript.turns.get(turn).speaker;
    const appeared = speaker === "new" ? [this.#speaker(to, "appeared")] : [];
    return from === to ? [] : [...appeared, ...this.#moved([turn], from, to)];
  }

  #refusal({ type, speaker, into, turn, name, take }) {
    const { speakers, turns } = this.transcript;
    const unknown = [speaker, into].find((id) => id !== undefined && id !== "new" && !speakers.has(id));
    if (unknown) return { code: "unknown_speaker", message: `expected a speaker of this session, got ${unknown}` };
    if (type === "merge" && speaker === into)
      return { code: "same_speaker", message: `expected two speakers, got ${into} twice` };
    if (type === "assign" && !turns.has(turn))
      return { code: "unknown_turn", message: `expected a turn of this session, got ${turn}` };
    if (type === "undo" && this.done.length === 0)
      return { code: "nothing_to_undo", message: "expected a correction to undo, got none" };
    const holder = type === "name" && !take ? this.#holder(speaker, name) : null;
    return holder && { code: "name_in_use", message: `${holder} is called ${name} already`, speaker: holder };
  }

  #holder(speaker, name) {
    const same = (other) => other.id !== speaker && other.name && key(other.name) === key(name);
    return (name && [...this.transcript.speakers.values()].find(same)?.id) || null;
  }

  #turnsOf(speaker) {
    return this.transcript
      .inOrder()
      .filter((turn) => turn.speaker === speaker)
      .map(({ id }) => id);
  }

  #newcomer() {
    const numbers = [...this.transcript.speakers.keys()].map((id) => Number(id.slice(1)));
    return `S${Math.max(0, ...numbers) + 1}`;
  }

  #moved(turns, from, to, more = []) {
    const revision = { type: "revision", reason: "corrected", at: this.transcript.horizon, turns };
    this.done.push([{ ...revision, from: to, to: from }, ...more]);
    return [{ ...revision, from, to }];
  }

  #named(speaker, name) {
    return this.#speaker(speaker, "named", { name });
  }

  #speaker(speaker, state, more = {}) {
    const { horizon } = this.transcript;
    return { type: "speaker", speaker, state, name: null, confidence: null, into: null, at: horizon, ...more };
  }
}

function key(name) {
  return name.normalize("NFKC").toLowerCase().replace(/[\s_]+/g, "_");
}
