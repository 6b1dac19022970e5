// The page: begins a session, comes back to one, opens those of before, and shows, stops and saves them.

import { ask } from "./ask.js";
import { sentence } from "./client/index.js";
import { fillDownloads } from "./downloads.js";
import { byId, setText } from "./elements.js";
import { showBar } from "./facts.js";
import { chosenOptions, keepsSessions, listMicrophones, takeDroppedFiles, takeTokenFromAddress } from "./inputs.js";
import { Keeper } from "./keeper.js";
import { notice } from "./notice.js";
import { Past } from "./past.js";
import { claim, forget, remember, remembered } from "./running.js";
import { Saved } from "./saved.js";
import { Session } from "./session.js";
import { listen, listenAgain, read, readAgain } from "./sources.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { Tape } from "./tape.js";

const FULL = "This browser has no room to keep more of this session: download the result before you leave the page.";
const stage = new Stage();
const saved = new Saved(openPast);
const store = await Store.open();
let session = null;
let keeper = null;
let opening = false; // a source that takes its time
let downloaded = false; // the result as it is now

byId("host").textContent = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)
  ? "this machine"
  : location.host;
byId("listen").addEventListener("click", () => attempt("Opening the microphone", () => listen(begin, microphoneGone)));
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) openFile(file);
  target.value = "";
});
byId("stop").addEventListener("click", stop);
byId("again").addEventListener("click", async () => (await mayLeave()) && welcome());
byId("options").addEventListener("toggle", listMicrophones);
addEventListener("beforeunload", (event) => (isRunning() || isUnsaved()) && event.preventDefault());
addEventListener("pagehide", () => {
  session?.tape.flush();
  if (session?.transcript.turns.size > 0 && !keeper.saved) keeper.save(session);
});
fillDownloads(byId("downloads"), () => session, () => {
  downloaded = session.ended;
});
takeDroppedFiles(() => !isRunning() && !opening, openFile);
takeTokenFromAddress();
saved.show(store);
const note = await remembered();
if (note) await comeBack(note);

function isRunning() {
  return session !== null && !session.ended;
}

/** Whether leaving the session would lose its result. */
function isUnsaved() {
  return Boolean(session?.ended && session.transcript.turns.size > 0 && !downloaded && !keeper.saved);
}

/** Whether the session may be left: asks if its result would be lost. */
async function mayLeave() {
  if (isUnsaved()) await keeper.save(session);
  const lost = "Its turns and names are not kept in this browser and have not been downloaded.";
  return !isUnsaved() || ask("Leave this session?", lost, "Leave without saving");
}

function openFile(file) {
  return attempt(`Opening ${file.name}`, () => read(file, begin));
}

/** Tries to begin a session, saying what takes its time; shows the error if it fails. */
async function attempt(what, work) {
  if (isRunning() || opening || !(await mayLeave())) return;
  opening = true;
  welcome();
  setText(byId("state"), what);
  showBar(null);
  for (const id of ["listen", "open"]) byId(id).disabled = true;
  try {
    await work();
  } catch (error) {
    welcome();
    notice(error.message);
  }
  opening = false;
  for (const id of ["listen", "open"]) byId(id).disabled = false;
}

/** Begins a session on the server with this source, or comes back to one that was remembered. */
function begin(source, before = null) {
  const kept = keepsSessions() ? store : null;
  const mine = new Keeper(before ? before.store : kept, storeIsFull, before?.summary);
  const tape = new Tape(source.rate, before?.chunks ?? [], (index, chunk) => mine.audio(index, chunk));
  const url = new URL("v1", document.baseURI.replace(/^http/, "ws")).href;
  const options = before?.options ?? chosenOptions();
  const on = {
    change: (what) => going === session && changed(what),
    state: (state, reason) => going === session && became(state, reason),
  };
  const going = new Session(source, tape, url, options, on, before?.session);
  Object.assign(going, { options, begun: before?.begun ?? null, before });
  if (!before) claim(mine.id);
  take(going, mine);
  byId("stop").focus();
  return going;
}

/** Shows this session from now on. */
function take(going, mine) {
  session = going;
  keeper = mine;
  downloaded = false;
  document.body.dataset.state = "session";
  byId("stop").hidden = going.ended;
  byId("again").hidden = !going.ended;
  scrollTo(0, 0);
  stage.show(going);
}

/** Comes back to the session that this tab was in before it was reloaded. */
async function comeBack({ id, kept, session: onServer, options, source, begun }) {
  const found = (await store?.load(id).catch(() => null)) ?? {};
  const summary = found.summary ?? { id, begun };
  const before = { ...found, store: kept ? store : null, summary, session: onServer, options, begun };
  const going = begin({ ...source, close() {} }, before);
  await going.connection.opened();
  if (going !== session || going.ended) return;
  if (source.live) await hearAgain(going, begun);
  else readAgain(going);
}

async function hearAgain(going, begun) {
  try {
    await listenAgain(going, begun, microphoneGone);
    if (going === session) notice("");
  } catch (error) {
    notice(error.message, { label: "Go on listening", run: () => hearAgain(going, begun) });
  }
}

async function openPast(id) {
  if (opening) return;
  const found = await store.load(id);
  if (!found.summary) return;
  showPast(found);
  byId("again").focus({ preventScroll: true });
}

function showPast(found) {
  forget();
  const past = new Past(found, { change: changed });
  const mine = new Keeper(store, storeIsFull, found.summary);
  mine.saved = true;
  take(past, mine);
  notice(past.transcript.final ? "" : "This session ended early: these are its turns until then.");
}

function changed(what) {
  const { message } = what;
  stage.changed(what);
  if (message.type === "started") rememberSession();
  if (message.type === "started" && session.before === null) keeper.save(session);
  if (isNews(message)) keeper.changed(session);
  if (message.type === "status" && message.warning) notice(sentence(message.warning));
  if (message.type === "error" && message.code === "unauthorized") byId("options").open = true;
  if (session.ended) downloaded = false;
}

/** Whether a message changes what is kept; of a session that came back, nothing does before its turns are back too. */
function isNews({ type }) {
  return session.transcript.turns.size > 0 && !["started", "activity", "status", "answer", "error"].includes(type);
}

function rememberSession() {
  const { title, name, live, rate, total } = session.source;
  session.begun ??= Date.now() - 1000 * session.sent;
  remember({
    id: keeper.id,
    kept: keeper.store !== null,
    session: session.connection.session,
    options: session.options,
    source: { title, name, live, rate, total },
    begun: session.begun,
  });
}

function became(state, reason = "") {
  const { before, transcript } = session;
  if (session.ended) ended();
  if (state === "failed" && transcript.turns.size === 0) {
    if (before?.transcript) showPast(before);
    else welcome();
    if (!before?.transcript) notice(reason);
    return;
  }
  if (state === "lost") notice(`${reason} Reconnecting; the audio is kept.`);
  else notice(reason || (keeper.full ? FULL : ""));
  stage.refresh();
}

function ended() {
  forget();
  session.tape.flush();
  byId("stop").hidden = true;
  byId("again").hidden = false;
  byId("again").focus({ preventScroll: true });
  if (session.transcript.turns.size > 0) keeper.save(session).then(() => store?.trim());
  else if (!session.before?.transcript) store?.delete(keeper.id);
}

function stop() {
  if (!session) return;
  session.source.stopped = true;
  session.stop();
  stage.refresh();
}

function microphoneGone() {
  notice("The microphone was disconnected. Was it unplugged?");
  session?.stop();
}

function storeIsFull() {
  notice(FULL);
}

function welcome() {
  session = null;
  stage.show(null);
  notice("");
  document.body.dataset.state = "welcome";
  setText(byId("state"), "Ready");
  setText(byId("part"), "");
  showBar(undefined);
  byId("light").className = "light";
  byId("listen").focus();
  saved.show(store);
}
