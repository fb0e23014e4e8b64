import { Pane } from "./pane.js";
import { mountToolbox, Toolbox } from "./toolbox.js";

/** @typedef {import("../app.js").App} App */

/**
 * The tools, and a pane for each view.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountXrays(host, app) {
  const toolbox = new Toolbox();
  mountToolbox(host, app, toolbox);
  /** @type {Pane[]} */
  const panes = [];
  app.store.on("state", (state) => {
    for (let view = panes.length; view < state.views.length; view++) panes.push(new Pane(host, app, view, toolbox));
    panes.forEach((pane, view) => (pane.panel.hidden = view >= state.views.length)); // those of X-rays that were closed
  });
}
