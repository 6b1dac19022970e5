// The line above everything that says what went wrong.

import { byId, setText } from "./elements.js";

/** Shows a sentence; an empty one hides it. act: {label, run}, a button that does something about it. */
export function notice(text, act = null) {
  byId("notice").hidden = !text;
  setText(byId("notice-text"), text);
  const button = byId("notice-act");
  button.hidden = act === null;
  setText(button, act?.label ?? "");
  button.onclick = act && (() => act.run());
}
