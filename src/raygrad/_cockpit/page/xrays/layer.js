import { greys } from "./grey.js";
import { Window } from "./windows.js";

/** @typedef {import("../types.js").Frame} Frame */

/** One image of a pane: its newest frame through its window, on a canvas of the frame's own size. */
export class Layer {
  constructor() {
    /** @type {Frame | null} */
    this.frame = null;
    this.window = new Window();
    this.canvas = document.createElement("canvas");
    /** @type {ImageData | null} what the canvas shows */
    this.image = null;
  }

  /** @param {Frame} frame */
  show(frame) {
    this.frame = frame;
    this.window.follow(frame);
    this.render();
  }

  /** After another window. */
  render() {
    if (!this.frame) return;
    [this.canvas.height, this.canvas.width] = this.frame.shape;
    this.image = greys(this.frame, this.window.low, this.window.high, this.window.inverted);
    this.canvas.getContext("2d")?.putImageData(this.image, 0, 0);
  }

  /**
   * The number at a place of the image, both from 0 to 1; null outside.
   * @param {number} across
   * @param {number} down
   */
  valueAt(across, down) {
    if (!this.frame || across < 0 || down < 0 || across >= 1 || down >= 1) return null;
    const [height, width] = this.frame.shape;
    const raw = this.frame.array[Math.floor(down * height) * width + Math.floor(across * width)];
    return this.frame.low + (raw / 65535) * (this.frame.high - this.frame.low);
  }
}
