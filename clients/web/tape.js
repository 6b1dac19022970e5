// The audio of a session as 16-bit mono, kept in this browser: to be played back and, after a reload, to be sent on.

const CHUNK_S = 4;
const HEADER_BYTES = 44;

export class Tape {
  /** chunks: Blobs that were kept before; keep(index, blob): told of every new one. */
  constructor(rate, chunks = [], keep = () => {}) {
    this.rate = rate;
    this.chunks = [...chunks];
    this.keep = keep;
    this.pending = []; // Uint8Arrays
    this.pendingBytes = 0;
    this.bytes = this.chunks.reduce((sum, chunk) => sum + chunk.size, 0);
  }

  get samples() {
    return this.bytes / 2;
  }

  /** Seconds. */
  get duration() {
    return this.samples / this.rate;
  }

  append(bytes) {
    const most = 2 * CHUNK_S * this.rate;
    for (let from = 0; from < bytes.length; ) {
      const piece = bytes.subarray(from, from + most - this.pendingBytes);
      this.pending.push(piece);
      this.pendingBytes += piece.length;
      this.bytes += piece.length;
      from += piece.length;
      if (this.pendingBytes === most) this.flush();
    }
  }

  /** Appends silence up to a sample, if there is less audio than that. */
  fill(samples) {
    if (samples > this.samples) this.append(new Uint8Array(2 * (samples - this.samples)));
  }

  /** Keeps what has come since the last chunk. */
  flush() {
    if (this.pendingBytes === 0) return;
    const chunk = new Blob(this.pending);
    this.keep(this.chunks.length, chunk);
    this.chunks.push(chunk);
    this.pending = [];
    this.pendingBytes = 0;
  }

  /** The audio so far as a WAV file. */
  wav() {
    return new Blob([header(this.rate, this.bytes), ...this.chunks, ...this.pending], { type: "audio/wav" });
  }

  /** The bytes from a sample to another one. */
  async read(from, to) {
    const parts = [];
    let at = 0;
    for (const chunk of [...this.chunks, new Blob(this.pending)]) {
      const [first, last] = [Math.max(2 * from - at, 0), Math.min(2 * to - at, chunk.size)];
      if (first < last) parts.push(chunk.slice(first, last));
      at += chunk.size;
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }
}

function header(rate, bytes) {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, bytes, true);
  return view.buffer;
}
