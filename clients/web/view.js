// The time range that the lanes show: the newest audio, all of it, or wherever the user went.

const SHORTEST_ALL_S = 10;
const PHONE_PX = 600;
const DRAG_PX = 4;
const AHEAD = 0.85; // of the range is in front of what plays, once it has run out of the range

export class View {
  /**
   * spans: radio buttons; canvas: the lanes; onChange(): redraws; onScroll(time): the user scrolled to a range that
   * begins there; onClick(x, y): they clicked and scrolled nothing.
   */
  constructor(spans, canvas, { onChange, onScroll, onClick }) {
    Object.assign(this, { spans, canvas, onScroll, onClick });
    this.clear();
    spans.addEventListener("change", () => {
      this.end = null;
      if (this.wanted !== null) this.#showUpTo(this.wanted + this.#span() / 2);
      onChange();
    });
    this.#drag();
  }

  clear() {
    this.end = null; // right edge in seconds; null follows the newest audio
    this.wanted = null; // the time that the user last went to
    this.now = 0;
    this.#choose(innerWidth < PHONE_PX ? "15" : "60");
  }

  /** Shows all of it. */
  all() {
    this.#choose("all");
  }

  /** The [start, end] to show, in seconds, when the newest audio is at `now`. */
  range(now) {
    this.now = now;
    const span = this.#span();
    if (span === Infinity) return [0, Math.max(now, SHORTEST_ALL_S)];
    const end = Math.max(Math.min(this.end ?? now, now), span);
    return [end - span, end];
  }

  /** Shows a time; null follows the newest audio. */
  look(time) {
    this.wanted = time;
    const [start, end] = this.range(this.now);
    if (time === null) this.end = null;
    else if (time < start || time > end) this.#showUpTo(time + this.#span() / 2);
    else this.#showUpTo(end);
  }

  /** Keeps a time that moves on in the range. */
  follow(time) {
    this.wanted = time;
    const [start, end] = this.range(this.now);
    if (time < start || time > end) this.#showUpTo(time + this.#span() * AHEAD);
  }

  #span() {
    const { value } = this.spans.querySelector("input:checked");
    return value === "all" ? Infinity : Number(value);
  }

  #choose(value) {
    this.spans.querySelector(`input[value="${value}"]`).checked = true;
  }

  #showUpTo(end) {
    if (Number.isFinite(end)) this.end = Math.min(Math.max(end, this.#span()), this.now);
  }

  /** Dragging the lanes scrolls them. */
  #drag() {
    let from = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      const [start, end] = this.range(this.now);
      from = { x: event.clientX, end, perPx: (end - start) / this.canvas.clientWidth, moved: false };
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (from === null || (!from.moved && Math.abs(event.clientX - from.x) < DRAG_PX)) return;
      if (!from.moved) this.canvas.setPointerCapture(event.pointerId);
      from.moved = true;
      this.#showUpTo(from.end - (event.clientX - from.x) * from.perPx);
      this.onScroll(this.range(this.now)[0]);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      if (from && !from.moved) this.onClick(event.offsetX, event.offsetY);
      from = null;
    });
    this.canvas.addEventListener("pointercancel", () => {
      from = null;
    });
  }
}
