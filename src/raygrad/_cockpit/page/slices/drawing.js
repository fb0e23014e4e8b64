import { beamColour } from "./colours.js";
import { PLANES, toPixel } from "./geometry.js";

/** @typedef {import("./plane.js").PlaneView} PlaneView */

const LINE = "rgb(255 255 255 / .75)";
const CROSSHAIR = "#ff6b6b";
const MARK = "#ffffff";

/**
 * A slice and all that lies over it.
 * @param {PlaneView} one
 */
export function drawOver(one) {
  const { view, canvas, slices, plane } = one;
  const ratio = Math.min(window.devicePixelRatio, 2);
  const { clientWidth, clientHeight } = view;
  const size = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const context = canvas.getContext("2d");
  const { state } = slices;
  if (!context || !state || !clientWidth) return;
  const { scaleX, scaleY, left, top } = one.place();
  /** @param {number[]} pixel (u, v) @returns {[number, number]} */
  const at = ([u, v]) => [left + u * scaleX, top + v * scaleY];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, clientWidth, clientHeight);
  context.imageSmoothingEnabled = scaleX * ratio < 3;
  const image = slices.canvases[plane];
  context.drawImage(image, left, top, image.width * scaleX, image.height * scaleY);
  drawBeams(context, slices.app.store.state?.outlines?.[plane] ?? [], at);
  const [x, y] = at(toPixel(plane, state.shape, slices.indices));
  context.strokeStyle = CROSSHAIR;
  context.globalAlpha = 0.8;
  line(context, [x, 0], [x, y - 6]);
  line(context, [x, y + 6], [x, clientHeight]);
  line(context, [0, y], [x - 6, y]);
  line(context, [x + 6, y], [clientWidth, y]);
  context.globalAlpha = 1;
  drawMark(context, one.mark, at);
  letters(context, PLANES[plane], clientWidth, clientHeight);
  const { axis } = PLANES[plane];
  label(context, `${plane} ${slices.indices[axis] + 1}/${state.shape[axis]}`, 6, 13, "left");
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number[][][]} outlines of each view
 * @param {(pixel: number[]) => [number, number]} at
 */
function drawBeams(context, outlines, at) {
  outlines.forEach((corners, view) => {
    if (corners.length < 3) return;
    context.beginPath();
    for (const corner of corners) context.lineTo(...at(corner));
    context.closePath();
    context.strokeStyle = beamColour(view);
    context.lineWidth = 1.25;
    context.stroke();
    context.fillStyle = beamColour(view);
    context.globalAlpha = 0.06;
    context.fill();
    context.globalAlpha = 1;
  });
}

/**
 * Where a person points in a view (its ray) or elsewhere (a point).
 * @param {CanvasRenderingContext2D} context
 * @param {PlaneView["mark"]} mark
 * @param {(pixel: number[]) => [number, number]} at
 */
function drawMark(context, { ends, point }, at) {
  context.strokeStyle = MARK;
  context.lineWidth = 1;
  if (ends) {
    context.setLineDash([4, 3]);
    line(context, at(ends[0]), at(ends[1]));
    context.setLineDash([]);
  }
  if (!point) return;
  const [x, y] = at(point);
  context.beginPath();
  context.arc(x, y, 4, 0, 2 * Math.PI);
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{left: string, right: string, top: string, bottom: string}} names
 * @param {number} width
 * @param {number} height
 */
function letters(context, names, width, height) {
  label(context, names.left, 5, height / 2 - 6, "left");
  label(context, names.right, width - 5, height / 2 - 6, "right");
  label(context, names.top, width / 2 + 9, 13, "left");
  label(context, names.bottom, width / 2 + 9, height - 5, "left");
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {CanvasTextAlign} align
 */
function label(context, text, x, y, align) {
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = align;
  context.lineWidth = 3;
  context.strokeStyle = "#000";
  context.strokeText(text, x, y);
  context.fillStyle = LINE;
  context.fillText(text, x, y);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number[]} from
 * @param {number[]} to
 */
function line(context, from, to) {
  context.beginPath();
  context.moveTo(from[0], from[1]);
  context.lineTo(to[0], to[1]);
  context.stroke();
}
