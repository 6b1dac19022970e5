// A choice in a dialog of the page.

import { answer, byId, element, paint, setText } from "./elements.js";
import { look } from "./words.js";

/**
 * Asks for one of `choices`, {value, label, speaker}, where a speaker gives it their color; null if the user wants none
 * of them.
 */
export async function pick(question, choices) {
  setText(byId("pick-question"), question);
  byId("pick-choices").replaceChildren(...choices.map((choice) => element("li", {}, button(choice))));
  return (await answer(byId("pick"))) || null;
}

function button({ value, label, speaker = null }) {
  const mark = element("i", { className: "swatch" });
  if (speaker !== null) paint(mark, look(speaker));
  const made = element("button", { value }, ...(speaker === null ? [] : [mark]), label);
  return made;
}
