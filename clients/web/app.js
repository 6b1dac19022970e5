// The page: from a microphone or a recording through the connection to what is seen, heard and saved.

import { Connection } from "./connection.js";
import { byId, setText } from "./elements.js";
import { Lanes } from "./lanes.js";
import { Microphone, microphones } from "./microphone.js";
import { Recording } from "./recording.js";
import { json, rttm, save } from "./results.js";
import { Speakers } from "./speakers.js";
import { Transcript } from "./transcript.js";
import { Announcer, Turns } from "./turns.js";
import { View } from "./view.js";
import { clock, count, listed } from "./words.js";

const GROWS_MS = 1200; // a turn that grew this lately goes on
const QUIETEST_DB = -60;
const METER_FALL_DB_PER_S = 24;
const BEHIND_S = 0.5; // a backlog under one hop is the normal wait for the next window

const speakers = new Speakers(byId("speakers"), nameSpeaker);
const lanes = new Lanes(byId("canvas"), (speaker) => speakers.middle(speaker));
const view = new View(byId("spans"), byId("scrub"), byId("position"), byId("live"), byId("canvas"), () => redraw());
const turns = new Turns(byId("turns"), byId("turns-scroll"), (id) => view.show(session?.transcript.turns.get(id)));
const announcer = new Announcer(byId("announce"));

let session = null; // {title, live, transcript, connection, source, started, ended, grew, levelDb, delay, ...}

byId("host").textContent = location.hostname === "localhost" || location.hostname === "127.0.0.1" ? "this machine" : location.host;
byId("listen").addEventListener("click", listen);
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  if (target.files.length) openRecording(target.files[0]);
  target.value = "";
});
byId("stop").addEventListener("click", stop);
byId("again").addEventListener("click", again);
byId("save-rttm").addEventListener("click", () => save(`${stem()}.rttm`, rttm(session.transcript, session.title), "text/plain"));
byId("save-json").addEventListener("click", () => save(`${stem()}.json`, json(session.transcript, session.title, session.started), "application/json"));
byId("options").addEventListener("toggle", listMicrophones);
byId("canvas").addEventListener("click", (event) => {
  const id = lanes.at(event.offsetX, event.offsetY);
  if (id !== null) turns.reveal(id);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  lanes.readColours();
  redraw();
});
new ResizeObserver(() => redraw()).observe(byId("lanes"));
addEventListener("beforeunload", (event) => session && !session.ended && event.preventDefault());
dropFiles();
tokenFromAddress();

async function listen() {
  notice("");
  busy(true);
  try {
    let begin;
    const ready = new Promise((resolve) => { begin = resolve; });
    const take = async (bytes, peak) => (await ready).take(bytes, peak);
    const source = await Microphone.open(byId("device").value, take, () => stop("The microphone is gone: was it unplugged?"));
    begin(start({ title: "microphone", live: true, rate: source.rate, stop: () => source.close() }));
  } catch (error) {
    notice(error.message);
  }
  busy(false);
}

async function openRecording(file) {
  if (session && !session.ended) return;
  if (session) again();
  notice("");
  busy(true);
  try {
    const recording = await Recording.open(file);
    const live = byId("pace").value === "live";
    const { take, connection } = start({ title: recording.name, live, rate: recording.rate, total: recording.duration, stop: () => recording.stop() });
    const mine = session;
    recording.play(live, () => connection.drained(), take).then(() => mine === session && stop());
  } catch (error) {
    notice(error.message);
  }
  busy(false);
}

/** Begins a session; gives {take(bytes, peak), connection}. */
function start({ title, live, rate, total = null, stop: end }) {
  const mine = {
    title, live, total, end, rate, transcript: new Transcript(), started: null, ended: false, stopping: false,
    grew: new Map(), levelDb: QUIETEST_DB, delay: null, status: null, speech: false, shownNow: 0, frameAt: performance.now(),
  };
  session = mine;
  speakers.clear();
  turns.clear();
  announcer.clear();
  view.reset();
  document.body.dataset.state = "session";
  byId("stop").hidden = false;
  byId("stop").focus();
  byId("again").hidden = true;
  byId("level-row").hidden = false;
  const wanted = {
    encoding: "pcm_s16le", sample_rate: rate, channels: 1, latency: Number(byId("latency").value), provisional: true, activity: true,
  };
  const token = byId("token").value.trim();
  if (token) wanted.token = token;
  const url = new URL("v1", document.baseURI.replace(/^http/, "ws"));
  url.hash = url.search = "";
  const on = {
    message: (message) => mine === session && took(message),
    state: (state, sentence) => mine === session && connectionState(state, sentence),
  };
  mine.connection = new Connection(url.href, wanted, on);
  facts();
  requestAnimationFrame(frame);
  return { connection: mine.connection, take: (bytes, peak) => mine === session && heard(bytes, peak) };
}

function heard(bytes, peak) {
  session.connection.send(bytes);
  const db = peak > 0 ? 20 * Math.log10(peak) : QUIETEST_DB;
  const fallen = session.levelDb - (METER_FALL_DB_PER_S * bytes.length) / (2 * session.rate);
  session.levelDb = Math.max(QUIETEST_DB, db, fallen);
}

function took(message) {
  const { transcript } = session;
  const before = new Map();
  if (message.type === "revision") for (const id of message.turns) before.set(id, transcript.turns.get(id)?.speaker);
  if (message.type === "turn") before.set(message.id, transcript.turns.get(message.id)?.speaker);
  if (message.type === "final") for (const [id, turn] of transcript.turns) before.set(id, turn.speaker);
  if (message.type === "turn") growing(message);
  const ids = transcript.apply(message);
  const revised = new Set(message.type === "revision" ? ids : []);
  for (const id of ids) {
    const speaker = transcript.turns.get(id)?.speaker;
    const was = before.get(id);
    if (speaker !== undefined && was !== undefined && was !== speaker) lanes.moved(id, was, message.type !== "turn");
  }
  if (message.type === "started") session.started = message;
  if (message.type === "status") session.status = message;
  if (message.type === "activity") session.speech = message.speech;
  if (message.type === "final") session.grew.clear();
  turns.update(transcript, message.type === "speaker" ? [...transcript.turns.keys()] : ids, revised);
  announcer.update(transcript, ids);
  facts();
  redraw();
}

/** A turn that is longer than before: its speaker talks now, and its end says how far the labels are behind. */
function growing(message) {
  const before = session.transcript.turns.get(message.id);
  if (message.state !== "provisional") {
    session.grew.delete(message.id);
  } else if (!before || message.end > before.end + 1e-6) {
    session.grew.set(message.id, performance.now());
    const delay = session.connection.position - message.end;
    session.delay = session.delay === null ? delay : 0.7 * session.delay + 0.3 * delay;
  }
}

function connectionState(state, sentence = "") {
  session.connectionState = state;
  if (state === "lost") notice(`${sentence} Trying again; the audio is kept.`, "waiting");
  else notice(sentence);
  if (state === "ended" || state === "failed") {
    session.end();
    session.ended = true;
    session.grew.clear();
    session.levelDb = QUIETEST_DB;
    view.ended();
    byId("stop").hidden = true;
    byId("again").hidden = false;
    byId("again").focus({ preventScroll: true });
    byId("level-row").hidden = true;
  }
  facts();
  redraw();
}

function stop(reason) {
  if (!session || session.stopping) return;
  session.stopping = true;
  session.end();
  session.connection.stop();
  if (typeof reason === "string") notice(reason);
  facts();
}

function again() {
  session = null;
  notice("");
  document.body.dataset.state = "welcome";
  setText(byId("state"), "Ready");
  byId("light").className = "light";
  byId("listen").focus();
}

function nameSpeaker(speaker, name) {
  const { transcript, connection, ended } = session;
  if (ended) {
    transcript.rename(speaker, name);
    turns.update(transcript, [...transcript.turns.keys()], new Set());
    facts();
  } else {
    connection.name(speaker, name);
  }
}

/** Speakers whose turns grow. */
function talking() {
  const now = performance.now();
  for (const [id, at] of session.grew) if (now - at > GROWS_MS) session.grew.delete(id);
  const ids = [...session.grew.keys()].filter((id) => session.transcript.turns.has(id));
  return new Set(ids.map((id) => session.transcript.turns.get(id).speaker));
}

function frame(time) {
  if (!session) return;
  const target = session.live ? session.connection.position : session.transcript.horizon;
  const passed = Math.max(0, Math.min(time - session.frameAt, 200));
  session.frameAt = time;
  session.shownNow += (target - session.shownNow) * (1 - Math.exp(-passed / 150));
  if (session.ended) session.shownNow = Math.max(session.transcript.horizon, 0);
  redraw();
  if (!session.ended || lanes.busy) requestAnimationFrame(frame);
}

function redraw() {
  if (!session) return;
  const { transcript } = session;
  const talks = talking();
  speakers.update(transcript, talks);
  const people = transcript.talkers().filter((speaker) => speaker !== null);
  const names = people.filter((speaker) => talks.has(speaker)).map((speaker) => transcript.label(speaker));
  const someone = talks.has(null) ? "Somebody" : "Nobody just now";
  setText(byId("lanes-heading"), session.ended ? "Heard in all" : "Speaking now");
  setText(byId("now"), session.ended ? count(people.length, "speaker") : names.length ? listed(names) : someone);
  byId("now").classList.toggle("nobody", !session.ended && names.length === 0);
  byId("silence").hidden = transcript.talkers().length > 0;
  const now = session.ended ? transcript.horizon : session.shownNow;
  const [first, last] = view.range(now);
  lanes.draw(transcript.turns.values(), transcript.talkers(), first, last, session.ended ? null : now);
  setText(byId("clock"), clock(now) + (session.total && !session.ended ? ` of ${clock(session.total, false)}` : ""));
  level();
  light(talks);
}

function level() {
  const part = 1 - session.levelDb / QUIETEST_DB;
  byId("level").style.setProperty("--part", part.toFixed(3));
  byId("level").classList.toggle("loud", session.levelDb > -1);
  byId("level").setAttribute("aria-valuenow", String(Math.round(session.levelDb)));
}

function light(talks) {
  const { connectionState: state, ended } = session;
  const speaks = !ended && state === "open" && (talks.size > 0 || session.speech);
  const kind = ended ? "done" : state === "lost" ? "lost" : speaks ? "speech" : state === "open" ? "on" : "";
  byId("light").className = `light ${kind}`;
}

/** The words and numbers that change with messages, not with time. */
function facts() {
  const { transcript, connection, started, status, stopping, connectionState: state } = session;
  setText(byId("state"), stateText(state, stopping));
  const number = transcript.turns.size;
  const people = transcript.talkers().filter((speaker) => speaker !== null).length;
  const corrected = transcript.revisions.length;
  setText(byId("counts"), `${count(number, "turn")} · ${count(people, "speaker")} · ${count(corrected, "correction")}`);
  byId("no-turns").hidden = number > 0;
  for (const id of ["save-rttm", "save-json"]) byId(id).disabled = number === 0;
  setText(byId("save-hint"), transcript.final ? "The final result." : number ? "As it stands now; the final result comes at the end." : "Ready as soon as there are turns.");
  setText(byId("delay"), session.live && session.delay !== null ? `${session.delay.toFixed(1)} s` : "–");
  setText(byId("backlog"), status ? (status.backlog > BEHIND_S ? `${status.backlog.toFixed(1)} s` : "none") : "–");
  setText(byId("committed-after"), started ? `${started.config.latency} s` : "–");
  setText(byId("load"), status ? `${(100 * status.realtime_factor).toFixed(0)} %` : "–");
  setText(byId("sent"), connection ? clock(connection.position) : "–");
  byId("kept-row").hidden = state !== "lost";
  setText(byId("kept"), connection ? `${connection.waiting.toFixed(1)} s` : "–");
  byId("lost-row").hidden = !status?.dropped;
  setText(byId("lost"), `${(status?.dropped ?? 0).toFixed(1)} s`);
  setText(byId("model"), started ? `${started.model.name} · ${started.model.segmentation} · ${started.model.embedding}` : "");
  if (status?.warning) notice(`${status.warning[0].toUpperCase()}${status.warning.slice(1)}.`);
}

function stateText(state, stopping) {
  if (state === "ended") return "Finished";
  if (state === "failed") return "Ended early";
  if (state === "lost") return "Reconnecting";
  if (state === "connecting" || state === undefined) return "Connecting";
  if (stopping) return "Finishing";
  return session.title === "microphone" ? "Listening" : `Reading ${session.title}`;
}

function stem() {
  return session.title === "microphone" ? "turnstream" : session.title.replace(/\.[^.]*$/, "");
}

function notice(text, kind = "problem") {
  byId("notice").hidden = !text;
  byId("notice").dataset.kind = kind;
  setText(byId("notice"), text);
}

function busy(is) {
  for (const id of ["listen", "open"]) byId(id).disabled = is;
}

async function listMicrophones() {
  const chosen = byId("device").value;
  const options = (await microphones()).map((device) => new Option(device.label, device.deviceId));
  byId("device").replaceChildren(new Option("System default", ""), ...options);
  byId("device").value = options.some((option) => option.value === chosen) ? chosen : "";
}

function dropFiles() {
  const holds = (event) => event.dataTransfer?.types.includes("Files") && (!session || session.ended);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop").hidden = !holds(event);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) byId("drop").hidden = true;
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    byId("drop").hidden = true;
    if (holds(event) && event.dataTransfer.files.length) openRecording(event.dataTransfer.files[0]);
  });
}

/** `#token=...` in the address fills the field; the address does not keep it. */
function tokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  byId("token").value = token;
  history.replaceState(null, "", location.pathname + location.search);
}
