// The buffer loses and doubles nothing, however the connection is lost: random runs with a fixed seed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SendBuffer } from "../../clients/web/client/index.js";

function chance(seed) {
  let state = seed;
  return () => {
    state = (1664525 * state + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

function run(random, begin) {
  const buffer = new SendBuffer(2);
  buffer.begin(begin);
  const given = [];
  let received = [];
  const oldest = () => Math.ceil(buffer.start / 2 - begin);
  const steps = {
    append() {
      const bytes = Uint8Array.from({ length: Math.floor(40 * random()) }, (_, i) => (given.length + i) % 251);
      given.push(...bytes);
      buffer.append(bytes);
    },
    take: () => received.push(...(buffer.take(1 + Math.floor(40 * random())) ?? [])),
    acknowledge: () => buffer.acknowledge(begin + Math.floor((received.length / 2) * random())),
    lose() {
      const kept = oldest() + Math.floor((Math.floor(received.length / 2) - oldest() + 1) * random());
      assert.ok(buffer.rewind(begin + kept));
      received = received.slice(0, 2 * kept);
    },
  };
  const names = Object.keys(steps);
  for (let i = 0; i < 80; i += 1) {
    steps[names[Math.floor(names.length * random())]]();
    assert.ok(buffer.unsent <= buffer.kept);
  }
  for (let piece = buffer.take(7); piece; piece = buffer.take(7)) received.push(...piece);
  assert.deepEqual(received, given);
}

test("random runs", () => {
  const random = chance(4);
  for (let i = 0; i < 300; i += 1) run(random, i % 2 ? 0 : 1000);
});

test("what is gone cannot be sent again", () => {
  const buffer = new SendBuffer(2);
  buffer.append(new Uint8Array(10));
  buffer.append(new Uint8Array(10));
  buffer.take(10);
  buffer.acknowledge(5);
  assert.equal(buffer.rewind(4), false);
  assert.equal(buffer.rewind(11), false);
  assert.equal(buffer.rewind(5), true);
});
