import { button } from "./shell/dom.js";
import { register } from "./shell/keys.js";
import { rove } from "./shell/roving.js";
import { describe } from "./shell/tooltip.js";

/** @typedef {import("./app.js").App} App */

/**
 * The buttons of the bar. Parts add theirs to the same place.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountTools(host, { store, connection }) {
  const undo = button("Undo", () => connection.send("undo"), { id: "undo" });
  const redo = button("Redo", () => connection.send("redo"), { id: "redo" });
  const reset = button("Reset", () => connection.send("reset"), { id: "reset" });
  describe(reset, "Back to where everything was when it was opened");
  host.append(undo, redo, reset);
  rove(host, "button, input, select");
  register(
    { keys: "Ctrl+Z", what: "Undo", act: () => connection.send("undo") },
    { keys: ["Ctrl+Shift+Z", "Ctrl+Y"], what: "Redo", act: () => connection.send("redo") },
  );
  store.on("state", (state) => {
    // Not "disabled", which would take the focus from a person who undoes with the keyboard.
    undo.setAttribute("aria-disabled", String(state.history.undo === null));
    redo.setAttribute("aria-disabled", String(state.history.redo === null));
    describe(undo, state.history.undo ? `Undo: ${state.history.undo} (Ctrl+Z)` : "Nothing to undo");
    describe(redo, state.history.redo ? `Redo: ${state.history.redo} (Ctrl+Shift+Z)` : "Nothing to redo");
  });
}
