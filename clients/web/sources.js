// Where a session's audio comes from: the microphone, a recording, or what a session that goes on had not sent yet.

import { byId } from "./elements.js";
import { Microphone } from "./microphone.js";
import { decode, deliver, RATE } from "./recording.js";

const SILENCE_S = 4; // at a time

/** Opens the microphone and begins a session by begin(source). */
export async function listen(begin, onGone) {
  let take = () => {}; // audio from before the session exists is dropped
  const microphone = await open((bytes, peak) => take(bytes, peak), onGone);
  const session = begin(microphoneSource(microphone));
  take = capture(session);
}

/** Decodes a file and begins a session by begin(source). */
export async function read(file, begin) {
  const bytes = await decode(file);
  const total = bytes.length / 2 / RATE;
  const session = begin({ title: file.name, name: file.name, live: false, rate: RATE, total, close() {} });
  session.tape.append(bytes);
  session.tape.flush();
  play(session, 0);
}

/** Goes on with the microphone of a session that was begun at `begun`, in ms; what could not be heard is silence. */
export async function listenAgain(session, begun, onGone) {
  let take = () => {};
  const { rate } = session.source;
  const microphone = await open((bytes, peak) => take(bytes, peak), onGone, rate);
  if (session.stopping) {
    microphone.close();
    return;
  }
  session.source.close = () => microphone.close();
  await sendRest(session);
  await sendSilence(session, Math.round(((Date.now() - begun) / 1000) * rate));
  take = capture(session);
}

/** Goes on with a recording. */
export function readAgain(session) {
  play(session, Math.round(session.sent * session.source.rate));
}

function open(onPiece, onGone, rate) {
  return Microphone.open(byId("device").value, onPiece, onGone, rate);
}

function microphoneSource(microphone) {
  const { rate } = microphone;
  return { title: "microphone", name: null, live: true, rate, total: null, close: () => microphone.close() };
}

function capture(session) {
  return (bytes, peak) => {
    if (!session.stopping) session.tape.append(bytes);
    session.take(bytes, peak);
  };
}

async function play(session, from) {
  const live = byId("pace").value === "live";
  const ready = () => session.connection.drained();
  await deliver(session.tape, from, live, ready, () => session.stopping, (bytes, peak) => session.take(bytes, peak));
  session.stop();
}

/** What was heard and did not reach the server; what reached it and was not kept is silence on the tape. */
async function sendRest(session) {
  const taken = Math.round(session.sent * session.source.rate);
  session.tape.fill(taken);
  const rest = await session.tape.read(taken, session.tape.samples);
  if (rest.length > 0) session.take(rest, 0);
}

async function sendSilence(session, until) {
  while (session.tape.samples < until && !session.stopping) {
    const bytes = new Uint8Array(2 * Math.min(until - session.tape.samples, SILENCE_S * session.source.rate));
    session.tape.append(bytes);
    session.take(bytes, 0);
  }
}
