import { button, element, fill } from "../shell/dom.js";
import { addPanel } from "../shell/panels.js";
import { ask } from "./register.js";

/** @typedef {import("../app.js").App} App */

/**
 * The panel of certainty: how well the X-rays determine each motion, in words and numbers.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountCertainty(host, app) {
  const { body } = addPanel(host, { id: "certainty", title: "Certainty" });
  const told = element("div", { "aria-live": "polite" });
  const look = button("How sure is it here?", () => ask(app, "certainty"), { id: "look" });
  body.append(told, look);
  let shown = "";
  app.store.on("state", (state) => {
    const text = JSON.stringify(state.certainty);
    if (text === shown) return;
    shown = text;
    const certainty = state.certainty;
    if (!certainty) {
      fill(told, element("p", { class: "note" }, "After Snap or Register: within what the CT lies with 95 %, as an ellipse in each view."));
      return;
    }
    const rows = certainty.motions.map((/** @type {import("../types.js").Motion} */ motion) =>
      element("tr", {}, element("td", {}, motion.words), element("td", { class: "number" }, motion.half === null ? "unknown" : `± ${motion.half.toPrecision(2)} ${motion.unit}`)),
    );
    fill(
      told,
      element("p", {}, element("strong", {}, certainty.text)),
      element("table", {}, element("caption", { class: "note" }, "By the first view's axes, through the CT's middle, 95 %"), element("tbody", {}, ...rows)),
      element("p", { class: "note" }, "It knows of noise and of what does not fit, not of a wrong geometry that a pose makes up for."),
    );
  });
}
