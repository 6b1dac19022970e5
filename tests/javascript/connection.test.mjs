// Whole sessions on a real server, whose address is in $TURNSTREAM_URL, with the audio in $TURNSTREAM_PCM (16 kHz).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Connection, formatted, Transcript } from "../../clients/web/client/index.js";

const { TURNSTREAM_URL: url, TURNSTREAM_PCM: path } = process.env;
const audio = new Uint8Array(await readFile(path));
const half = audio.length / 2 - ((audio.length / 2) % 2);

/** A connection, its messages and how it ended. */
function begin(session = null, start = {}) {
  const transcript = new Transcript();
  const messages = [];
  let end;
  const ended = new Promise((done) => {
    end = done;
  });
  const message = (told) => {
    messages.push(told);
    transcript.apply(told);
  };
  const state = (now, sentence) => ["ended", "failed"].includes(now) && end([now, sentence]);
  return { connection: new Connection(url, start, { message, state }, session), transcript, messages, ended };
}

test("a session from beginning to end, and the same again after a crash in the middle", async () => {
  const whole = begin();
  whole.connection.send(audio);
  whole.connection.stop();
  assert.deepEqual(await whole.ended, ["ended", ""]);
  const last = whole.messages.at(-1);
  assert.equal(last.type, "final");
  assert.ok(last.turns.length > 1);
  assert.equal(formatted("rttm", whole.transcript, { name: "stream" }), last.rttm);

  const before = begin();
  before.connection.send(audio.subarray(0, half));
  await before.connection.drained();
  while (before.transcript.turns.size === 0) await new Promise((done) => setTimeout(done, 20));
  const after = begin(before.connection.session);
  await after.connection.opened();
  assert.equal(after.messages[0].resumed, true);
  const taken = Math.round(2 * 16000 * after.connection.position);
  assert.ok(taken > 0 && taken <= half);
  after.connection.send(audio.subarray(taken));
  after.connection.stop();
  assert.deepEqual(await after.ended, ["ended", ""]);
  assert.deepEqual(after.messages.at(-1).turns, last.turns);
  assert.equal((await before.ended)[0], "failed", "a session belongs to its newest connection");
});

test("what the server refuses is a sentence", async () => {
  const odd = begin(null, { sample_rate: 16 });
  assert.deepEqual(await odd.ended, ["failed", "Sample_rate: expected a whole number of 8000 to 192000, got 16."]);
  const gone = begin("gone");
  const [state, sentence] = await gone.ended;
  assert.equal(state, "failed");
  assert.match(sentence, /^No such session/);
});

test("corrections reach the final result, each once, whatever becomes of the connection", async () => {
  const answered = (session, id) => session.messages.find((told) => told.type === "answer" && told.id === id);
  const until = async (true_) => {
    while (!true_()) await new Promise((done) => setTimeout(done, 20));
  };
  const before = begin();
  before.connection.send(audio);
  await until(() => before.transcript.talkers().includes("S2"));
  const merged = before.connection.merge("S2", "S1");
  await until(() => answered(before, merged));
  assert.ok(!before.transcript.talkers().includes("S2"));
  before.connection.undo();
  const after = begin(before.connection.session);
  await after.connection.opened();
  const again = after.connection.undo(); // of nothing, whether or not the first one came through
  await until(() => answered(after, again));
  assert.ok(["nothing_to_undo", null].includes(answered(after, again).code));
  await until(() => after.transcript.talkers().includes("S2"));
  after.connection.name("S1", "Anna");
  const taken = after.connection.name("S2", "anna");
  await until(() => answered(after, taken));
  assert.deepEqual([answered(after, taken).code, answered(after, taken).speaker], ["name_in_use", "S1"]);
  const turn = after.transcript.inOrder().find(({ speaker }) => speaker === "S2");
  const moved = after.connection.assign(turn.id, "new");
  await until(() => answered(after, moved));
  const newcomer = answered(after, moved).speaker;
  assert.match(newcomer, /^S[3-9]$/);
  after.connection.stop();
  assert.deepEqual(await after.ended, ["ended", ""]);
  const here = after.transcript.at((turn.start + turn.end) / 2).map(({ speaker }) => speaker);
  assert.ok(here.includes(newcomer) && !here.includes("S2"));
});
