/** @typedef {import("../types.js").State} State */

/** What is smaller than this on the screen, in pixels, is drawn so many times as large, and that is said. */
const LEAST = 10;

/**
 * The least of 1, 2, 5, 10, 20, 50, ... that is so much at least.
 * @param {number} least
 */
function round(least) {
  const tens = 10 ** Math.floor(Math.log10(least));
  return tens * ([1, 2, 5, 10].find((one) => one * tens >= least) ?? 10);
}

/**
 * Draw where in a view the CT's middle lies with 95 %, and the motion that is known least.
 * @param {CanvasRenderingContext2D} context one unit of it is a pixel (u, v) of the view
 * @param {State | null} state
 * @param {number} view
 * @param {number} scale how many CSS pixels a pixel of the view is
 */
export function drawCertainty(context, state, view, scale) {
  const seen = state?.certainty?.views[view];
  if (!seen) return;
  const [u, v] = seen.centre;
  const size = Math.max(...seen.axes, 1e-9) * scale;
  const times = size >= LEAST ? 1 : round(LEAST / size);
  const [from, to] = seen.weakest.map(([x, y]) => [u + times * (x - u), v + times * (y - v)]);
  context.save();
  context.globalAlpha = 1;
  for (const [style, width] of /** @type {[string, number][]} */ ([["rgb(0 0 0 / .7)", 4], ["#ffd166", 1.75]])) {
    context.strokeStyle = style;
    context.lineWidth = width / scale;
    context.beginPath();
    context.ellipse(u, v, times * seen.axes[0], times * seen.axes[1], seen.angle, 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([4 / scale, 3 / scale]);
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    context.stroke();
    context.setLineDash([]);
  }
  context.font = `${12 / scale}px system-ui, sans-serif`;
  context.lineWidth = 3 / scale;
  context.strokeStyle = "rgb(0 0 0 / .7)";
  context.fillStyle = "#ffd166";
  const text = times === 1 ? "95 %" : `95 %, × ${times.toLocaleString("en")}`;
  const below = v + times * Math.max(...seen.axes) + 14 / scale;
  context.strokeText(text, u + 8 / scale, below);
  context.fillText(text, u + 8 / scale, below);
  context.restore();
}
