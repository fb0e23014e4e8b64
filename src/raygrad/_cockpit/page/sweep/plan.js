import { element, panel, stateOf } from "./elements.js";
import { label, shape } from "./svg.js";

/** @typedef {import("./types.js").App} App */
/** @typedef {[number, number, number]} Point of the world in mm: to the right of the patient, the front, the head */

const SIZE = 150;
const MARGIN = 12;
/** Each drawing: its name, the axes across and up, and what is at its left, right, top and bottom. */
const SIDES = /** @type {const} */ ([
  { name: "From the feet", across: 0, up: 1, ends: ["R", "L", "A", "P"] },
  { name: "From the right", across: 1, up: 2, ends: ["A", "P", "S", "I"] },
]);

/**
 * Where the sources stand, and the beam of the chosen view: from the feet, and from the patient's right.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountPlan(host, app) {
  const body = panel(host, "Where the views were taken from");
  const drawing = element("div", "plan");
  body.append(drawing);
  let chosen = 0;
  const draw = () => {
    const state = stateOf(app);
    if (state) drawing.replaceChildren(plan(state, chosen));
  };
  app.store.on("chosen", (view) => {
    chosen = view;
    draw();
  });
  app.store.on("state", draw);
}

/**
 * @param {import("./types.js").SweepState} state
 * @param {number} chosen
 */
function plan(state, chosen) {
  const sources = state.placement.cameras.map((camera) => at(camera, [0, 0, 0]));
  const detector = corners(state, chosen);
  const box = grid(state);
  const all = [...sources, ...detector, ...box];
  const svg = shape("svg", { viewBox: `0 0 ${2 * SIZE} ${SIZE + 10}`, role: "img" });
  svg.setAttribute("aria-label", `${sources.length} sources; the beam of view ${chosen + 1}`);
  SIDES.forEach(({ name, across, up, ends }, number) => {
    const middle = [0, 1, 2].map((axis) => (Math.min(...all.map((p) => p[axis])) + Math.max(...all.map((p) => p[axis]))) / 2);
    const reach = Math.max(...[0, 1, 2].map((axis) => Math.max(...all.map((p) => Math.abs(p[axis] - middle[axis])))), 1e-9);
    const scale = (SIZE / 2 - MARGIN) / reach;
    // What is to the right and in front is on the left, as in slices.
    const x = (/** @type {Point} */ point) => (number + 0.5) * SIZE - (point[across] - middle[across]) * scale;
    const y = (/** @type {Point} */ point) => SIZE / 2 - (point[up] - middle[up]) * scale;
    const spot = (/** @type {Point} */ point) => `${x(point).toFixed(1)},${y(point).toFixed(1)}`;
    const [xs, ys] = [box.map(x), box.map(y)];
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    svg.append(shape("rect", { class: "box", x: left, y: top, width: Math.max(...xs) - left, height: Math.max(...ys) - top }));
    const flat = detector.map((point) => ({ point, angle: Math.atan2(y(point) - y(sources[chosen]), x(point) - x(sources[chosen])) }));
    const [first, last] = extremes(flat);
    svg.append(shape("polygon", { class: "beam", points: [sources[chosen], first, last].map(spot).join(" ") }));
    svg.append(shape("polyline", { class: "detector", points: [first, last].map(spot).join(" ") }));
    sources.forEach((source, view) => svg.append(dot(x(source), y(source), state.sweep.uses[view])));
    svg.append(shape("circle", { class: "chosen", cx: x(sources[chosen]), cy: y(sources[chosen]), r: 4 }));
    const start = number * SIZE;
    svg.append(
      label(start + 2, SIZE / 2, "start", ends[0]),
      label(start + SIZE - 2, SIZE / 2, "end", ends[1]),
      label(start + SIZE / 2, 8, "middle", ends[2]),
      label(start + SIZE / 2, SIZE - 2, "middle", ends[3]),
      label(start + SIZE / 2, SIZE + 9, "middle", name),
    );
  });
  return svg;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} use
 */
function dot(x, y, use) {
  return shape("circle", { class: use.replace(" ", "-"), cx: x.toFixed(1), cy: y.toFixed(1), r: 1.8 });
}

/**
 * The two corners between which all others are seen.
 * @param {{point: Point, angle: number}[]} corners
 */
function extremes(corners) {
  const turned = (/** @type {number} */ angle) => Math.atan2(Math.sin(angle - corners[0].angle), Math.cos(angle - corners[0].angle));
  const sorted = [...corners].sort((one, other) => turned(one.angle) - turned(other.angle));
  return [sorted[0].point, sorted[sorted.length - 1].point];
}

/**
 * A point of a frame in the world.
 * @param {number[][]} matrix
 * @param {number[]} point
 * @returns {Point}
 */
function at(matrix, point) {
  const [x, y, z] = matrix.slice(0, 3).map((row) => row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3]);
  return [x, y, z];
}

/**
 * The corners of a view's detector.
 * @param {import("./types.js").SweepState} state
 * @param {number} view
 */
function corners(state, view) {
  const { sdd, height, width, delx, dely, x0, y0 } = state.views[view].intrinsics;
  const [across, up] = [(width * delx) / 2, (height * dely) / 2];
  return [[-1, -1], [-1, 1], [1, 1], [1, -1]].map(([i, j]) => at(state.placement.cameras[view], [x0 + i * across, y0 + j * up, sdd]));
}

/**
 * The corners of the grid.
 * @param {import("./types.js").SweepState} state
 */
function grid(state) {
  const { shape: count, voxel_to_world } = state.ct;
  return [0, 1, 2, 3, 4, 5, 6, 7].map((corner) => at(voxel_to_world, count.map((n, axis) => ((corner >> axis) & 1 ? n - 0.5 : -0.5))));
}
