/** @typedef {import("./pane.js").Pane} Pane */
/** @typedef {import("../types.js").Frame} Frame */

const TINT = [255, 90, 90, 110];
const STEPS = 30;

/** What of the X-ray counts, painted with a brush; the server keeps it, and registration goes by it. */
export class Mask {
  /** @param {Pane} pane */
  constructor(pane) {
    this.pane = pane;
    this.canvas = document.createElement("canvas");
    /** @type {Uint8Array | null} 1 where a pixel counts */
    this.counts = null;
    this.width = this.height = 0;
    /** @type {Uint8Array[]} before each stroke */
    this.before = [];
    this.value = 0;
    /** @type {[number, number]} */
    this.last = [0, 0];
  }

  /** @param {Frame} frame of the server's */
  show(frame) {
    [this.height, this.width] = frame.shape;
    this.counts = Uint8Array.from(frame.array, (weight) => (weight > 127 ? 1 : 0));
    this.render();
  }

  /** @returns {Uint8Array} */
  whole() {
    const { width, height } = this.pane.intrinsics;
    if (!this.counts || this.width !== width || this.height !== height) {
      [this.width, this.height] = [width, height];
      this.counts = new Uint8Array(width * height).fill(1);
    }
    return this.counts;
  }

  /**
   * @param {[number, number]} pixel
   * @param {boolean} shows what was hidden
   */
  begin(pixel, shows) {
    this.before.push(this.whole().slice());
    if (this.before.length > STEPS) this.before.shift();
    this.value = shows ? 1 : 0;
    this.last = pixel;
    this.stroke(pixel);
  }

  /** @param {[number, number]} pixel */
  stroke(pixel) {
    const radius = this.pane.toolbox.brush / this.pane.place().scale;
    const length = Math.hypot(pixel[0] - this.last[0], pixel[1] - this.last[1]);
    const steps = Math.max(1, Math.ceil(length / Math.max(radius / 2, 0.5)));
    for (let i = 1; i <= steps; i++) {
      this.dab(this.last[0] + ((pixel[0] - this.last[0]) * i) / steps, this.last[1] + ((pixel[1] - this.last[1]) * i) / steps, radius);
    }
    this.last = pixel;
    this.render();
  }

  /**
   * @param {number} u
   * @param {number} v
   * @param {number} radius
   */
  dab(u, v, radius) {
    const counts = this.whole();
    for (let row = Math.max(0, Math.floor(v - radius)); row <= Math.min(this.height - 1, v + radius); row++)
      for (let column = Math.max(0, Math.floor(u - radius)); column <= Math.min(this.width - 1, u + radius); column++)
        if (Math.hypot(column + 0.5 - u, row + 0.5 - v) <= Math.max(radius, 0.71)) counts[row * this.width + column] = this.value;
  }

  end() {
    this.send();
  }

  undo() {
    const before = this.before.pop();
    if (!before) return;
    this.counts = before;
    this.send();
    this.render();
  }

  clear() {
    this.before.push(this.whole().slice());
    this.whole().fill(1);
    this.send();
    this.render();
  }

  invert() {
    this.before.push(this.whole().slice());
    const counts = this.whole();
    for (let i = 0; i < counts.length; i++) counts[i] = 1 - counts[i];
    this.send();
    this.render();
  }

  get hides() {
    return this.counts !== null && this.counts.includes(0);
  }

  send() {
    this.pane.tellMask(this.hides ? packed(this.whole()) : null);
  }

  render() {
    if (!this.counts) return;
    [this.canvas.width, this.canvas.height] = [this.width, this.height];
    const image = new ImageData(this.width, this.height);
    for (let i = 0; i < this.counts.length; i++) if (!this.counts[i]) image.data.set(TINT, 4 * i);
    this.canvas.getContext("2d")?.putImageData(image, 0, 0);
    this.pane.draw();
  }
}

/**
 * A bit for each, the first one highest in its byte, in base64.
 * @param {Uint8Array} values
 */
export function packed(values) {
  let text = "";
  for (let i = 0; i < values.length; i += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) byte = (byte << 1) | (values[i + bit] ?? 0);
    text += String.fromCharCode(byte);
  }
  return btoa(text);
}
