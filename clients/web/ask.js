// A question in a dialog of the page.

import { answer, byId, setText } from "./elements.js";

/** Asks; true if the user agrees. question, consequence: sentences; yes: what the button says. */
export async function ask(question, consequence, yes) {
  setText(byId("ask-question"), question);
  setText(byId("ask-consequence"), consequence);
  setText(byId("ask-yes"), yes);
  return (await answer(byId("ask"))) === "yes";
}
