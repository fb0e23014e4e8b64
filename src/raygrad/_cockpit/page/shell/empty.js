import { element } from "./dom.js";

/** @typedef {import("../app.js").App} App */

/**
 * What stands where nothing is yet: what is missing, and what to do.
 * @param {string} what
 * @param {string} todo
 * @param {...Node} more buttons, or a line to type
 */
export function emptyState(what, todo, ...more) {
  return element("div", { class: "empty" }, element("strong", {}, what), element("p", {}, todo), ...more);
}

/**
 * A line to type in a terminal.
 * @param {string} text
 */
export function commandLine(text) {
  return element("code", { class: "command" }, text);
}

/** Whether this browser draws in 3D. */
export function hasWebGL() {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

/** Where there is no 3D: all else works. */
export function noWebGL() {
  return emptyState(
    "No 3D in this browser",
    "The scene needs WebGL 2. Turn on hardware acceleration in the browser's settings, or try another browser. " +
      "X-rays, slices and registration work without it.",
  );
}

/**
 * Before there are X-rays, and where there are none.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountNoXrays(host, { store }) {
  const waiting = emptyState("Opening …", "The X-rays come in a moment.");
  const none = emptyState(
    "No X-ray is open",
    "Name it when you start the cockpit, or open one from the folder that you gave it, under Files.",
    commandLine("raygrad cockpit ct.nii.gz xray.dcm"),
  );
  host.append(waiting);
  store.on("state", (state) => {
    waiting.remove();
    if (state.views.length) none.remove();
    else host.append(none);
  });
}
