import { Matrix4, Vector3 } from "../vendor/three/three.module.min.js";

/** @typedef {import("../types.js").Matrix} Matrix */
/** @typedef {import("../types.js").Intrinsics} Intrinsics */

/**
 * A matrix of the state's, as three has them.
 * @param {Matrix} rows
 */
export function matrixOf(rows) {
  const [a, b, c, d] = rows.flat().length === 16 ? rows : [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
  return new Matrix4().set(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]);
}

/**
 * A matrix of three's, as commands take them.
 * @param {Matrix4} matrix
 * @returns {Matrix}
 */
export function rowsOf(matrix) {
  const e = matrix.elements;
  return [0, 1, 2, 3].map((row) => [e[row], e[4 + row], e[8 + row], e[12 + row]]);
}

/**
 * The point of the detector at (u, v), in the camera frame: see docs/conventions.md.
 * @param {Intrinsics} intrinsics
 * @param {number} u
 * @param {number} v
 */
export function onDetector({ sdd, height, width, delx, dely, x0, y0, reverse_x_axis }, u, v) {
  const column = reverse_x_axis ? -1 : 1;
  return new Vector3(column * (u - width / 2) * delx + x0, -(v - height / 2) * dely + y0, sdd);
}

/**
 * Where the ray begins that ends at a point of the detector.
 * @param {Intrinsics} intrinsics
 * @param {Vector3} end
 */
export function beginOfRay(intrinsics, end) {
  return intrinsics.parallel ? new Vector3(end.x, end.y, 0) : new Vector3();
}

/**
 * The corners of the detector, from pixel (0, 0) along the first row and around.
 * @param {Intrinsics} intrinsics
 */
export function cornersOf(intrinsics) {
  const { width, height } = intrinsics;
  return [[0, 0], [width, 0], [width, height], [0, height]].map(([u, v]) => onDetector(intrinsics, u, v));
}
