import { button, element } from "./dom.js";

/** What is said to a person: a line of status, and messages that stay until they are dismissed. */

/**
 * Say something in the line of status; screen readers say it, too, when they have time.
 * @param {string} text
 */
export function say(text) {
  const status = document.getElementById("status");
  if (status && status.textContent !== text) status.textContent = text;
}

/**
 * Show a message that stays.
 * @param {string} text
 * @param {{kind?: "bad" | "warn" | "good", id?: string, actions?: {text: string, act: () => void}[]}} [options] a message
 *   takes the place of an older one of the same id
 * @returns {() => void} how to take it away
 */
export function tell(text, { kind = "bad", id = text, actions = [] } = {}) {
  const host = document.getElementById("messages");
  if (!host) return () => {};
  const there = /** @type {HTMLElement[]} */ ([...host.children]).find((one) => one.dataset.about === id);
  const close = () => message.remove();
  const message = element(
    "div",
    { class: `message ${kind}`, role: kind === "bad" ? "alert" : "status", "data-about": id },
    element("p", {}, text),
    ...actions.map((action) => button(action.text, () => (action.act(), close()))),
    button("Dismiss", close, { class: "quiet" }),
  );
  if (there) there.replaceWith(message);
  else host.append(message);
  return close;
}
