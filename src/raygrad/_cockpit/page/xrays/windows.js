/** @typedef {import("../types.js").Frame} Frame */

/** What of its numbers an image shows, from black to white. */
export class Window {
  constructor() {
    this.low = 0;
    this.high = 1;
    this.inverted = false;
    /** Until a person says otherwise it goes with the image. */
    this.automatic = true;
  }

  /**
   * All but the darkest and brightest few, if nobody said what else.
   * @param {Frame} frame
   */
  follow(frame) {
    if (!this.automatic) return;
    [this.low, this.high] = quantiles(frame, 0.01, 0.995);
  }

  /**
   * As a pointer goes: to the right for more contrast, down for darker, in shares of what the image spans.
   * @param {Frame} frame
   * @param {number} right
   * @param {number} down
   */
  drag(frame, right, down) {
    const span = Math.max(frame.high - frame.low, 1e-9);
    const middle = (this.low + this.high) / 2 + down * span;
    const half = Math.max(((this.high - this.low) / 2) * Math.exp(-2 * right), 1e-4 * span);
    this.automatic = false;
    [this.low, this.high] = [middle - half, middle + half];
  }

  reset() {
    this.automatic = true;
    this.inverted = false;
  }
}

/**
 * The numbers that such shares of the pixels are below; of some thousand of them.
 * @param {Frame} frame
 * @param {number} dark
 * @param {number} bright
 */
export function quantiles(frame, dark, bright) {
  const step = Math.max(1, Math.floor(frame.array.length / 8192));
  const some = new Float64Array(Math.ceil(frame.array.length / step));
  for (let i = 0; i < some.length; i++) some[i] = frame.array[i * step];
  some.sort();
  const scale = (frame.high - frame.low) / 65535;
  const [low, high] = [dark, bright].map((share) => frame.low + scale * some[Math.min(some.length - 1, Math.floor(share * some.length))]);
  return high > low ? [low, high] : [frame.low, Math.max(frame.high, frame.low + 1e-6)];
}
