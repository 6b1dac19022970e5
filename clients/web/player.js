// Plays a tape: from any time, up to any time, also while it still grows.

export class Player {
  /** onChange(): it began or stopped. */
  constructor(onChange) {
    this.audio = new Audio();
    this.audio.preservesPitch = true;
    this.onChange = onChange;
    this.tape = null;
    this.clear();
    for (const name of ["play", "pause"]) this.audio.addEventListener(name, () => this.onChange());
    this.audio.addEventListener("ended", () => this.#ended());
  }

  /** Plays this tape from now on; null plays nothing. */
  load(tape) {
    this.clear();
    this.tape = tape;
  }

  clear() {
    this.audio.pause();
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.tape = null;
    this.loaded = 0; // bytes of the tape that the element plays
    this.until = Infinity;
  }

  /** Whether there is anything to play. */
  get able() {
    return this.tape !== null && this.tape.bytes > 0;
  }

  get playing() {
    return !this.audio.paused;
  }

  /** Seconds. */
  get time() {
    return this.audio.currentTime;
  }

  get speed() {
    return this.audio.defaultPlaybackRate;
  }

  set speed(speed) {
    this.audio.defaultPlaybackRate = speed;
    this.audio.playbackRate = speed;
  }

  /** Plays from a time in seconds, up to another one or to the end. */
  async play(from, until = Infinity) {
    if (!this.able) return;
    this.until = until;
    if (this.loaded !== this.tape.bytes) await this.#renew();
    this.audio.currentTime = Math.min(from, this.tape.duration);
    await this.audio.play().catch(() => {}); // paused again before it began
  }

  pause() {
    this.audio.pause();
  }

  /** Goes on from a time, if it plays. */
  seek(time) {
    this.until = Infinity;
    this.audio.currentTime = time;
  }

  /** Call at every frame: stops where it was to stop. */
  tick() {
    if (this.playing && this.time >= this.until) this.pause();
  }

  /** Gives the element all of the tape. */
  async #renew() {
    const before = this.url;
    this.loaded = this.tape.bytes;
    this.url = URL.createObjectURL(this.tape.wav());
    this.audio.src = this.url;
    if (before) URL.revokeObjectURL(before);
    await new Promise((done) => {
      this.audio.onloadedmetadata = this.audio.onerror = done;
    });
  }

  #ended() {
    if (this.tape && this.tape.bytes > this.loaded) this.play(this.time, this.until);
    else this.onChange();
  }
}
