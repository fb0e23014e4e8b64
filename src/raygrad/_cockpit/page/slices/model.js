import { keep, kept } from "../shell/keep.js";
import { PLANES, mapped, mappedBack } from "./geometry.js";
import { WINDOWS, levels } from "./windows.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../types.js").Frame} Frame */
/** @typedef {import("./windows.js").Window} Window */

/** How much of a label's colour lies over the grey. */
const TINT = 0.35;

/**
 * The slices as images, for the panel of slices and for the scene: one window and one overlay for both.
 * Events of the store: "painted" (plane), "crosshair" (indices), "outlines".
 */
export class Slices {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Window} */
    this.window = { ...WINDOWS["Soft tissue"], ...kept("slices window", {}) };
    this.overlay = Boolean(kept("slices labels", false));
    this.table = levels(this.window);
    /** @type {Record<string, HTMLCanvasElement>} */
    this.canvases = {};
    this.waiting = 0;
    const { store } = app;
    for (const plane of Object.keys(PLANES)) {
      this.canvases[plane] = document.createElement("canvas");
      store.on(`frame:slice ${plane}`, () => this.paint(plane));
      store.on(`frame:labels ${plane}`, () => this.overlay && this.paint(plane));
    }
    store.on("looked", ({ indices }) => {
      if (!store.state) return;
      store.state.slices.indices = indices;
      if (!this.asked) store.emit("crosshair", indices);
    });
    store.on("outlines", ({ outlines }) => {
      if (!store.state) return;
      store.state.outlines = outlines;
      store.emit("outlined", outlines);
    });
    store.on("state", (state) => {
      store.emit("crosshair", state.slices.indices);
      store.emit("outlined", state.outlines);
    });
  }

  /** What the state says of them. */
  get state() {
    return this.app.store.state?.slices ?? null;
  }

  /** Where the crosshair is: where it was asked to be, before the server has answered. */
  get indices() {
    return this.asked ?? this.state?.indices ?? [0, 0, 0];
  }

  /**
   * Put the crosshair on the nearest voxel.
   * @param {number[]} voxel
   */
  look(voxel) {
    const { state } = this;
    if (!state) return;
    const indices = voxel.map((value, axis) => Math.max(0, Math.min(state.shape[axis] - 1, Math.round(value))));
    if (indices.every((value, axis) => value === this.indices[axis])) return;
    /** @type {number[] | undefined} */
    this.asked = indices;
    this.app.store.emit("crosshair", indices);
    this.app.connection
      .callNewest("look", { indices })
      .catch(() => {}) // a lost connection is told elsewhere, and the state comes anew
      .finally(() => {
        if (this.asked === indices) this.asked = undefined;
      });
  }

  /**
   * A voxel's place in the world that the views stand in.
   * @param {number[]} voxel
   */
  worldOf(voxel) {
    const { state } = this.app.store;
    if (!state) return voxel;
    return mapped(state.placement.bodies.CT, mapped(state.slices.voxel_to_world, voxel));
  }

  /**
   * The voxel coordinates of a point of that world.
   * @param {number[]} point
   */
  voxelOf(point) {
    const { state } = this.app.store;
    if (!state) return point;
    return mappedBack(state.slices.voxel_to_world, mappedBack(state.placement.bodies.CT, point));
  }

  /** @param {Window} window */
  setWindow(window) {
    this.window = { level: window.level, width: Math.max(1, window.width) };
    this.table = levels(this.window);
    keep("slices window", this.window);
    this.repaint();
  }

  /** @param {boolean} on */
  setOverlay(on) {
    this.overlay = on;
    keep("slices labels", on);
    this.repaint();
  }

  /** All planes, before the browser draws next. */
  repaint() {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      for (const plane of Object.keys(PLANES)) this.paint(plane);
    });
  }

  /**
   * HU and label at voxel coordinates of a plane; null outside of it.
   * @param {string} plane
   * @param {[number, number]} pixel (u, v)
   */
  valueAt(plane, [u, v]) {
    const frame = this.app.store.frames.get(`slice ${plane}`);
    if (!frame) return null;
    const [height, width] = frame.shape;
    const [row, column] = [Math.floor(v), Math.floor(u)];
    if (row < 0 || column < 0 || row >= height || column >= width) return null;
    const labels = this.app.store.frames.get(`labels ${plane}`);
    const label = labels ? labels.array[row * width + column] : 0;
    return { hu: frame.array[row * width + column], label, name: this.nameOf(label) };
  }

  /** @param {number} label */
  nameOf(label) {
    return label === 0 ? "" : (this.state?.structures[label]?.name ?? `label ${label}`);
  }

  /** @param {string} plane */
  paint(plane) {
    const { frames } = this.app.store;
    const frame = frames.get(`slice ${plane}`);
    if (!frame) return;
    const canvas = this.canvases[plane];
    const [height, width] = frame.shape;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = this.table[frame.array[i] + 32768];
    const labels = frames.get(`labels ${plane}`);
    if (this.overlay && labels && labels.array.length === pixels.length) this.tint(image.data, labels);
    canvas.getContext("2d")?.putImageData(image, 0, 0);
    this.app.store.emit("painted", plane);
  }

  /**
   * @param {Uint8ClampedArray} pixels
   * @param {Frame} labels
   */
  tint(pixels, labels) {
    /** @type {Map<number, number[]>} */
    const colours = new Map();
    labels.array.forEach((label, i) => {
      if (label === 0) return;
      let colour = colours.get(label);
      if (!colour) colours.set(label, (colour = channels(this.state?.structures[label]?.colour ?? "#ffd166")));
      for (let c = 0; c < 3; c++) pixels[4 * i + c] += TINT * (colour[c] - pixels[4 * i + c]);
    });
  }
}

/** @param {string} colour "#rrggbb" */
function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** @type {WeakMap<App, Slices>} */
const made = new WeakMap();

/**
 * Those of the page: the same for all parts.
 * @param {App} app
 */
export function slicesOf(app) {
  const slices = made.get(app) ?? new Slices(app);
  made.set(app, slices);
  return slices;
}
