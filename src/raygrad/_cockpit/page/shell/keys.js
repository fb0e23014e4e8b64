import { keep, kept } from "./keep.js";

/**
 * The one table of keys. Parts register theirs, and the help is made from it.
 *
 * @typedef {Object} Key
 * @property {string | string[]} keys "Ctrl+Shift+Z" (Ctrl is also the Mac's Command), "ArrowLeft", "?", "F"; several do the same
 * @property {string} what it does, for people
 * @property {string} [where] heading of the help: "Everywhere" by default
 * @property {(event: KeyboardEvent) => void} [act] without, the part listens itself and the line is for the help only
 * @property {HTMLElement} [within] only while the focus is in here
 */

/** What browsers and screen readers keep for themselves, or what a person would miss. */
const NOT_OURS = ["Ctrl+T", "Ctrl+N", "Ctrl+W", "Ctrl+R", "Ctrl+L", "Ctrl+D", "Ctrl+F", "Ctrl+P", "Ctrl+C", "Ctrl+V", "Ctrl+X", "Ctrl+A", "Tab"];

/** @type {Key[]} */
const table = [];
let listening = false;

/**
 * Make keys known. Returns how to take them back.
 * @param {...Key} keys
 */
export function register(...keys) {
  for (const key of keys) {
    const bad = all(key).find((one) => NOT_OURS.includes(one) || taken(one, key.within));
    if (bad) console.error(`The key ${bad} for "${key.what}" is taken.`);
    table.push(key);
  }
  if (!listening) document.addEventListener("keydown", hear);
  listening = true;
  return () => {
    for (const key of keys) table.splice(table.indexOf(key), 1);
  };
}

/** All that are known, for the help. */
export function registered() {
  return table;
}

/** Keys of one letter or sign may be in the way of people who dictate: they can be turned off, but within a picture. */
export const singleKeys = {
  get on() {
    return kept("single keys", true);
  },
  set on(wanted) {
    keep("single keys", wanted);
  },
};

/**
 * How the table writes what was pressed.
 * @param {KeyboardEvent} event
 */
export function written(event) {
  const letter = /^\p{L}$/u.test(event.key);
  const sign = event.key.length === 1 && !letter;
  const name = event.key === " " ? "Space" : letter ? event.key.toUpperCase() : event.key;
  const shift = event.shiftKey && !sign;
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift ? "Shift+" : ""}${name}`;
}

/** @param {Key} key */
function all({ keys }) {
  return typeof keys === "string" ? [keys] : keys;
}

/**
 * @param {string} one
 * @param {HTMLElement} [within]
 */
function taken(one, within) {
  return table.some((key) => key.act && key.within === within && all(key).includes(one));
}

/** @param {KeyboardEvent} event */
function hear(event) {
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  const target = /** @type {Element} */ (event.target);
  const pressed = written(event);
  if (keepsFor(target, pressed)) return;
  const found = table
    .filter((key) => key.act && all(key).includes(pressed) && (!key.within || key.within.contains(target)))
    .sort((a, b) => Number(Boolean(b.within)) - Number(Boolean(a.within)))[0];
  if (!found || (!found.within && /^(Shift\+)?.$/u.test(pressed) && pressed !== "?" && !singleKeys.on)) return;
  event.preventDefault();
  found.act?.(event);
}

/**
 * Whether the control that has the focus needs this key itself.
 * @param {Element} target
 * @param {string} pressed
 */
function keepsFor(target, pressed) {
  const text = "textarea, [contenteditable], input:not([type=checkbox], [type=radio], [type=range], [type=button], [type=color])";
  if (target.matches(text)) return true;
  const plain = !pressed.startsWith("Ctrl+");
  if (target.matches("select")) return plain;
  const moves = /^(Shift\+)?(Arrow|Page|Home|End|Space|Enter)/.test(pressed);
  return moves && target.matches("button, a, summary, input, [role=separator], [role=tab], [role=slider]");
}
