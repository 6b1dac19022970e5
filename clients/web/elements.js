// Small helpers for building parts of the page.

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with properties (class names as `className`) and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Sets the text only if it differs, to avoid needless layout. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Colors a mark with a speaker's look. */
export function paint(mark, { color, striped }) {
  mark.style.setProperty("--color", color);
  mark.classList.toggle("striped", striped);
}

/** Lets the browser download a Blob as a file. */
export function save(fileName, blob) {
  const link = element("a", { href: URL.createObjectURL(blob), download: fileName });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const questions = new WeakMap(); // dialog -> how often it was shown

/** Shows a dialog; the value of the button that closes it, "" where there is none or it was shown anew meanwhile. */
export async function answer(dialog) {
  const own = (questions.get(dialog) ?? 0) + 1;
  questions.set(dialog, own);
  dialog.returnValue = "";
  dialog.showModal();
  // The event comes later than the dialog closes: it may be that of the question before.
  do await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  while (dialog.open && questions.get(dialog) === own);
  return questions.get(dialog) === own ? dialog.returnValue : "";
}
