import { iconButton } from "./dom.js";
import { showHelp } from "./help.js";
import { register } from "./keys.js";
import { rove } from "./roving.js";
import { themeButton } from "./theme.js";
import { describe } from "./tooltip.js";

/** @typedef {import("../app.js").App} App */

/**
 * What is about the page and not the patient: tour, keys, colours.
 * @param {HTMLElement} host
 */
export function mountMenu(host) {
  const keys = iconButton("Keys", "M1.5 4.5h13v7h-13zM4 7h.01M6.7 7h.01M9.3 7h.01M12 7h.01M4.5 9.5h7", showHelp, { id: "keys" });
  describe(keys, "What keys and the pointer do (?)");
  host.append(keys, themeButton());
  rove(host, "button");
  register({ keys: "?", what: "This help", act: showHelp });
}
