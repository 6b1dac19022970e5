// Draws one lane per speaker on a canvas: committed turns solid, provisional ones lighter; corrected turns move lanes.

import { clock, look } from "./words.js";

const AXIS_PX = 30;
const BLOCK_PX = 26;
const EDGE_PX = 14; // space after the newest audio
const MOVE_MS = 550;
const FLASH_MS = 2600;
const SHORTEST_PX = 3;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const TICK_PX = 84;

export class Lanes {
  /** canvas: over the lanes; rowOf(speaker): the middle of the speaker's row in pixels from the top of the canvas. */
  constructor(canvas, rowOf) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.rowOf = rowOf;
    this.moves = new Map(); // turn id -> {from, at}: speaker and time in ms
    this.flashes = new Map(); // turn id -> time in ms
    this.stripes = new Map();
    this.drawn = []; // {id, x, y, width} of every turn on the canvas
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.readColors();
  }

  clear() {
    this.moves.clear();
    this.flashes.clear();
    this.drawn = [];
  }

  /** Call after the color scheme has changed. */
  readColors() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const names = ["ink", "muted", "line", "edge", "focus"];
    this.colors = Object.fromEntries(names.map((name) => [name, color(`--${name}`)]));
    this.font = `12px ${style.getPropertyValue("--font")}`;
  }

  /** A turn went from one speaker to another: animates the move, and highlights it for a while if it was `revised`. */
  moved(id, from, revised) {
    const now = performance.now();
    if (!this.still.matches) this.moves.set(id, { from, at: now });
    if (revised) this.flashes.set(id, now);
  }

  /** Whether a move or a highlight is in progress. */
  get busy() {
    return this.moves.size > 0 || this.flashes.size > 0;
  }

  /** The id of the turn at a point of the canvas, or null. */
  at(x, y) {
    return (
      this.drawn.findLast((box) => x >= box.x - 2 && x <= box.x + box.width + 2 && Math.abs(y - box.y) < BLOCK_PX / 2)
        ?.id ?? null
    );
  }

  /** The time at a distance from the left edge, in seconds. */
  timeAt(x) {
    return this.start + x / this.scale;
  }

  /**
   * Draws everything from `start` to `end` seconds; `now` is the newest time, or null once the audio has ended;
   * `cursor` the time that the user went to, or null.
   */
  draw(turns, speakers, start, end, now, cursor = null) {
    const { canvas, context } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      this.stripes.clear();
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.scale = (width - EDGE_PX) / (end - start);
    this.start = start;
    this.newest = now ?? Infinity;
    this.#axis(start, end, width, height);
    for (const speaker of speakers) this.#baseline(this.rowOf(speaker), width);
    this.#settle();
    this.drawn = [];
    for (const turn of turns) {
      if (turn.end > start && turn.start < end) this.#turn(turn);
    }
    for (const [time, color] of [
      [now, this.colors.ink],
      [cursor, this.colors.focus],
    ])
      if (time !== null && time >= start && time <= end) this.#hand((time - start) * this.scale, height, color);
  }

  #axis(start, end, width, height) {
    const { context } = this;
    const step = STEPS_S.find((seconds) => seconds * this.scale >= TICK_PX) ?? STEPS_S.at(-1);
    context.font = this.font;
    context.textBaseline = "middle";
    for (let mark = Math.ceil(start / step) * step; mark <= end; mark += step) {
      const x = Math.round((mark - start) * this.scale) + 0.5;
      context.fillStyle = this.colors.line;
      context.fillRect(x - 0.5, AXIS_PX - 6, 1, height - AXIS_PX + 6);
      context.fillStyle = this.colors.muted;
      const label = clock(mark, false);
      if (x + 5 + context.measureText(label).width <= width) context.fillText(label, x + 5, 12);
    }
  }

  #baseline(y, width) {
    this.context.fillStyle = this.colors.line;
    this.context.fillRect(0, Math.round(y), width, 1);
  }

  #settle() {
    const now = performance.now();
    for (const [id, move] of this.moves) if (now - move.at > MOVE_MS) this.moves.delete(id);
    for (const [id, at] of this.flashes) if (now - at > FLASH_MS) this.flashes.delete(id);
  }

  #turn(turn) {
    const { context } = this;
    const x = (turn.start - this.start) * this.scale;
    const end = Math.max(Math.min(turn.end, this.newest), turn.start);
    const width = Math.max((end - turn.start) * this.scale, SHORTEST_PX);
    const y = this.#height(turn);
    const top = y - BLOCK_PX / 2;
    const sure = turn.state === "provisional" ? Math.max(0, (turn.committed - turn.start) * this.scale) : width;
    const fill = this.#fill(turn.speaker);
    const path = new Path2D();
    path.roundRect(x, top, width, BLOCK_PX, Math.min(6, width / 2));
    context.save();
    context.clip(path);
    context.fillStyle = fill;
    context.globalAlpha = 0.34;
    context.fillRect(x, top, width, BLOCK_PX);
    context.globalAlpha = 1;
    context.fillRect(x, top, Math.min(sure, width), BLOCK_PX);
    context.restore();
    context.strokeStyle = this.colors.edge;
    context.lineWidth = 1;
    context.stroke(path);
    this.#flash(turn.id, x, top, width);
    this.drawn.push({ id: turn.id, x, y, width });
  }

  #flash(id, x, top, width) {
    const at = this.flashes.get(id);
    if (at === undefined) return;
    const { context } = this;
    const age = (performance.now() - at) / FLASH_MS;
    context.save();
    context.globalAlpha = this.still.matches ? 0.9 : Math.max(0, 1 - age);
    context.strokeStyle = this.colors.ink;
    context.lineWidth = 2;
    context.beginPath();
    context.roundRect(x - 3, top - 3, width + 6, BLOCK_PX + 6, 8);
    context.stroke();
    context.restore();
  }

  /** The vertical middle of a turn: its speaker's row, or a point on the way there. */
  #height(turn) {
    const target = this.rowOf(turn.speaker);
    const move = this.moves.get(turn.id);
    if (!move) return target;
    const part = Math.min((performance.now() - move.at) / MOVE_MS, 1);
    const eased = part < 0.5 ? 4 * part ** 3 : 1 - (2 - 2 * part) ** 3 / 2;
    return this.rowOf(move.from) + (target - this.rowOf(move.from)) * eased;
  }

  /** A line down all lanes. */
  #hand(x, height, color) {
    this.context.fillStyle = color;
    this.context.fillRect(Math.round(x), AXIS_PX - 6, 1.5, height - AXIS_PX + 6);
    this.context.beginPath();
    this.context.arc(Math.round(x) + 0.75, AXIS_PX - 6, 3.5, 0, 2 * Math.PI);
    this.context.fill();
  }

  #fill(speaker) {
    const { color, striped } = look(speaker);
    if (!striped) return color;
    if (!this.stripes.has(color)) this.stripes.set(color, this.#striped(color));
    return this.stripes.get(color);
  }

  #striped(color) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const paint = tile.getContext("2d");
    paint.fillStyle = color;
    paint.fillRect(0, 0, 8, 8);
    paint.strokeStyle = "rgba(0, 0, 0, 0.45)";
    paint.lineWidth = 2;
    for (const shift of [-8, 0, 8]) {
      paint.moveTo(shift, 8);
      paint.lineTo(shift + 8, 0);
    }
    paint.stroke();
    return this.context.createPattern(tile, "repeat");
  }
}
