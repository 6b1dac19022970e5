// Keeps one session in the store while it goes on, so that neither a reload nor a crash loses it.

const SAVE_MS = 3000;

export class Keeper {
  /**
   * store: a Store, or null to keep nothing; onFull(): called once if the browser has no room for more; summary: of a
   * session that was kept before.
   */
  constructor(store, onFull, summary = null) {
    this.store = store;
    this.onFull = onFull;
    this.id = summary?.id ?? `${Date.now()}-${Math.random().toString(36).slice(2, 10)}`;
    this.begun = summary?.begun ?? Date.now();
    this.full = false;
    this.saved = false; // all of the present state is in the store
    this.changes = 0;
    this.waiting = Promise.resolve();
  }

  /** Keeps a piece of audio; of a Tape. */
  audio(index, chunk) {
    this.#work(() => this.store.keep(this.id, index, chunk));
  }

  /** Something changed: saves soon. */
  changed(session) {
    this.saved = false;
    this.changes += 1;
    this.timer ??= setTimeout(() => this.save(session), SAVE_MS);
  }

  /** Saves now. Resolves once that is done, or has failed. */
  save(session) {
    clearTimeout(this.timer);
    this.timer = undefined;
    return this.#work(async () => {
      const { changes } = this;
      await this.store.save(this.#summary(session), session.transcript.toJSON());
      this.saved = changes === this.changes;
    });
  }

  #summary({ transcript, source, started, tape }) {
    const people = transcript.talkers().filter((speaker) => speaker !== null);
    return {
      id: this.id,
      begun: this.begun,
      source: { title: source.title, name: source.name, live: source.live, rate: source.rate },
      started: started && { config: started.config, model: started.model },
      duration: transcript.horizon,
      speakers: people.map((speaker) => transcript.label(speaker)),
      complete: transcript.final !== null,
      bytes: tape.bytes,
    };
  }

  /** Works one after another; the first that fails is the last. */
  #work(task) {
    this.waiting = this.waiting
      .then(() => this.store && task())
      .catch(() => {
        this.store = null;
        this.saved = false;
        this.full = true;
        this.onFull();
      });
    return this.waiting;
  }
}
