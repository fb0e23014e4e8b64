export const STEPS_OF_COLOUR = 12;
const SIDE = 320;
/** From dark to bright, so that it is read without seeing colours: blue, violet, orange, yellow. */
const STOPS = [[13, 22, 60], [92, 30, 120], [190, 60, 85], [240, 140, 40], [252, 240, 160]];

/**
 * Draw numbers as a map of levels, first index to the right and second one upwards, with lines between the levels, a
 * cross where the middle is and a ring about the best.
 * @param {HTMLCanvasElement} canvas
 * @param {(number | null)[][]} values
 * @param {number} low
 * @param {number} high
 */
export function drawMap(canvas, values, low, high) {
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d");
  if (!context) return;
  const [columns, rows] = [values.length, values[0].length];
  const image = context.createImageData(SIDE, SIDE);
  const level = (/** @type {number} */ x, /** @type {number} */ y) => {
    const value = between(values, (x + 0.5) * columns / SIDE - 0.5, (SIDE - y - 0.5) * rows / SIDE - 0.5);
    return value === null ? null : Math.min(STEPS_OF_COLOUR - 1, Math.floor((STEPS_OF_COLOUR * (value - low)) / Math.max(high - low, 1e-9)));
  };
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const here = level(x, y);
      const edge = here !== null && ((x + 1 < SIDE && level(x + 1, y) !== here) || (y + 1 < SIDE && level(x, y + 1) !== here));
      const [r, g, b] = here === null ? [90, 90, 90] : edge ? [0, 0, 0] : colour(here / (STEPS_OF_COLOUR - 1));
      image.data.set([r, g, b, 255], 4 * (y * SIDE + x));
    }
  }
  context.putImageData(image, 0, 0);
  let [best, i, j] = [-Infinity, 0, 0];
  values.forEach((column, a) => column.forEach((value, b) => { if (value !== null && value > best) [best, i, j] = [value, a, b]; }));
  mark(context, ((i + 0.5) * SIDE) / columns, SIDE - ((j + 0.5) * SIDE) / rows, true);
  mark(context, SIDE / 2, SIDE / 2, false);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {boolean} ring
 */
function mark(context, x, y, ring) {
  for (const [style, width] of /** @type {[string, number][]} */ ([["#000", 4], ["#fff", 1.75]])) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    if (ring) context.arc(x, y, 7, 0, 2 * Math.PI);
    else for (const [dx, dy] of [[5, 0], [0, 5]]) (context.moveTo(x - dx, y - dy), context.lineTo(x + dx, y + dy));
    context.stroke();
  }
}

/**
 * The value between cells' middles; null beside one that has none.
 * @param {(number | null)[][]} values
 * @param {number} x
 * @param {number} y
 */
function between(values, x, y) {
  const [i, s] = split(x, values.length);
  const [j, t] = split(y, values[0].length);
  const [a, b, c, d] = [values[i][j], values[i + 1][j], values[i][j + 1], values[i + 1][j + 1]];
  if (a === null || b === null || c === null || d === null) return null;
  return (a * (1 - s) + b * s) * (1 - t) + (c * (1 - s) + d * s) * t;
}

/**
 * The cell before a place, and the share of the way to the next one.
 * @param {number} place
 * @param {number} count
 * @returns {[number, number]}
 */
function split(place, count) {
  const inside = Math.max(0, Math.min(count - 1, place));
  const cell = Math.min(Math.floor(inside), count - 2);
  return [cell, inside - cell];
}

/** @param {number} share */
function colour(share) {
  const place = share * (STOPS.length - 1);
  const cell = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[cell].map((value, i) => value + (place - cell) * (STOPS[cell + 1][i] - value));
}
