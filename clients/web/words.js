// Times, names and colors in readable form.

import { numberOf } from "./client/index.js";

// Okabe and Ito's color-blind-safe palette, as in the terminal; from the seventh speaker on it repeats, striped.
const PALETTE = ["#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#F0E442"];
const UNKNOWN = "#8A8F99";

/** `0:06.7` for 6.7 seconds, `1:02:03.4` from one hour on; `tenths` false omits the fraction. */
export function clock(seconds, tenths = true) {
  const total = tenths ? Math.round(seconds * 10) : Math.floor(seconds + 1e-6) * 10;
  const pad = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(total / 600);
  const rest = pad(Math.floor((total % 600) / 10)) + (tenths ? `.${total % 10}` : "");
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${rest}`;
}

/** `12.3 s`, and minutes from two minutes on. */
export function duration(seconds) {
  return seconds < 120 ? `${seconds.toFixed(1)} s` : `${clock(seconds, false)} min`;
}

/** `1 turn`, `2 turns`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** {color, striped}: how a speaker is drawn, stable for the whole session. */
export function look(speaker) {
  const number = numberOf(speaker);
  if (number === 0) return { color: UNKNOWN, striped: false };
  return {
    color: PALETTE[(number - 1) % PALETTE.length],
    striped: Math.floor((number - 1) / PALETTE.length) % 2 === 1,
  };
}

/** `Anna`, `Anna and S2`, `Anna, S2 and S3`. */
export function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** `12 MB`. */
export function size(bytes) {
  const mega = bytes / 1e6;
  return mega < 1000 ? `${mega < 10 ? mega.toFixed(1) : mega.toFixed(0)} MB` : `${(mega / 1000).toFixed(1)} GB`;
}

/** Day and time of a moment in ms, as people here write it. */
export function day(moment) {
  return new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
