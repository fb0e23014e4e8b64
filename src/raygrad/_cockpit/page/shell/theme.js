import { iconButton } from "./dom.js";
import { keep, kept } from "./keep.js";
import { say } from "./messages.js";
import { describe } from "./tooltip.js";

/** Dark and light: as the system is, until a person chooses. */

const THEMES = ["system", "dark", "light"];
const DRAWING = "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11";

/** A button that goes from one to the next. */
export function themeButton() {
  let theme = THEMES.includes(kept("theme", "system")) ? kept("theme", "system") : "system";
  const made = iconButton("Colours: as the system", DRAWING, () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    keep("theme", theme);
    show();
    say(`Colours: ${words()}.`);
  });
  made.id = "theme";
  const words = () => (theme === "system" ? "as the system" : theme);
  function show() {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    made.setAttribute("aria-label", `Colours: ${words()}`);
    describe(made, `Colours: ${words()}. Press for the next: system, dark, light.`);
    document.dispatchEvent(new CustomEvent("themechange")); // what is drawn on a canvas asks for its colours anew
  }
  show();
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", show);
  return made;
}
