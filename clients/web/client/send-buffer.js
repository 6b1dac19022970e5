// Audio on its way to the server, kept until the server has it, so that a lost connection loses no sample.

export class SendBuffer {
  /** Positions are bytes from the start of the stream; the server counts samples of `frameBytes` bytes. */
  constructor(frameBytes) {
    this.frameBytes = frameBytes;
    this.begin(0);
  }

  /** Forgets everything: the audio that follows begins at this sample. */
  begin(samples) {
    this.start = samples * this.frameBytes; // of the kept bytes
    this.sent = this.start;
    this.end = this.start;
    this.pieces = []; // Uint8Arrays, oldest first, from `start` to `end`
    this.next = 0; // index of the piece that holds `sent`
    this.nextAt = this.start; // position at which that piece begins
  }

  get kept() {
    return this.end - this.start;
  }

  get unsent() {
    return this.end - this.sent;
  }

  append(bytes) {
    if (bytes.length === 0) return;
    this.pieces.push(bytes);
    this.end += bytes.length;
  }

  /** The next piece to send, of up to `most` bytes; null if everything was sent. */
  take(most) {
    if (this.unsent === 0) return null;
    const piece = this.pieces[this.next];
    const from = this.sent - this.nextAt;
    const taken = piece.subarray(from, from + most);
    this.sent += taken.length;
    if (this.sent === this.nextAt + piece.length) this.#step(piece);
    return taken;
  }

  /** The server has this many samples: drops them, unless they were never sent. */
  acknowledge(samples) {
    const received = Math.min(samples * this.frameBytes, this.sent);
    while (this.next > 0 && this.start + this.pieces[0].length <= received) {
      this.start += this.pieces.shift().length;
      this.next -= 1;
    }
  }

  /** The server has this many samples: continues sending after them. False if that is not possible. */
  rewind(samples) {
    const position = samples * this.frameBytes;
    if (position < this.start || position > this.end) return false;
    this.sent = this.start;
    this.next = 0;
    this.nextAt = this.start;
    while (this.sent < position) {
      const piece = this.pieces[this.next];
      this.sent = Math.min(position, this.nextAt + piece.length);
      if (this.sent === this.nextAt + piece.length) this.#step(piece);
    }
    return true;
  }

  #step(piece) {
    this.next += 1;
    this.nextAt += piece.length;
  }
}
