// The controls of time: play and pause, a slider over the whole session, the speed, the way back to the newest audio.

import { byId, setText } from "./elements.js";
import { Player } from "./player.js";
import { clock } from "./words.js";

const AT_END_S = 0.15;
const STEPS_S = {
  ...{ ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 },
  ...{ PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity },
};
const HAS_KEYS = "button, input, select, textarea, summary, a, dialog"; // elements that use the space bar themselves

export class Playback {
  /** onMove(time): the user went to a time in seconds, or to the newest audio (null); onChange(): redraws. */
  constructor(onMove, onChange) {
    this.onMove = onMove;
    this.onChange = onChange;
    this.player = new Player(() => this.#played());
    this.newest = 0;
    this.ended = false; // whether `newest` stays
    this.cursor = null;
    byId("play").addEventListener("click", () => this.toggle());
    byId("live").addEventListener("click", () => this.follow());
    byId("position").addEventListener("input", ({ target }) => this.go(Number(target.value)));
    byId("position").addEventListener("keydown", (event) => this.#step(event));
    byId("speed").addEventListener("change", ({ target }) => {
      this.player.speed = Number(target.value);
    });
    addEventListener("keydown", (event) => this.#space(event));
  }

  /** Shows a session from now on; null shows none. */
  show(session) {
    this.cursor = null;
    this.newest = 0;
    this.ended = false;
    this.player.load(session?.tape ?? null);
  }

  get playing() {
    return this.player.playing;
  }

  get able() {
    return this.player.able;
  }

  toggle() {
    if (this.playing) {
      this.player.pause();
      return;
    }
    const end = this.player.tape?.duration ?? 0;
    this.play(this.cursor === null || this.cursor > end - AT_END_S ? 0 : this.cursor);
  }

  /** Plays from a time, up to another one or to the end. */
  async play(from, until) {
    if (!this.able) return;
    this.cursor = from;
    this.onMove(from);
    await this.player.play(from, until);
  }

  /** Goes to a time; what plays goes on from there. */
  go(time) {
    this.cursor = Math.max(0, Math.min(time, this.newest));
    if (this.playing) this.player.seek(this.cursor);
    this.onMove(this.cursor);
  }

  /** Back to the newest audio. */
  follow() {
    this.player.pause();
    this.cursor = null;
    this.onMove(null);
  }

  /** Shows the present state; newest: the newest time of the session, ended: whether it stays so. */
  update(newest, ended) {
    this.newest = newest;
    this.player.tick();
    if (this.playing) this.cursor = this.player.time;
    this.ended = ended;
    const time = this.#here;
    const [slider, play, live] = [byId("position"), byId("play"), byId("live")];
    slider.max = newest.toFixed(1);
    slider.value = time.toFixed(1);
    slider.style.setProperty("--part", String(newest > 0 ? time / newest : 0));
    slider.setAttribute("aria-valuetext", `${clock(time, false)} of ${clock(newest, false)}`);
    setText(byId("time"), `${clock(time)} / ${clock(newest, false)}`);
    play.disabled = !this.able;
    play.classList.toggle("playing", this.playing);
    play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    live.hidden = ended;
    live.disabled = this.cursor === null;
  }

  /** Where the slider stands: a session that is over begins at its beginning. */
  get #here() {
    return this.cursor ?? (this.ended ? 0 : this.newest);
  }

  #played() {
    if (!this.playing && this.player.loaded) this.cursor = this.player.time;
    this.onChange();
  }

  #step(event) {
    const step = STEPS_S[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.go(this.#here + step);
  }

  #space(event) {
    if (event.key !== " " || !this.able || event.target.closest?.(HAS_KEYS)) return;
    event.preventDefault();
    this.toggle();
  }
}
