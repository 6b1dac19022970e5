// Type-checked, never run: how a program uses the package, and what the types refuse.

import { Connection, Edits, FORMATS, formatted, Transcript } from "../../clients/web/client/index.js";
import { numberOf, SendBuffer, sentence } from "../../clients/web/client/index.js";
import type { CloseCode, ServerMessage, Turn } from "../../clients/web/client/index.js";

const transcript = new Transcript();
const connection = new Connection("ws://127.0.0.1:8765/v1", { sample_rate: 48000, encoding: "pcm_f32le" }, {
  message(message: ServerMessage) {
    const changed: string[] = transcript.apply(message);
    if (message.type === "final") console.log(message.turns[0]?.speaker, message.rttm, changed);
    if (message.type === "revision") console.log(message.from, message.to, message.seq);
    // @ts-expect-error a turn has no rttm
    if (message.type === "turn") console.log(message.rttm);
  },
  state: (state, why) => console.log(state === "lost" ? why : ""),
});
connection.send(new Uint8Array(2));
connection.name("S1", null);
connection.name("S1", "Anna", true);
connection.ask({ type: "merge", speaker: "S2", into: "S1" });
const asked: number = connection.assign("T5", "new") + connection.merge("S3", "S1") + connection.undo();
for (const told of new Edits(transcript).ask({ type: "undo" })) transcript.apply(told);
const turns: Turn[] = transcript.at(connection.position + connection.waiting);
const code: CloseCode = 4400;
console.log(turns, code, asked, numberOf("S3"), sentence("text"), FORMATS.srt.ending, new SendBuffer(2).take(3)?.length);
console.log(formatted("srt", Transcript.from(transcript.toJSON()), { name: "talk" }));

// @ts-expect-error whose the turn is
connection.ask({ type: "assign", turn: "T5" });
// @ts-expect-error audio is bytes
connection.send("audio");
// @ts-expect-error no such field
new Connection("ws://127.0.0.1", { sample_rat: 1 }, { message() {}, state() {} });
// @ts-expect-error no such encoding
new Connection("ws://127.0.0.1", { encoding: "mp3" }, { message() {}, state() {} });
// @ts-expect-error no such format
formatted("doc", transcript, { name: "talk" });
