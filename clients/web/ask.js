// A question in a dialog of the page.

import { byId, setText } from "./elements.js";

/** Asks; true if the user agrees. question, consequence: sentences; yes: what the button says. */
export async function ask(question, consequence, yes) {
  const dialog = byId("ask");
  setText(byId("ask-question"), question);
  setText(byId("ask-consequence"), consequence);
  setText(byId("ask-yes"), yes);
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  return dialog.returnValue === "yes";
}
