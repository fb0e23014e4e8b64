import { difference, edges } from "./edges.js";

/** @typedef {import("./layer.js").Layer} Layer */

/**
 * How the DRR lies over the X-ray. `slider` is what the slider of the pane sets, from 0 to 1.
 * @type {Record<string, {name: string, slider: string | null, first: number}>}
 */
export const MODES = {
  blend: { name: "Blend", slider: "How much of the DRR", first: 0.5 },
  edges: { name: "Edges of the DRR", slider: "How many edges", first: 0.3 },
  checker: { name: "Checkerboard", slider: "Size of the squares", first: 0.4 },
  difference: { name: "Difference", slider: null, first: 0 },
  flicker: { name: "Flicker", slider: "How fast", first: 0.4 },
  xray: { name: "X-ray alone", slider: null, first: 0 },
  drr: { name: "DRR alone", slider: null, first: 0 },
};
const EDGE = /** @type {[number, number, number]} */ ([255, 140, 60]);
const scratch = document.createElement("canvas");

/**
 * Draw both images, one unit of the context being a pixel of the view.
 * @param {CanvasRenderingContext2D} context
 * @param {string} mode
 * @param {number} setting of the slider
 * @param {Layer} xray
 * @param {Layer} drr
 * @param {number} width of the view
 * @param {number} height
 * @param {boolean} turn of the DRR, where they take turns
 */
export function drawImages(context, mode, setting, xray, drr, width, height, turn) {
  const put = (/** @type {CanvasImageSource} */ image) => context.drawImage(image, 0, 0, width, height);
  const [there, drawn] = [xray.image !== null, drr.image !== null];
  if (there && !(drawn && (mode === "drr" || (mode === "flicker" && turn)))) put(xray.canvas);
  if (!drawn || mode === "xray" || (mode === "flicker" && !turn)) return;
  if (mode === "drr" || mode === "flicker" || !there) put(drr.canvas);
  else if (mode === "blend") {
    context.globalAlpha = setting;
    put(drr.canvas);
    context.globalAlpha = 1;
  } else if (mode === "edges" || mode === "difference") put(computed(mode, setting, xray, drr));
  else if (mode === "checker") drawSquares(context, drr, width, height, Math.max(width, height) / Math.round(2 + 14 * (1 - setting)));
}

/**
 * What was computed of a DRR's image, until that, the X-ray's or the slider changes: panning and pointing draw it again.
 * @type {WeakMap<Layer, {of: any[], canvas: HTMLCanvasElement}>}
 */
const made = new WeakMap();

/**
 * @param {string} mode
 * @param {number} setting
 * @param {Layer} xray
 * @param {Layer} drr
 */
function computed(mode, setting, xray, drr) {
  const of = [mode, setting, xray.image, drr.image];
  const known = made.get(drr);
  if (known && known.of.every((one, i) => one === of[i])) return known.canvas;
  const shown = /** @type {ImageData} */ (drr.image);
  const image = mode === "edges" ? edges(shown, 0.02 + 0.3 * setting * setting, EDGE) : difference(scaled(xray, drr), shown);
  const canvas = known?.canvas ?? document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  made.set(drr, { of, canvas });
  return canvas;
}

/**
 * A layer's image in the pixels of another's.
 * @param {Layer} layer
 * @param {Layer} like
 */
function scaled(layer, like) {
  const canvas = scratch;
  [canvas.width, canvas.height] = [like.canvas.width, like.canvas.height];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.imageSmoothingQuality = "high";
  context.drawImage(layer.canvas, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Layer} drr
 * @param {number} width
 * @param {number} height
 * @param {number} side
 */
function drawSquares(context, drr, width, height, side) {
  context.save();
  context.beginPath();
  for (let row = 0; row * side < height; row++)
    for (let column = row % 2; column * side < width; column += 2) context.rect(column * side, row * side, side, side);
  context.clip();
  context.drawImage(drr.canvas, 0, 0, width, height);
  context.restore();
}
