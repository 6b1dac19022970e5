// The turns of a transcript as the text of a file, in the formats that other programs read.

import { numberOf } from "./text.js";

/** What each format is called, the ending of its files and its media type. */
export const FORMATS = {
  rttm: { name: "RTTM", ending: "rttm", type: "text/plain" },
  json: { name: "JSON", ending: "json", type: "application/json" },
  srt: { name: "SRT", ending: "srt", type: "application/x-subrip" },
  vtt: { name: "WebVTT", ending: "vtt", type: "text/vtt" },
  csv: { name: "CSV", ending: "csv", type: "text/csv" },
  txt: { name: "Text", ending: "txt", type: "text/plain" },
  audacity: { name: "Audacity", ending: "labels.txt", type: "text/plain" },
};

const WRITERS = { rttm, json, srt, vtt, csv, txt, audacity };

/**
 * The text of the file. recording: {name, title, config, model}, `name` without a file's ending; all but the name may
 * be missing. Speakers go by their names where they have one; turns too short for the format are left out.
 */
export function formatted(format, transcript, recording) {
  return WRITERS[format](transcript, recording);
}

function rttm(transcript, { name }) {
  const file = name.trim().replace(/\s+/g, "_") || "stream";
  return lines(transcript, ({ start, end, speaker }) => {
    const label = called(transcript, speaker).replace(/\s+/g, "_");
    return `SPEAKER ${file} 1 ${start.toFixed(3)} ${(end - start).toFixed(3)} <NA> <NA> ${label} <NA> <NA>\n`;
  });
}

function srt(transcript) {
  const cues = lines(transcript, ({ start, end, speaker }, i) => {
    return `\n${i + 1}\n${stamp(start, ",")} --> ${stamp(end, ",")}\n${called(transcript, speaker)}\n`;
  });
  return cues.slice(1);
}

function vtt(transcript) {
  const cues = lines(transcript, ({ start, end, speaker }) => {
    const label = called(transcript, speaker).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    return `\n${stamp(start, ".")} --> ${stamp(end, ".")}\n<v ${label}>${label}\n`;
  });
  return `WEBVTT\n${cues}`;
}

/** With a column for what was said, as `turnstream file --out` has it. */
function csv(transcript) {
  const rows = lines(transcript, ({ start, end, speaker }) => {
    return `${start.toFixed(3)},${end.toFixed(3)},${quoted(called(transcript, speaker))},\r\n`;
  });
  return `start,end,speaker,text\r\n${rows}`;
}

function txt(transcript) {
  return lines(transcript, ({ start, speaker }) => {
    return `[${stamp(start, ".").slice(0, -4)}] ${called(transcript, speaker)}\n`;
  });
}

function audacity(transcript) {
  return lines(transcript, ({ start, end, speaker }) => {
    return `${start.toFixed(6)}\t${end.toFixed(6)}\t${called(transcript, speaker)}\n`;
  });
}

function json(transcript, { title, config, model }) {
  const { duration, reason, statistics } = transcript.final ?? {};
  const all = {
    source: title,
    complete: transcript.final !== null,
    duration,
    reason,
    config,
    model,
    speakers: transcript.talkers().map((speaker) => describe(transcript, speaker)),
    turns: transcript.inOrder().map((turn) => described(transcript, turn)),
    revisions: transcript.revisions,
    statistics,
  };
  return `${JSON.stringify(all, null, 2)}\n`;
}

function describe(transcript, speaker) {
  const confidence = transcript.speakers.get(speaker)?.confidence ?? null;
  const talk = Math.round(1000 * transcript.talkOf(speaker)) / 1000;
  return { speaker, name: nameOf(transcript, speaker), confidence, talk };
}

function described(transcript, { id, speaker, start, end, committed, state }) {
  return { id, speaker, name: nameOf(transcript, speaker), start, end, committed, state };
}

/** A text for every turn that lasts a millisecond or more, in order of time. */
function lines(transcript, write) {
  const turns = [...transcript.turns.values()].map((turn) => ({
    ...turn,
    start: Math.round(turn.start * 1000) / 1000,
    end: Math.round(turn.end * 1000) / 1000,
  }));
  turns.sort((a, b) => a.start - b.start || a.end - b.end || numberOf(a.speaker) - numberOf(b.speaker));
  return turns
    .filter(({ start, end }) => end > start)
    .map(write)
    .join("");
}

function called(transcript, speaker) {
  return nameOf(transcript, speaker) ?? speaker ?? "unknown";
}

function nameOf(transcript, speaker) {
  return transcript.speakers.get(speaker)?.name ?? null;
}

/** `00:01:02.345`. */
function stamp(seconds, point) {
  const ms = Math.round(seconds * 1000);
  const pad = (value, digits = 2) => String(value).padStart(digits, "0");
  const [hours, minutes] = [Math.floor(ms / 3600000), Math.floor(ms / 60000) % 60];
  return `${pad(hours)}:${pad(minutes)}:${pad(Math.floor(ms / 1000) % 60)}${point}${pad(ms % 1000, 3)}`;
}

function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell;
}
