// The texts and numbers of a session that change with messages, not with time; and how far it is.

import { byId, setText } from "./elements.js";
import { clock, count } from "./words.js";

const BEHIND_S = 0.5; // a backlog under one hop is the normal wait for the next window
const LATE_S = 3;
const LONG_S = 3; // the end of a session that takes longer is counted in seconds
const STATES = { ended: "Finished", failed: "Ended early", lost: "Reconnecting", connecting: "Connecting" };

/** Shows the current facts of a session. */
export function showFacts(session) {
  const { transcript, started, status, source, ended } = session;
  setText(byId("state"), stateOf(session));
  showCounts(transcript);
  for (const id of ["backlog-row", "level-row", "legend"]) byId(id).hidden = ended;
  byId("delay-row").hidden = ended || !source.live;
  fact("delay", session.delay === null ? "–" : `${session.delay.toFixed(1)} s`, session.delay > LATE_S);
  fact(
    "backlog",
    status ? (status.backlog > BEHIND_S ? `${status.backlog.toFixed(1)} s` : "none") : "–",
    status?.backlog > LATE_S && source.live,
  );
  fact("committed-after", started ? `${started.config.latency} s` : "–");
  byId("load-row").hidden = !status;
  fact("load", status ? `${(100 * status.realtime_factor).toFixed(0)} %` : "–", status?.realtime_factor > 1);
  fact("sent", clock(session.sent));
  byId("kept-row").hidden = session.state !== "lost";
  fact("kept", `${session.waiting.toFixed(1)} s`);
  byId("lost-row").hidden = !status?.dropped;
  fact("lost", `${(status?.dropped ?? 0).toFixed(1)} s`);
  setText(
    byId("model"),
    started ? `${started.model.name} · ${started.model.segmentation} · ${started.model.embedding}` : "",
  );
}

/** Shows how far a session is, as a bar and in words. */
export function showProgress(session) {
  const { progress, stopping } = session;
  showBar(progress);
  if (progress === null && stopping) session.finishing ??= Date.now();
  const seconds = Math.round((Date.now() - session.finishing) / 1000);
  const long = progress === null && stopping && seconds > LONG_S;
  setText(byId("part"), progress ? `${Math.floor(100 * progress)} %` : long ? `${seconds} s` : "");
}

/** part: 0 to 1; null while that is not known, undefined for no bar. */
export function showBar(part) {
  const bar = byId("progress");
  bar.hidden = part === undefined;
  if (part === null) bar.removeAttribute("value");
  else bar.value = part ?? 0;
}

function showCounts(transcript) {
  const turns = transcript.turns.size;
  const people = transcript.talkers().filter((speaker) => speaker !== null).length;
  const last = transcript.corrected ? ` (${transcript.corrected} at the end)` : "";
  const corrections = count(transcript.corrections, "correction") + last;
  setText(byId("counts"), [count(turns, "turn"), count(people, "speaker"), corrections].join(" · "));
  byId("no-turns").hidden = turns > 0;
  for (const button of byId("downloads").children) button.disabled = turns === 0;
  const soFar = turns ? "The result so far; the final one follows at the end." : "Ready as soon as there are turns.";
  setText(byId("save-hint"), transcript.final ? "The final result." : soFar);
}

function stateOf({ state, stopping, source, ended, progress }) {
  if (ended || state !== "open") return STATES[state];
  if (source.live && !stopping) return "Listening";
  if (stopping && (source.live || progress === null || source.stopped)) return "Finishing";
  return `Reading ${source.name}`;
}

function fact(id, text, bad = false) {
  setText(byId(id), text);
  byId(id).classList.toggle("bad", bad);
}
