// A recording from a file, decoded by the browser to 16 kHz mono and delivered in pieces.

const RATE = 16000;
const PIECE_SAMPLES = RATE / 10;
const MOST_BYTES = 2 ** 30;

export class Recording {
  /** Decodes it. Throws an Error with one sentence. */
  static async open(file) {
    if (file.size === 0) throw new Error(`${file.name} is empty.`);
    if (file.size > MOST_BYTES)
      throw new Error(`${file.name} is too large for the browser: use turnstream connect --file.`);
    try {
      const context = new OfflineAudioContext(1, 1, RATE);
      return new Recording(file.name, await context.decodeAudioData(await file.arrayBuffer()));
    } catch {
      throw new Error(`${file.name} is not audio that this browser can read.`);
    }
  }

  constructor(name, audio) {
    this.name = name;
    this.rate = RATE;
    this.channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
    this.samples = audio.length;
    this.duration = audio.length / RATE;
    this.stopped = false;
  }

  stop() {
    this.stopped = true;
  }

  /**
   * Passes every piece to onPiece(Uint8Array, peak 0-1) until the end or `stop`: in real time if `live`, otherwise
   * whenever `ready()` resolves.
   */
  async play(live, ready, onPiece) {
    const begun = performance.now();
    for (let first = 0; first < this.samples && !this.stopped; first += PIECE_SAMPLES) {
      const last = Math.min(first + PIECE_SAMPLES, this.samples);
      const early = begun + (1000 * last) / RATE - performance.now();
      if (!live) await ready();
      else if (early > 0) await new Promise((done) => setTimeout(done, early));
      if (!this.stopped) onPiece(...this.#piece(first, last));
    }
  }

  #piece(first, last) {
    const piece = new Int16Array(last - first);
    let peak = 0;
    for (let i = first; i < last; i += 1) {
      let value = 0;
      for (const channel of this.channels) value += channel[i];
      value /= this.channels.length;
      peak = Math.max(peak, Math.abs(value));
      piece[i - first] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
    }
    return [new Uint8Array(piece.buffer), peak];
  }
}
