// The files that a transcript is written as.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMATS, formatted, Transcript } from "../../clients/web/client/index.js";

const transcript = new Transcript();
for (const [id, speaker, start, end] of [
  ["T2", "S2", 3661.5, 3662.25],
  ["T1", "S1", 0.25, 2],
  ["T3", null, 2.0001, 2.0004],
  ["T4", null, 4, 5],
])
  transcript.apply({ type: "turn", id, speaker, name: null, start, end, committed: end, state: "committed" });
transcript.apply({ type: "speaker", speaker: "S1", state: "named", name: 'Anna "A" <B>', confidence: null });

const EXPECTED = {
  rttm:
    'SPEAKER my_talk 1 0.250 1.750 <NA> <NA> Anna_"A"_<B> <NA> <NA>\n' +
    "SPEAKER my_talk 1 4.000 1.000 <NA> <NA> unknown <NA> <NA>\n" +
    "SPEAKER my_talk 1 3661.500 0.750 <NA> <NA> S2 <NA> <NA>\n",
  srt:
    '1\n00:00:00,250 --> 00:00:02,000\nAnna "A" <B>\n\n2\n00:00:04,000 --> 00:00:05,000\nunknown\n\n' +
    "3\n01:01:01,500 --> 01:01:02,250\nS2\n",
  vtt:
    'WEBVTT\n\n00:00:00.250 --> 00:00:02.000\n<v Anna "A" &lt;B&gt;>Anna "A" &lt;B&gt;\n\n' +
    "00:00:04.000 --> 00:00:05.000\n<v unknown>unknown\n\n01:01:01.500 --> 01:01:02.250\n<v S2>S2\n",
  csv:
    'start,end,speaker,text\r\n0.250,2.000,"Anna ""A"" <B>",\r\n4.000,5.000,unknown,\r\n' +
    "3661.500,3662.250,S2,\r\n",
  txt: '[00:00:00] Anna "A" <B>\n[00:00:04] unknown\n[01:01:01] S2\n',
  audacity: '0.250000\t2.000000\tAnna "A" <B>\n4.000000\t5.000000\tunknown\n3661.500000\t3662.250000\tS2\n',
};

for (const [format, text] of Object.entries(EXPECTED))
  test(format, () => assert.equal(formatted(format, transcript, { name: "my talk" }), text));

test("json holds every turn and says that it is not complete", () => {
  const all = JSON.parse(formatted("json", transcript, { name: "my talk", title: "my talk.wav" }));
  assert.equal(all.complete, false);
  assert.equal(all.source, "my talk.wav");
  assert.deepEqual(
    all.turns.map(({ id, name }) => [id, name]),
    [
      ["T1", 'Anna "A" <B>'],
      ["T3", null],
      ["T4", null],
      ["T2", null],
    ],
  );
});

test("every format is written", () => {
  assert.deepEqual(Object.keys(FORMATS).sort(), [...Object.keys(EXPECTED), "json"].sort());
});
