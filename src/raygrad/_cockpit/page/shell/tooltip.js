import { element, newId } from "./dom.js";

/** Tooltips that come for the keyboard, too, stay under the pointer, and go with Escape. */

const WAIT_MS = 500;

/**
 * Say more about a control than its name does. What it says can be changed by another call.
 * @param {HTMLElement} control
 * @param {string} text
 */
export function describe(control, text) {
  const there = texts.get(control);
  texts.set(control, text);
  const description = there === undefined ? addDescription(control) : document.getElementById(control.getAttribute("aria-describedby") ?? "");
  if (description) description.textContent = text;
  if (shown === control && tip) tip.textContent = text;
}

/** @type {WeakMap<HTMLElement, string>} */
const texts = new WeakMap();
/** @type {HTMLElement | null} */
let tip = null;
/** @type {HTMLElement | null} */
let shown = null;
let timer = 0;

/** @param {HTMLElement} control */
function addDescription(control) {
  const id = newId("description");
  const description = element("span", { id, class: "description", hidden: true });
  document.body.append(description);
  control.setAttribute("aria-describedby", id);
  control.removeAttribute("title");
  control.addEventListener("pointerenter", () => wait(control));
  control.addEventListener("pointerleave", () => hide());
  control.addEventListener("pointerdown", () => hide());
  control.addEventListener("focus", () => control.matches(":focus-visible") && wait(control));
  control.addEventListener("blur", () => hide());
  return description;
}

/** @param {HTMLElement} control */
function wait(control) {
  clearTimeout(timer);
  if (shown !== control) remove();
  timer = window.setTimeout(() => show(control), WAIT_MS);
}

/** @param {HTMLElement} control */
function show(control) {
  if (!control.isConnected) return;
  if (!tip) {
    tip = element("div", { class: "tooltip", popover: "manual", "aria-hidden": "true" });
    tip.addEventListener("pointerenter", () => clearTimeout(timer));
    tip.addEventListener("pointerleave", () => hide());
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  }
  document.body.append(tip);
  tip.textContent = texts.get(control) ?? "";
  tip.showPopover();
  shown = control;
  const box = control.getBoundingClientRect();
  const left = Math.min(Math.max(4, box.left), window.innerWidth - tip.offsetWidth - 4);
  const below = box.bottom + 6;
  const top = below + tip.offsetHeight > window.innerHeight ? box.top - tip.offsetHeight - 6 : below;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

function hide() {
  clearTimeout(timer);
  timer = window.setTimeout(remove, 100); // time to come to the tooltip, which may be read with a magnifier
}

function remove() {
  shown = null;
  tip?.remove();
}
