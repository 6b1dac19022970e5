// Small helpers for making parts of the page.

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

/** Sets the text only where it is another one: the page is not laid out for nothing. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Colours a mark for a speaker's look. */
export function paint(mark, { colour, striped }) {
  mark.style.setProperty("--colour", colour);
  mark.classList.toggle("striped", striped);
}
