/** @typedef {import("../types.js").Frame} Frame */

/**
 * A frame's numbers as greys between two levels, white what is highest.
 * @param {Frame} frame
 * @param {number} low what is black, in the frame's own numbers
 * @param {number} high what is white
 * @param {boolean} [inverted] black what is highest
 */
export function greys(frame, low, high, inverted = false) {
  const [height, width] = frame.shape;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const levels = inverted ? table(frame, high, low) : table(frame, low, high);
  for (let i = 0; i < pixels.length; i++) pixels[i] = levels[frame.array[i]];
  return image;
}

/**
 * The colour of each of the 65536 numbers.
 * @param {Frame} frame
 * @param {number} low
 * @param {number} high
 */
function table(frame, low, high) {
  const levels = new Uint32Array(65536);
  const step = (frame.high - frame.low) / 65535;
  const scale = 255 / (Math.abs(high - low) > 1e-9 ? high - low : 1e-9);
  for (let i = 0; i < levels.length; i++) {
    const grey = Math.max(0, Math.min(255, Math.round((frame.low + i * step - low) * scale)));
    levels[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return levels;
}
