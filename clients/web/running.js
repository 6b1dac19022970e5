// Which session this tab is in, in the browser's session storage, so that a reloaded tab comes back to it.

const KEY = "turnstream.running";
const GIVE_UP_MS = 1000; // a tab that is being reloaded gives it up at once

/** note: {id, kept, session, options, source, begun}: `id` in the store, `session` on the server, `begun` in ms. */
export function remember(note) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(note));
  } catch {
    // a browser that keeps nothing cannot come back
  }
}

export function forget() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // nothing was kept
  }
}

/** What was remembered, unless another tab is in that session: a duplicated tab has a copy. null: nothing. */
export async function remembered() {
  try {
    const note = JSON.parse(sessionStorage.getItem(KEY));
    if (note === null || (await claim(note.id))) return note;
    forget();
    return null;
  } catch {
    return null;
  }
}

/** Claims a session for this tab until it is closed. False if another tab has it, and does not give it up soon. */
export async function claim(id) {
  if (!navigator.locks) return true;
  return new Promise((answer) => {
    const hold = () => {
      answer(true);
      return new Promise(() => {});
    };
    const options = { signal: AbortSignal.timeout(GIVE_UP_MS) };
    navigator.locks.request(`turnstream ${id}`, options, hold).catch(() => answer(false));
  });
}
