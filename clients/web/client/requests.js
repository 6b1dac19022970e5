// What was asked of the server and not answered yet: asked again on every new connection, done once.

export class Requests {
  constructor() {
    this.open = new Map(); // id -> message
    this.last = 0;
    this.answered = false; // by a server that knows corrections
  }

  /** The message with an id of its own: above all before it, those of earlier connections to the session included. */
  add(message) {
    this.last = Math.max(this.last + 1, Date.now());
    const request = { ...message, id: this.last };
    this.open.set(request.id, request);
    return request;
  }

  /** Takes a message of the server. */
  take(message) {
    if (message.type === "answer") this.open.delete(message.id);
    if (message.type === "speaker" && !this.answered) this.#named(message);
  }

  /** The message as this server understands it; a server of before knows names only. */
  worded({ id, take, ...message }) {
    if (this.answered) return take === undefined ? { ...message, id } : { ...message, take, id };
    return message.type === "name" ? message : null;
  }

  #named({ speaker, name }) {
    for (const [id, request] of this.open)
      if (request.type === "name" && request.speaker === speaker && request.name === name) this.open.delete(id);
  }
}
