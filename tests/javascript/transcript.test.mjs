// The transcript: messages in, a table out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Transcript } from "../../clients/web/client/index.js";

const turn = (id, speaker, start, end, state = "committed") => ({
  ...{ type: "turn", id, speaker, name: null, start, end, committed: end, state },
});
const final = (duration, ...turns) => ({
  ...{ type: "final", reason: "stop", duration, turns, statistics: null, rttm: "" },
  speakers: [...new Set(turns.map(({ speaker }) => speaker))].map((speaker) => ({
    ...{ speaker, name: null, confidence: null },
    talk: turns.filter((one) => one.speaker === speaker).reduce((sum, { start, end }) => sum + end - start, 0),
  })),
});

function filled(...messages) {
  const transcript = new Transcript();
  for (const message of messages) transcript.apply(message);
  return transcript;
}

test("a revision moves turns and their seconds", () => {
  const revision = { type: "revision", turns: ["T1", "T9"], from: "S1", to: "S2", reason: "reassigned", at: 4 };
  const transcript = filled(turn("T1", "S1", 0, 2), turn("T2", "S1", 3, 4), revision);
  assert.deepEqual(
    transcript.inOrder().map(({ id, speaker, was }) => [id, speaker, was]),
    [
      ["T1", "S2", ["S1"]],
      ["T2", "S1", []],
    ],
  );
  assert.equal(transcript.talkOf("S2"), 2);
  assert.equal(transcript.corrections, 1);
  assert.deepEqual(transcript.apply(turn("T2", "S1", 3, 4, "retracted")), ["T2"]);
  assert.deepEqual(transcript.talkers(), ["S2"]);
});

test("what the final result gives to others counts as corrections, what it moves a little does not", () => {
  const live = [turn("T1", "S1", 0, 2), turn("T2", "S1", 3, 6), turn("T3", "S2", 6, 9), turn("T4", null, 9, 12)];
  const transcript = filled(
    ...live,
    final(12, turn("T1", "S1", 0, 2.4, "final"), turn("T2", "S2", 3, 8.9, "final"), turn("T4", "S1", 9, 12, "final")),
  );
  assert.equal(transcript.corrected, 1, "T2 became another's; T1, T3 and the unknown T4 did not");
  assert.equal(transcript.corrections, 1);
  assert.deepEqual(transcript.turns.get("T2").was, ["S1"]);
  assert.deepEqual(transcript.turns.get("T1").was, []);
  assert.equal(transcript.horizon, 12);
});

test("what was stored is the same transcript again", () => {
  const named = { type: "speaker", speaker: "S1", state: "named", name: "Anna", confidence: null, into: null, at: 1 };
  const live = filled(turn("T1", "S1", 0, 2), named, turn("T2", "S2", 3, 6, "provisional"));
  const ended = filled(turn("T1", "S2", 0, 2), named, final(6, turn("T1", "S1", 0, 2, "final")));
  for (const transcript of [live, ended]) {
    const again = Transcript.from(structuredClone(transcript.toJSON()));
    assert.deepEqual(again.toJSON(), transcript.toJSON());
    assert.deepEqual(again.talkers(), transcript.talkers());
    assert.equal(again.label("S1"), "Anna");
    assert.equal(again.talkOf("S1"), transcript.talkOf("S1"));
    assert.equal(again.corrections, transcript.corrections);
  }
});

test("the turns at a time", () => {
  const transcript = filled(turn("T1", "S1", 0, 2), turn("T2", "S2", 1.5, 3));
  const at = (time) => transcript.at(time).map(({ id }) => id);
  assert.deepEqual([at(1), at(1.6), at(2), at(3)], [["T1"], ["T1", "T2"], ["T2"], []]);
});
