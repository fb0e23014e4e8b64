import { element, stateOf } from "./elements.js";
import { draw, greys, signed } from "./grey.js";

/** @typedef {import("./types.js").App} App */
/** @typedef {import("./types.js").SweepFrame} Frame */

/**
 * The chosen view, what the volume so far looks like from there, and the difference.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountView(host, app) {
  const measured = pane(host, "Measured");
  const drr = pane(host, "DRR of the reconstruction");
  const difference = pane(host, "DRR minus measured: orange above 0, blue below");
  const said = element("p", "sweep-said");
  host.append(said);
  const empty = "Nothing is reconstructed yet: choose a method on the right and press Reconstruct.";
  said.textContent = empty;
  const { store } = app;
  store.on("frame:view", (/** @type {Frame} */ frame) => {
    draw(measured.canvas, frame, greys(frame, frame.low, frame.high));
    measured.name(`Measured: view ${(frame.view ?? 0) + 1}`);
  });
  store.on("frame:drr", (/** @type {Frame} */ frame) => {
    const like = store.frames.get("view") ?? frame;
    draw(drr.canvas, frame, greys(frame, like.low, like.high));
    said.textContent = sentence(frame);
  });
  store.on("frame:difference", (/** @type {Frame} */ frame) => {
    draw(difference.canvas, frame, signed(frame, frame.most ?? 1));
  });
  store.on("state", () => {
    if (!stateOf(app)?.sweep.made) said.textContent = empty;
  });
}

/**
 * How the DRR compares, in words.
 * @param {Frame} frame
 */
function sentence(frame) {
  const psnr = frame.psnr === null || frame.psnr === undefined ? "equal" : `PSNR ${frame.psnr.toFixed(1)} dB`;
  const who = frame.unseen ? "Held out: the reconstruction never saw it." : "One of those it was made from.";
  const at = frame.iteration ? ` after iteration ${frame.iteration}` : "";
  return `View ${(frame.view ?? 0) + 1}${at}: ${psnr}, correlation ${frame.ncc?.toFixed(4)}, relative error ${((frame.error ?? 0) * 100).toFixed(2)} %. ${who}`;
}

/**
 * @param {HTMLElement} host
 * @param {string} title
 */
function pane(host, title) {
  const canvas = element("canvas", "sweep-picture");
  canvas.setAttribute("role", "img");
  const heading = element("h2", "", [title]);
  host.append(element("section", "panel", [heading, element("div", "sweep-pane", [canvas])]));
  /** @param {string} text */
  const name = (text) => {
    heading.textContent = text;
    canvas.setAttribute("aria-label", text);
  };
  name(title);
  return { canvas, name };
}
