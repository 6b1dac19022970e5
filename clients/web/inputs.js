// What the user gives the page on its first screen: options, a token in the address, a dropped file.

import { byId } from "./elements.js";
import { microphones } from "./microphone.js";

/** The options as fields of `start`. */
export function chosenOptions() {
  const options = { latency: Number(byId("latency").value) };
  const people = Number(byId("people").value);
  if (people) Object.assign(options, { min_speakers: people, max_speakers: people });
  const token = byId("token").value.trim();
  if (token) options.token = token;
  return options;
}

/** Whether sessions are to be kept in this browser. */
export function keepsSessions() {
  return byId("keep").value === "yes";
}

/** Fills the list of microphones, once their names may be known. */
export async function listMicrophones() {
  const chosen = byId("device").value;
  const options = (await microphones()).map((device) => new Option(device.label, device.deviceId));
  byId("device").replaceChildren(new Option("System default", ""), ...options);
  byId("device").value = options.some((option) => option.value === chosen) ? chosen : "";
}

/** Calls onFile(file) for a file that is dropped anywhere, as long as willing(). */
export function takeDroppedFiles(willing, onFile) {
  const wanted = (event) => event.dataTransfer?.types.includes("Files") && willing();
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
    if (wanted(event) && file) onFile(file);
  });
}

/** `#token=...` in the address fills the token field and is then removed from the address. */
export function takeTokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  byId("token").value = token;
  history.replaceState(null, "", location.pathname + location.search);
}
