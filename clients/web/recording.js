// A recording from a file, decoded by the browser to 16 kHz mono, and a tape delivered in pieces.

export const RATE = 16000;
const PIECE_S = 0.1;
const BATCH_S = 4; // read from the tape at once
const MOST_BYTES = 2 ** 30;

/** The audio of a file as 16-bit bytes at RATE. Throws an Error with one sentence. */
export async function decode(file) {
  if (file.size === 0) throw new Error(`${file.name} is empty.`);
  if (file.size > MOST_BYTES)
    throw new Error(`${file.name} is too large for the browser: use turnstream connect --file.`);
  try {
    const context = new OfflineAudioContext(1, 1, RATE);
    return mixed(await context.decodeAudioData(await file.arrayBuffer()));
  } catch {
    throw new Error(`${file.name} is not audio that this browser can read.`);
  }
}

/**
 * Passes a tape from a sample on to onPiece(Uint8Array, peak 0-1) until its end or `stopped()`: in real time if `live`,
 * otherwise whenever `ready()` resolves.
 */
export async function deliver(tape, from, live, ready, stopped, onPiece) {
  const [begun, most] = [performance.now(), Math.round(PIECE_S * tape.rate)];
  for (let first = from; first < tape.samples && !stopped(); first += BATCH_S * tape.rate) {
    const batch = new Int16Array((await tape.read(first, first + BATCH_S * tape.rate)).buffer);
    for (let at = 0; at < batch.length && !stopped(); at += most) {
      const piece = batch.subarray(at, at + most);
      const early = begun + (1000 * (first - from + at + piece.length)) / tape.rate - performance.now();
      if (!live) await ready();
      else if (early > 0) await new Promise((done) => setTimeout(done, early));
      if (!stopped()) onPiece(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength), peakOf(piece));
    }
  }
}

function mixed(audio) {
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  const samples = new Int16Array(audio.length);
  for (let i = 0; i < samples.length; i += 1) {
    let value = 0;
    for (const channel of channels) value += channel[i];
    samples[i] = Math.max(-32768, Math.min(32767, Math.round((value / channels.length) * 32768)));
  }
  return new Uint8Array(samples.buffer);
}

function peakOf(piece) {
  let peak = 0;
  for (const value of piece) peak = Math.max(peak, Math.abs(value));
  return peak / 32768;
}
