// Small words of the protocol that several files need.

/** Number of a speaker or turn, 3 for `S3`; 0 for the unknown speaker (null). */
export function numberOf(id) {
  return id === null ? 0 : Number(id.slice(1));
}

/** A message from the server as a sentence: `Expected a token.` for `expected a token`. */
export function sentence(text) {
  return text && text[0].toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");
}
