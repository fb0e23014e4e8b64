import { iconButton } from "./dom.js";
import { register } from "./keys.js";
import { describe } from "./tooltip.js";

/** One picture over all others, but for the panels at the side, until it is put back. */

const OUT = "M9.5 2.5h4v4M13.5 2.5l-5 5M6.5 13.5h-4v-4M2.5 13.5l5-5";
const BACK = "M13 7H9V3M9 7l4.5-4.5M3 9h4v4M7 9l-4.5 4.5";

/** @type {(() => void) | null} */
let putBack = null;

/**
 * A button that enlarges what is around it.
 * @param {HTMLElement} panel a panel of the X-rays or of the middle
 * @param {string} title
 */
export function enlargeButton(panel, title) {
  const made = iconButton("", OUT, () => (panel.classList.contains("enlarged") ? putBack?.() : enlarge()), { class: "icon quiet", "aria-pressed": "false" });
  made.setAttribute("aria-label", `Enlarge ${title}`);
  describe(made, "Larger, over the other pictures; Escape puts it back");
  const line = made.querySelector("path");

  /** @param {boolean} large */
  function show(large) {
    panel.classList.toggle("enlarged", large);
    made.setAttribute("aria-pressed", String(large));
    line?.setAttribute("d", large ? BACK : OUT);
    for (const other of document.querySelectorAll("#xrays .panel, #space .panel, .splitter")) {
      if (other !== panel) /** @type {HTMLElement} */ (other).inert = large;
    }
  }
  function enlarge() {
    putBack?.();
    const unregister = register({ keys: "Escape", what: "Put the enlarged picture back", act: () => putBack?.() });
    show(true);
    putBack = () => {
      putBack = null;
      unregister();
      show(false);
      made.focus();
    };
  }
  return made;
}
