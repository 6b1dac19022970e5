// The time range that the lanes show: the newest audio, or wherever the user scrolled.

const SHORTEST_ALL_S = 10;
const LONG_S = 600; // longer recordings are not zoomed out when they end
const PHONE_PX = 600;

export class View {
  /** spans: radio buttons; scrub: contains the slider `position` and the button `live`; onChange(): redraws. */
  constructor(spans, scrub, position, live, canvas, onChange) {
    Object.assign(this, { spans, scrub, position, live, canvas, onChange });
    this.end = null; // right edge in seconds; null follows the newest audio
    this.now = 0;
    this.chosen = false; // the user chose a span
    spans.addEventListener("change", () => {
      this.chosen = true;
      onChange();
    });
    position.addEventListener("input", () => this.#look(Number(position.value)));
    live.addEventListener("click", () => this.#look(Infinity));
    this.#drag();
  }

  clear() {
    this.end = null;
    this.now = 0;
    this.chosen = false;
    this.#choose(innerWidth < PHONE_PX ? "15" : "60");
  }

  /** The audio has ended: shows all of it, unless the user chose a range. */
  ended() {
    if (!this.chosen && this.end === null && this.now < LONG_S) this.#choose("all");
  }

  /** The [start, end] to show, in seconds, when the newest audio is at `now`. */
  range(now) {
    this.now = now;
    const span = this.#span();
    if (span === Infinity) return this.#updateScrub([0, Math.max(now, SHORTEST_ALL_S)], false);
    const end = Math.max(Math.min(this.end ?? now, now), span);
    return this.#updateScrub([end - span, end], now > span);
  }

  /** Scrolls a turn into view. */
  show(turn) {
    const span = this.#span();
    if (!turn || span === Infinity) return;
    const [start, end] = this.range(this.now);
    if (turn.start < start || turn.end > end) this.#look((turn.start + turn.end + span) / 2);
  }

  #span() {
    const { value } = this.spans.querySelector("input:checked");
    return value === "all" ? Infinity : Number(value);
  }

  #choose(value) {
    this.spans.querySelector(`input[value="${value}"]`).checked = true;
  }

  #updateScrub([start, end], scrolls) {
    this.scrub.hidden = !scrolls;
    if (scrolls) {
      this.position.min = this.#span().toFixed(1);
      this.position.max = this.now.toFixed(1);
      this.position.step = "0.1";
      this.position.value = end.toFixed(1);
      this.live.disabled = this.end === null;
    }
    return [start, end];
  }

  #look(end) {
    this.end = end >= this.now - 0.05 ? null : Math.max(end, this.#span());
    this.onChange();
  }

  /** Dragging the lanes scrolls them. */
  #drag() {
    let from = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      const span = this.#span();
      if (span === Infinity || this.now <= span) return;
      from = { x: event.clientX, end: this.end ?? this.now, perPx: span / this.canvas.clientWidth };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (from) this.#look(from.end - (event.clientX - from.x) * from.perPx);
    });
    for (const name of ["pointerup", "pointercancel"])
      this.canvas.addEventListener(name, () => {
        from = null;
      });
  }
}
