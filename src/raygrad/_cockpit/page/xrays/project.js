/** @typedef {import("../types.js").Matrix} Matrix */
/** @typedef {import("../types.js").State} State */

/**
 * A rigid map, or a mirrored one, the other way round: its rotation is its inverse's columns.
 * @param {Matrix} m
 * @param {number[]} point
 */
function back(m, point) {
  const d = [0, 1, 2].map((i) => point[i] - m[i][3]);
  return [0, 1, 2].map((i) => m[0][i] * d[0] + m[1][i] * d[1] + m[2][i] * d[2]);
}

/**
 * The pixel (u, v) at which a view sees a point of the world, and how deep it lies; null behind the source. The page
 * draws marks by this while something moves; docs/conventions.md has the map.
 * @param {State} state
 * @param {number} view
 * @param {number[]} point
 * @returns {{u: number, v: number, depth: number} | null}
 */
export function project(state, view, point) {
  const { sdd, height, width, delx, dely, x0, y0, reverse_x_axis, parallel } = state.views[view].intrinsics;
  const [x, y, z] = back(state.placement.cameras[view], point);
  if (!parallel && z <= 0) return null;
  const scale = parallel ? 1 : sdd / z;
  const column = reverse_x_axis ? -1 : 1;
  return { u: width / 2 + (column * (x * scale - x0)) / delx, v: height / 2 - (y * scale - y0) / dely, depth: z };
}

/**
 * A direction of a body as a view shows it: (right, down) and away from the source, each between -1 and 1.
 * @param {State} state
 * @param {number} view
 * @param {string} body
 * @param {number[]} direction of the body's own frame
 */
export function directionOf(state, view, body, direction) {
  const to = state.placement.bodies[body];
  const inWorld = [0, 1, 2].map((i) => to[i][0] * direction[0] + to[i][1] * direction[1] + to[i][2] * direction[2]);
  const camera = state.placement.cameras[view];
  const along = [0, 1, 2].map((i) => camera[0][i] * inWorld[0] + camera[1][i] * inWorld[1] + camera[2][i] * inWorld[2]);
  return { right: (state.views[view].intrinsics.reverse_x_axis ? -1 : 1) * along[0], down: -along[1], away: along[2] };
}
