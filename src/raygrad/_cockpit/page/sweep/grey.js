/** @typedef {import("./types.js").SweepFrame} Frame */

const LEVELS = 65536;

/**
 * Draw a frame into a canvas, as large as it is; where its pixels are no squares, stretched to their shape.
 * @param {HTMLCanvasElement} canvas
 * @param {Frame} frame
 * @param {Uint32Array} colours of each of the 65536 numbers
 */
export function draw(canvas, frame, colours) {
  const [height, width] = frame.shape;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours[frame.array[i]];
  const [across, down] = frame.pixel ?? [1, 1];
  const small = Math.min(across, down);
  const own = document.createElement("canvas");
  own.width = width;
  own.height = height;
  own.getContext("2d")?.putImageData(image, 0, 0);
  canvas.width = Math.round((width * across) / small);
  canvas.height = Math.round((height * down) / small);
  canvas.getContext("2d")?.drawImage(own, 0, 0, canvas.width, canvas.height);
}

/**
 * Greys from black at one number to white at another.
 * @param {Frame} frame
 * @param {number} black
 * @param {number} white
 */
export function greys(frame, black, white) {
  return table(frame, (value) => {
    const grey = byte((255 * (value - black)) / Math.max(white - black, 1e-12));
    return 0xff000000 | (grey << 16) | (grey << 8) | grey;
  });
}

/**
 * Black at 0, orange above and blue below.
 * @param {Frame} frame
 * @param {number} most what is brightest, on both sides
 */
export function signed(frame, most) {
  return table(frame, (value) => {
    const part = Math.min(1, Math.abs(value) / Math.max(most, 1e-12));
    const [red, green, blue] = value > 0 ? [255, 170, 60] : [90, 170, 255];
    return 0xff000000 | (byte(blue * part) << 16) | (byte(green * part) << 8) | byte(red * part);
  });
}

/**
 * @param {Frame} frame
 * @param {(value: number) => number} colour
 */
function table(frame, colour) {
  const colours = new Uint32Array(LEVELS);
  const step = (frame.high - frame.low) / (LEVELS - 1);
  for (let i = 0; i < LEVELS; i++) colours[i] = colour(frame.low + i * step);
  return colours;
}

/** @param {number} value */
function byte(value) {
  return Math.max(0, Math.min(255, Math.round(value)));
}
