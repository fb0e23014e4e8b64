import { drawCertainty } from "../help/ellipse.js";
import { directionOf, project } from "./project.js";

/** @typedef {import("../types.js").State} State */

const LETTERS = { R: [1, 0, 0], L: [-1, 0, 0], A: [0, 1, 0], P: [0, -1, 0], H: [0, 0, 1], F: [0, 0, -1] };
const LENGTHS_MM = [1, 2, 5, 10, 20, 50, 100, 200];

/**
 * What lies over the images: the middle of the body, how well it is known, where a person points.
 * @param {CanvasRenderingContext2D} context one unit of it is a pixel of the view
 * @param {State} state
 * @param {number} view
 * @param {number} scale CSS pixels of a pixel of the view
 * @param {number[] | null} point where a person points, in the world
 */
export function drawMarks(context, state, view, scale, point) {
  const centre = project(state, view, state.centre);
  if (centre) cross(context, centre.u, centre.v, 9 / scale, "#6cb4ff", scale);
  drawCertainty(context, state, view, scale);
  const pointed = point && project(state, view, point);
  if (pointed) cross(context, pointed.u, pointed.v, 14 / scale, "#ff9a3c", scale);
}

/**
 * The letters of the sides, and a length in mm as deep as the body: in CSS pixels.
 * @param {CanvasRenderingContext2D} context
 * @param {State} state
 * @param {number} view
 * @param {number} scale
 * @param {number} width of the pane
 * @param {number} height
 */
export function drawFrame(context, state, view, scale, width, height) {
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  const places = [
    { x: width - 12, y: height / 2, at: { right: 1, down: 0 } },
    { x: 12, y: height / 2, at: { right: -1, down: 0 } },
    { x: width / 2, y: 12, at: { right: 0, down: -1 } },
    { x: width / 2, y: height - 12, at: { right: 0, down: 1 } },
  ];
  for (const { x, y, at } of places) {
    const seen = Object.entries(LETTERS).map(([letter, direction]) => {
      const found = directionOf(state, view, state.selected, direction);
      return { letter, share: found.right * at.right + found.down * at.down };
    });
    const sides = seen.filter(({ share }) => share > 0.38).sort((a, b) => b.share - a.share);
    write(context, sides.map(({ letter }) => letter).join(""), x, y);
  }
  const centre = project(state, view, state.centre);
  const { sdd, delx, parallel } = state.views[view].intrinsics;
  if (!centre) return;
  const perMm = (scale / delx) * (parallel ? 1 : sdd / centre.depth);
  const mm = LENGTHS_MM.filter((length) => length * perMm < Math.min(150, width / 3)).at(-1);
  if (!mm) return;
  const [left, top, length] = [10, height - 12, mm * perMm];
  for (const [style, line] of /** @type {[string, number][]} */ ([["rgb(0 0 0 / .7)", 4], ["#e6ebf0", 1.5]])) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.beginPath();
    context.moveTo(left, top - 4);
    context.lineTo(left, top);
    context.lineTo(left + length, top);
    context.lineTo(left + length, top - 4);
    context.stroke();
  }
  context.textAlign = "left";
  write(context, `${mm} mm`, left, top - 12);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 */
function write(context, text, x, y) {
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / .75)";
  context.fillStyle = "#e6ebf0";
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} u
 * @param {number} v
 * @param {number} size
 * @param {string} colour
 * @param {number} scale
 */
function cross(context, u, v, size, colour, scale) {
  for (const [style, line] of /** @type {[string, number][]} */ ([["rgb(0 0 0 / .7)", 3.5], [colour, 1.5]])) {
    context.strokeStyle = style;
    context.lineWidth = line / scale;
    context.beginPath();
    for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(u + 0.35 * size * x, v + 0.35 * size * y);
      context.lineTo(u + size * x, v + size * y);
    }
    context.stroke();
  }
}
