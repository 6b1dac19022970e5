// The page: starts a session from the microphone or a recording, and shows, stops and saves it.

import { formatted, sentence } from "./client/index.js";
import { byId, save, setText } from "./elements.js";
import { Microphone, microphones } from "./microphone.js";
import { Recording } from "./recording.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";

const stage = new Stage();
let session = null;

byId("host").textContent = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)
  ? "this machine"
  : location.host;
byId("listen").addEventListener("click", () => attempt(listen));
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) attempt(() => read(file));
  target.value = "";
});
byId("stop").addEventListener("click", () => session?.stop());
byId("again").addEventListener("click", welcome);
for (const format of ["rttm", "json"]) byId(`save-${format}`).addEventListener("click", () => download(format));
byId("options").addEventListener("toggle", listMicrophones);
addEventListener("beforeunload", (event) => session && !session.ended && event.preventDefault());
takeDroppedFiles();
takeTokenFromAddress();

async function listen() {
  let take = () => {}; // audio from before the session exists is dropped
  const gone = () => {
    notice("The microphone was disconnected. Was it unplugged?");
    session?.stop();
  };
  const microphone = await Microphone.open(byId("device").value, (bytes, peak) => take(bytes, peak), gone);
  const source = {
    title: "microphone",
    live: true,
    rate: microphone.rate,
    total: null,
    close: () => microphone.close(),
  };
  const mine = begin(source);
  take = (bytes, peak) => mine.take(bytes, peak);
}

async function read(file) {
  const recording = await Recording.open(file);
  const { name, rate, duration: total } = recording;
  const live = byId("pace").value === "live";
  const mine = begin({ title: name, name, live, rate, total, close: () => recording.stop() });
  const ready = () => mine.connection.drained();
  recording.play(live, ready, (bytes, peak) => mine.take(bytes, peak)).then(() => mine.stop());
}

/** Tries to begin a session; shows the error if it fails. */
async function attempt(work) {
  if (session && !session.ended) return;
  if (session) welcome();
  notice("");
  for (const id of ["listen", "open"]) byId(id).disabled = true;
  try {
    await work();
  } catch (error) {
    notice(error.message);
  }
  for (const id of ["listen", "open"]) byId(id).disabled = false;
}

function begin(source) {
  const url = new URL("v1", document.baseURI.replace(/^http/, "ws")).href;
  const options = { latency: Number(byId("latency").value) };
  const people = Number(byId("people").value);
  if (people) Object.assign(options, { min_speakers: people, max_speakers: people });
  const token = byId("token").value.trim();
  if (token) options.token = token;
  const mine = new Session(source, url, options, {
    change: (what) => mine === session && changed(what),
    state: (state, sentence) => mine === session && became(state, sentence),
  });
  session = mine;
  document.body.dataset.state = "session";
  byId("stop").hidden = false;
  byId("again").hidden = true;
  byId("stop").focus();
  stage.show(mine);
  return mine;
}

function changed(what) {
  stage.changed(what);
  if (what.message.type === "status" && what.message.warning) notice(sentence(what.message.warning));
  if (what.message.type === "error" && what.message.code === "unauthorized") byId("options").open = true;
}

function became(state, reason = "") {
  if (state === "failed" && session.transcript.turns.size === 0) {
    welcome();
    notice(reason);
    return;
  }
  if (state === "lost") notice(`${reason} Reconnecting; the audio is kept.`);
  else notice(reason);
  if (session.ended) {
    byId("stop").hidden = true;
    byId("again").hidden = false;
    byId("again").focus({ preventScroll: true });
  }
  stage.refresh();
}

function welcome() {
  session = null;
  stage.show(null);
  notice("");
  document.body.dataset.state = "welcome";
  setText(byId("state"), "Ready");
  byId("light").className = "light";
  byId("listen").focus();
}

function download(format) {
  const { source, started, transcript } = session;
  const recording = { name: stem(), title: source.title, config: started?.config, model: started?.model };
  save(`${stem()}.${format}`, formatted(format, transcript, recording), "text/plain");
}

/** The name of the source, without its file extension, for naming downloads. */
function stem() {
  return session.source.name ? session.source.name.replace(/\.[^.]*$/, "") : "turnstream";
}

/** Shows a notice; an empty text hides it. */
function notice(text) {
  byId("notice").hidden = !text;
  setText(byId("notice"), text);
}

async function listMicrophones() {
  const chosen = byId("device").value;
  const options = (await microphones()).map((device) => new Option(device.label, device.deviceId));
  byId("device").replaceChildren(new Option("System default", ""), ...options);
  byId("device").value = options.some((option) => option.value === chosen) ? chosen : "";
}

function takeDroppedFiles() {
  const wanted = (event) => event.dataTransfer?.types.includes("Files") && (!session || session.ended);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop").hidden = !wanted(event);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) byId("drop").hidden = true;
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    byId("drop").hidden = true;
    const [file] = event.dataTransfer.files;
    if (wanted(event) && file) attempt(() => read(file));
  });
}

/** `#token=...` in the address fills the token field and is then removed from the address. */
function takeTokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  byId("token").value = token;
  history.replaceState(null, "", location.pathname + location.search);
}
