// Runs on the audio thread: converts microphone samples to mono 16-bit pieces with their peak.

const PIECE_SAMPLES = 2048;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.#renew();
  }

  process([channels]) {
    const length = channels[0]?.length ?? 0;
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.#put(sum / channels.length);
    }
    return true;
  }

  #put(value) {
    this.peak = Math.max(this.peak, Math.abs(value));
    this.piece[this.filled] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
    this.filled += 1;
    if (this.filled < PIECE_SAMPLES) return;
    this.port.postMessage({ bytes: this.piece.buffer, peak: this.peak }, [this.piece.buffer]);
    this.#renew();
  }

  #renew() {
    this.piece = new Int16Array(PIECE_SAMPLES);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor("capture", Capture);
