// The buttons that save the result, and the audio, as files.

import { FORMATS, formatted } from "./client/index.js";
import { element, save } from "./elements.js";

/** Fills the box with buttons; current(): the session to save; onSave(): it was saved completely. */
export function fillDownloads(box, current, onSave) {
  const buttons = Object.entries(FORMATS).map(([format, { name }]) =>
    button(name, () => {
      saveAs(format, current());
      onSave();
    }),
  );
  const audio = button("Audio", () => {
    const session = current();
    save(`${stem(session)}.wav`, session.tape.wav());
  });
  box.replaceChildren(...buttons, audio);
}

function saveAs(format, session) {
  const { source, started, transcript } = session;
  const recording = { name: stem(session), title: source.title, config: started?.config, model: started?.model };
  const { ending, type } = FORMATS[format];
  save(`${stem(session)}.${ending}`, new Blob([formatted(format, transcript, recording)], { type }));
}

/** The name of the source, without its file extension. */
function stem({ source }) {
  return source.name ? source.name.replace(/\.[^.]*$/, "") : "turnstream";
}

function button(name, act) {
  const made = element("button", { type: "button", className: "small", textContent: name });
  made.addEventListener("click", act);
  return made;
}
