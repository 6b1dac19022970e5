// The texts and numbers of a session that change with messages, not with time.

import { byId, setText } from "./elements.js";
import { clock, count } from "./words.js";

const BEHIND_S = 0.5; // a backlog under one hop is the normal wait for the next window
const LATE_S = 3;
const STATES = { ended: "Finished", failed: "Ended early", lost: "Reconnecting", connecting: "Connecting" };

/** Shows the current facts of a session. */
export function showFacts(session) {
  const { transcript, connection, started, status, source } = session;
  setText(byId("state"), stateOf(session));
  showCounts(transcript);
  fact(
    "delay",
    source.live && session.delay !== null ? `${session.delay.toFixed(1)} s` : "–",
    session.delay > LATE_S && source.live,
  );
  fact(
    "backlog",
    status && !session.ended ? (status.backlog > BEHIND_S ? `${status.backlog.toFixed(1)} s` : "none") : "–",
    status?.backlog > LATE_S && source.live && !session.ended,
  );
  fact("committed-after", started ? `${started.config.latency} s` : "–");
  fact("load", status ? `${(100 * status.realtime_factor).toFixed(0)} %` : "–", status?.realtime_factor > 1);
  fact("sent", clock(connection.position));
  byId("kept-row").hidden = session.state !== "lost";
  fact("kept", `${connection.waiting.toFixed(1)} s`);
  byId("lost-row").hidden = !status?.dropped;
  fact("lost", `${(status?.dropped ?? 0).toFixed(1)} s`);
  byId("level-row").hidden = session.ended;
  setText(
    byId("model"),
    started ? `${started.model.name} · ${started.model.segmentation} · ${started.model.embedding}` : "",
  );
}

function showCounts(transcript) {
  const turns = transcript.turns.size;
  const people = transcript.talkers().filter((speaker) => speaker !== null).length;
  setText(
    byId("counts"),
    [count(turns, "turn"), count(people, "speaker"), count(transcript.corrections, "correction")].join(" · "),
  );
  byId("no-turns").hidden = turns > 0;
  for (const id of ["save-rttm", "save-json"]) byId(id).disabled = turns === 0;
  const soFar = turns ? "The result so far; the final one follows at the end." : "Ready as soon as there are turns.";
  setText(byId("save-hint"), transcript.final ? "The final result." : soFar);
}

function stateOf({ state, stopping, source }) {
  if (state !== "open") return STATES[state];
  if (stopping && source.live) return "Finishing";
  return source.name ? `Reading ${source.name}` : "Listening";
}

function fact(id, text, bad = false) {
  setText(byId(id), text);
  byId(id).classList.toggle("bad", bad);
}
