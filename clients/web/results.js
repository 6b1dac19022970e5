// The results as files: RTTM and JSON.

import { numberOf } from "./words.js";

/** RTTM of the current turns, named after the recording; speakers by name if they have one. */
export function rttm(transcript, name) {
  const file = name.trim().replace(/\s+/g, "_") || "stream";
  const turns = [...transcript.turns.values()];
  turns.sort((a, b) => a.start - b.start || a.end - b.end || numberOf(a.speaker) - numberOf(b.speaker));
  return turns.map((turn) => line(file, turn, transcript)).join("");
}

function line(file, turn, transcript) {
  const [start, end] = [Math.round(turn.start * 1000), Math.round(turn.end * 1000)];
  if (end <= start) return "";
  const speaker = turn.speaker === null ? "unknown" : transcript.label(turn.speaker).replace(/\s+/g, "_");
  const times = `${(start / 1000).toFixed(3)} ${((end - start) / 1000).toFixed(3)}`;
  return `SPEAKER ${file} 1 ${times} <NA> <NA> ${speaker} <NA> <NA>\n`;
}

/** The whole transcript as JSON text. */
export function json(transcript, title, started) {
  const turns = transcript
    .inOrder()
    .map(({ id, speaker, start, end, committed, state }) => ({
      id,
      speaker,
      name: nameOf(transcript, speaker),
      start,
      end,
      committed,
      state,
    }));
  const speakers = transcript
    .talkers()
    .map((speaker) => ({
      speaker,
      name: nameOf(transcript, speaker),
      confidence: transcript.speakers.get(speaker)?.confidence ?? null,
      talk: Math.round(1000 * transcript.talkOf(speaker)) / 1000,
    }));
  const { config, model } = started ?? {};
  const { duration, reason, statistics } = transcript.final ?? {};
  const complete = transcript.final !== null;
  const all = {
    source: title,
    complete,
    duration,
    reason,
    config,
    model,
    speakers,
    turns,
    revisions: transcript.revisions,
    statistics,
  };
  return `${JSON.stringify(all, null, 2)}\n`;
}

function nameOf(transcript, speaker) {
  return transcript.speakers.get(speaker)?.name ?? null;
}

/** Lets the browser download a text as a file. */
export function save(fileName, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
