import { element } from "../shell/dom.js";
import { hasWebGL, noWebGL } from "../shell/empty.js";
import { register } from "../shell/keys.js";
import { addPanel } from "../shell/panels.js";
import { slicesOf } from "../slices/model.js";

/** @typedef {import("../app.js").App} App */

/**
 * Sources, beams, detectors and the patient in space. three.js is loaded once the page stands.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountScene(host, app) {
  const { body, extra } = addPanel(host, { id: "scene", title: "Scene", fill: true });
  body.classList.add("scene");
  const slices = slicesOf(app);
  if (!hasWebGL()) {
    body.append(noWebGL());
    return;
  }
  register(
    { keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], what: "Turn the scene (drag)", where: "Scene" },
    { keys: ["+", "-"], what: "Nearer and farther (wheel)", where: "Scene" },
  );
  import("./world.js").then(
    ({ World }) => new World(body, extra, app, slices),
    (error) => {
      console.error(error);
      body.append(element("p", { class: "note" }, `The scene could not be drawn: ${error.message}. X-rays and slices work without it.`));
    },
  );
}
