// What a program needs for a session on a turnstream server; see README.md.

export { Connection } from "./connection.js";
export { Edits } from "./edits.js";
export { FORMATS, formatted } from "./formats.js";
export { SendBuffer } from "./send-buffer.js";
export { numberOf, sentence } from "./text.js";
export { Transcript } from "./transcript.js";
