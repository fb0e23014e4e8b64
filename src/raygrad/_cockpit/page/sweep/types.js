/**
 * The part "sweep" of the state; `_sweep.py` makes it.
 *
 * @typedef {"used" | "held out" | "left out"} Use
 *
 * @typedef {Object} Option
 * @property {string} name
 * @property {"bool" | "float" | "int" | "str"} kind
 * @property {any} default
 * @property {string} about
 *
 * @typedef {Object} Method
 * @property {string} name
 * @property {string} about
 * @property {number | null} iterations by default; null of one that makes none
 * @property {Option[]} options
 *
 * @typedef {Object} Compared
 * @property {number} view
 * @property {number} error
 * @property {number | null} psnr
 * @property {number} ncc
 *
 * @typedef {Object} Made
 * @property {string} method
 * @property {number[]} shape
 * @property {number[]} spacing
 * @property {number[]} unseen views that it was not made from
 * @property {number} iteration
 * @property {number | null} residual
 * @property {number} seconds
 * @property {string | null} status null while it goes on
 * @property {Compared[]} compared
 *
 * @typedef {[number, number | null, number]} Point number, residual and seconds of an iteration
 *
 * @typedef {Object} SweepPart
 * @property {Use[]} uses
 * @property {number[] | null} turned degrees since the first view
 * @property {number} chosen
 * @property {[number, number]} image_shape
 * @property {{shape: number[], spacing: number[], centre: number[], is: string}} grid
 * @property {Method[]} methods
 * @property {Made | null} made
 * @property {number[]} at
 * @property {Point[]} history
 * @property {string | null} out
 * @property {string | null} written
 *
 * @typedef {Object} SweepState
 * @property {{name: string, shape: number[], voxel_to_world: number[][]}} ct
 * @property {{name: string, beam: string, intrinsics: import("../types.js").Intrinsics}[]} views
 * @property {{cameras: number[][][]}} placement
 * @property {{name: string, seconds: number, text?: string, share?: number} | null} job
 * @property {SweepPart} sweep
 *
 * @typedef {import("../types.js").Frame & {
 *   error?: number, psnr?: number | null, ncc?: number, unseen?: boolean, most?: number,
 *   iteration?: number, plane?: string, index?: number, count?: number, pixel?: [number, number],
 *   black?: number, white?: number}} SweepFrame
 *
 * @typedef {Object} App
 * @property {import("../store.js").Store} store
 * @property {import("../socket.js").Connection} connection
 */
export {};
