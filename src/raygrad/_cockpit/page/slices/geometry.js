/**
 * Where the pixels of a slice are. Its columns and rows run against two voxel axes (RAS+), so that it looks as
 * radiologists look; see `_slices.py`. (u, v) are counted from the outer corner of the first pixel.
 */

/** @typedef {import("../types.js").Matrix} Matrix */
/** @typedef {[number, number, number]} Point */

/**
 * Each plane: the voxel axis across it, those against its columns and rows, and the letters at its edges.
 * @type {Record<string, {axis: number, columns: number, rows: number, left: string, right: string, top: string, bottom: string}>}
 */
export const PLANES = {
  axial: { axis: 2, columns: 0, rows: 1, left: "R", right: "L", top: "A", bottom: "P" },
  coronal: { axis: 1, columns: 0, rows: 2, left: "R", right: "L", top: "H", bottom: "F" },
  sagittal: { axis: 0, columns: 1, rows: 2, left: "A", right: "P", top: "H", bottom: "F" },
};

/**
 * The voxel coordinates of a point of a slice.
 * @param {string} plane
 * @param {number[]} shape
 * @param {number[]} indices
 * @param {[number, number]} pixel (u, v)
 * @returns {Point}
 */
export function toVoxel(plane, shape, indices, [u, v]) {
  const { axis, columns, rows } = PLANES[plane];
  /** @type {Point} */
  const voxel = [0, 0, 0];
  voxel[axis] = indices[axis];
  voxel[columns] = shape[columns] - 0.5 - u;
  voxel[rows] = shape[rows] - 0.5 - v;
  return voxel;
}

/**
 * (u, v) of the point of a slice that is nearest to these voxel coordinates.
 * @param {string} plane
 * @param {number[]} shape
 * @param {number[]} voxel
 * @returns {[number, number]}
 */
export function toPixel(plane, shape, voxel) {
  const { columns, rows } = PLANES[plane];
  return [shape[columns] - 0.5 - voxel[columns], shape[rows] - 0.5 - voxel[rows]];
}

/**
 * A map of a point.
 * @param {Matrix} matrix
 * @param {number[]} point
 * @returns {Point}
 */
export function mapped(matrix, point) {
  const [x, y, z] = matrix.slice(0, 3).map((row) => row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3]);
  return [x, y, z];
}

/**
 * The point that a map takes to this one.
 * @param {Matrix} matrix
 * @param {number[]} point
 * @returns {Point}
 */
export function mappedBack(matrix, point) {
  const [a, b, c] = [0, 1, 2].map((column) => matrix.slice(0, 3).map((row) => row[column]));
  const p = point.map((value, row) => value - matrix[row][3]);
  const whole = triple(a, b, c);
  return [triple(p, b, c) / whole, triple(a, p, c) / whole, triple(a, b, p) / whole];
}

/** @param {number[]} a @param {number[]} b @param {number[]} c */
function triple(a, b, c) {
  return (
    a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
  );
}

/**
 * The distance between voxels along each axis, in mm.
 * @param {Matrix} voxelToWorld
 */
export function spacings(voxelToWorld) {
  return [0, 1, 2].map((column) => Math.hypot(...voxelToWorld.slice(0, 3).map((row) => row[column])));
}

/**
 * Whether the axes of the voxels are more than a degree off those of the world.
 * @param {Matrix} voxelToWorld
 */
export function isOblique(voxelToWorld) {
  return spacings(voxelToWorld).some((mm, axis) => voxelToWorld[axis][axis] < Math.cos(Math.PI / 180) * mm);
}

/** The letter of each end of the world's axes. */
const LETTERS = [["R", "L"], ["A", "P"], ["H", "F"]];

/**
 * A point of the patient in words: "R 12.0  P 3.5  H 40.1 mm".
 * @param {number[]} point
 */
export function inWords(point) {
  return `${point.map((value, axis) => `${LETTERS[axis][value < 0 ? 1 : 0]} ${Math.abs(value).toFixed(1)}`).join("  ")} mm`;
}
