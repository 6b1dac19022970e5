// Corrections of a transcript that is over.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Edits, formatted, Transcript } from "../../clients/web/client/index.js";

function over() {
  const transcript = new Transcript();
  const turn = (id, speaker, start, end) => ({ id, speaker, name: null, start, end, committed: end, state: "final" });
  const turns = [turn("T1", "S1", 0, 2), turn("T2", "S2", 2, 5), turn("T3", "S3", 5, 6), turn("T4", null, 6, 7)];
  const speakers = turns.map(({ speaker, start, end }) => ({ speaker, name: null, confidence: null, talk: end - start + 4e-4 }));
  transcript.apply({ type: "final", reason: "stop", duration: 7, turns, speakers, statistics: null, rttm: "" });
  const edits = new Edits(transcript);
  const ask = (type, fields = {}) => {
    const messages = edits.ask({ type, ...fields });
    for (const message of messages) transcript.apply(message);
    return messages.at(-1);
  };
  return { transcript, edits, ask };
}

const whose = ({ transcript }) => transcript.inOrder().map(({ speaker }) => speaker);
const talks = ({ transcript }) => Object.fromEntries(transcript.final.speakers.map(({ speaker, talk }) => [speaker, talk]));

test("merged speakers are one, with the name that one of them has, and two again", () => {
  const one = over();
  one.ask("name", { speaker: "S3", name: "Carl" });
  assert.equal(one.ask("merge", { speaker: "S3", into: "S1" }).code, null);
  assert.deepEqual(whose(one), ["S1", "S2", "S1", null]);
  assert.deepEqual(talks(one), { S1: 3, S2: 3, null: 1 });
  assert.deepEqual([one.transcript.label("S1"), one.transcript.speakers.get("S3").into], ["Carl", "S1"]);
  assert.match(formatted("rttm", one.transcript, { name: "x" }), /5.000 1.000 <NA> <NA> Carl/);
  assert.equal(one.edits.count, 1);
  one.ask("undo");
  assert.deepEqual(whose(one), ["S1", "S2", "S3", null]);
  assert.deepEqual([one.transcript.label("S1"), one.transcript.label("S3")], ["S1", "Carl"]);
  assert.deepEqual(talks(one), { S1: 2, S2: 3, S3: 1, null: 1 });
  assert.equal(one.transcript.corrections, 0);
});

test("a turn is another's, or somebody's who was not there", () => {
  const one = over();
  assert.equal(one.ask("assign", { turn: "T4", speaker: "S2" }).speaker, "S2");
  assert.equal(one.ask("assign", { turn: "T1", speaker: "new" }).speaker, "S4");
  assert.deepEqual(whose(one), ["S4", "S2", "S3", "S2"]);
  assert.deepEqual(one.transcript.talkers(), ["S2", "S3", "S4"]);
  one.ask("undo");
  one.ask("undo");
  assert.deepEqual(whose(one), ["S1", "S2", "S3", null]);
  assert.equal(one.ask("undo").code, "nothing_to_undo");
});

test("what cannot be is refused, and a name in use says whose it is", () => {
  const one = over();
  one.ask("name", { speaker: "S1", name: "Anna" });
  const { code, speaker } = one.ask("name", { speaker: "S2", name: "ANNA" });
  assert.deepEqual([code, speaker, one.transcript.label("S2")], ["name_in_use", "S1", "S2"]);
  one.ask("name", { speaker: "S2", name: "ANNA", take: true });
  assert.deepEqual([one.transcript.label("S1"), one.transcript.label("S2")], ["S1", "ANNA"]);
  assert.equal(one.ask("merge", { speaker: "S1", into: "S1" }).code, "same_speaker");
  assert.equal(one.ask("merge", { speaker: "S9", into: "S1" }).code, "unknown_speaker");
  assert.equal(one.ask("assign", { turn: "T9", speaker: "S1" }).code, "unknown_turn");
  assert.deepEqual(whose(one), ["S1", "S2", "S3", null]);
});
