// What the user asked of a session: its server does it, or, once it is over, the page itself.

import { Edits } from "./client/index.js";

export class Asked {
  /** session: with `transcript` and `on.change`; connection: to the server, null where there is none any more. */
  constructor(session, connection) {
    Object.assign(this, { session, connection });
    this.edits = new Edits(session.transcript);
    this.requests = new Map(); // id -> request, of those that this page waits for
    this.stands = 0; // corrections that the server made and did not take back
  }

  /** How many corrections can be taken back. */
  get count() {
    return this.session.ended ? this.edits.count : this.stands;
  }

  /** Asks for a name or a correction; a change with its `answer` follows. */
  ask(request) {
    if (!this.session.ended) {
      this.requests.set(this.connection.ask(request), request);
      return;
    }
    for (const message of this.edits.ask(request)) this.apply(message, request);
  }

  /** An answer of the server: the request of this page that it is about. */
  take({ id, request, code }) {
    if (code === null) this.stands += { merge: 1, assign: 1, undo: -1 }[request] ?? 0;
    const mine = this.requests.get(id);
    this.requests.delete(id);
    return mine;
  }

  /** Applies a message and tells the page. */
  apply(message, request) {
    const { transcript, on } = this.session;
    const affected = message.type === "revision" ? message.turns : [];
    const before = new Map(affected.map((id) => [id, transcript.turns.get(id)?.speaker]));
    const ids = transcript.apply(message);
    on.change({ message, request, ids, moved: new Map(ids.map((id) => [id, before.get(id)])) });
  }
}
