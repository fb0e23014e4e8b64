import { element, input } from "./elements.js";
import { draw, greys } from "./grey.js";

/** @typedef {import("./types.js").App} App */
/** @typedef {import("./types.js").SweepFrame} Frame */

/** Each plane, and what its left, right, top and bottom are. @type {Record<string, string>} */
const PLANES = { axial: "R L A P", coronal: "R L S I", sagittal: "A P S I" };

/**
 * Three slices of the volume, as they come.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountSlices(host, app) {
  for (const [plane, sides] of Object.entries(PLANES)) mountPlane(host, app, plane, sides.split(" "));
}

/**
 * @param {HTMLElement} host
 * @param {App} app
 * @param {string} plane
 * @param {string[]} sides
 */
function mountPlane(host, app, plane, sides) {
  const title = plane[0].toUpperCase() + plane.slice(1);
  const canvas = element("canvas", "sweep-picture");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${title} slice`);
  const pane = element("div", "sweep-pane", [canvas]);
  sides.forEach((side, number) => pane.append(element("span", `side-${number}`, [side])));
  const slider = input("range", { min: "0", max: "0", value: "0", "aria-label": `${title} slice` });
  slider.disabled = true;
  const heading = element("h2", "", [title]);
  host.append(element("section", "panel", [heading, pane, slider]));
  /** @param {number} index */
  const cut = (index) => app.connection.send("sweep_cut", { plane, index });
  slider.addEventListener("input", () => cut(Number(slider.value)));
  pane.addEventListener("wheel", (event) => {
    if (slider.disabled) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(Number(slider.max), Number(slider.value) + Math.sign(event.deltaY)));
    slider.value = String(index);
    cut(index);
  });
  app.store.on(`frame:slice ${plane}`, (/** @type {Frame} */ frame) => {
    draw(canvas, frame, greys(frame, frame.black ?? frame.low, frame.white ?? frame.high));
    slider.disabled = false;
    slider.max = String((frame.count ?? 1) - 1);
    if (document.activeElement !== slider) slider.value = String(frame.index);
    heading.textContent = `${title} ${(frame.index ?? 0) + 1} of ${frame.count}`;
  });
}
