// The last sessions with their audio, in the browser's own store (IndexedDB): nothing of it leaves this browser.

const NAME = "turnstream";
const VERSION = 1;
export const MOST_SESSIONS = 20;

export class Store {
  /** Opens it; null where the browser has none, as in some private windows. */
  static async open() {
    try {
      const opening = indexedDB.open(NAME, VERSION);
      opening.onupgradeneeded = () => {
        opening.result.createObjectStore("sessions", { keyPath: "id" });
        opening.result.createObjectStore("transcripts");
        opening.result.createObjectStore("audio");
      };
      return new Store(await answered(opening));
    } catch {
      return null;
    }
  }

  constructor(database) {
    this.database = database;
    database.onversionchange = () => database.close();
  }

  /** Summaries of all sessions, newest first. */
  async list() {
    const found = await answered(this.#table("sessions").getAll());
    return found.sort((a, b) => b.begun - a.begun);
  }

  /** {summary, transcript, chunks}; the summary is undefined for one that is not there. */
  async load(id) {
    const [summary, transcript, chunks] = await Promise.all([
      answered(this.#table("sessions").get(id)),
      answered(this.#table("transcripts").get(id)),
      answered(this.#table("audio").getAll(range(id))),
    ]);
    return { summary, transcript, chunks };
  }

  /** summary: {id, begun, ...}; transcript: what Transcript.toJSON gives. */
  async save(summary, transcript) {
    const work = this.database.transaction(["sessions", "transcripts"], "readwrite");
    work.objectStore("sessions").put(summary);
    work.objectStore("transcripts").put(transcript, summary.id);
    await done(work);
  }

  /** A piece of a session's audio. */
  async keep(id, index, chunk) {
    const work = this.database.transaction("audio", "readwrite");
    work.objectStore("audio").put(chunk, [id, index]);
    await done(work);
  }

  async delete(id) {
    const work = this.database.transaction(["sessions", "transcripts", "audio"], "readwrite");
    work.objectStore("sessions").delete(id);
    work.objectStore("transcripts").delete(id);
    work.objectStore("audio").delete(range(id));
    await done(work);
  }

  /** Deletes the oldest sessions beyond MOST_SESSIONS. */
  async trim() {
    for (const { id } of (await this.list()).slice(MOST_SESSIONS)) await this.delete(id);
  }

  #table(name) {
    return this.database.transaction(name).objectStore(name);
  }
}

function range(id) {
  return IDBKeyRange.bound([id], [id, []]);
}

function answered(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
}

function done(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}
