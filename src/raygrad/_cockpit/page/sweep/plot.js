import { label, shape } from "./svg.js";

/** @typedef {import("./types.js").Point} Point */

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [280, 130, 44, 20, 8, 8];

/**
 * The residual by iteration, on a logarithmic scale.
 * @param {HTMLElement} host
 * @param {Point[]} points
 */
export function plot(host, points) {
  const known = points.filter(([, residual]) => residual !== null && residual > 0).map(([number, residual]) => [number, Math.log10(residual ?? 1)]);
  if (known.length === 0) {
    host.replaceChildren();
    return;
  }
  const logs = known.map(([, log]) => log);
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const last = Math.max(known[known.length - 1][0], 2);
  const x = (/** @type {number} */ number) => LEFT + ((number - 1) / (last - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (/** @type {number} */ log) => TOP + ((high - log) / Math.max(high - low, 1e-9)) * (HEIGHT - TOP - BOTTOM);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const title = `Residual by iteration: from ${(10 ** logs[0]).toPrecision(3)} to ${(10 ** logs[logs.length - 1]).toPrecision(3)}`;
  svg.setAttribute("aria-label", title);
  svg.append(shape("path", { class: "frame", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }));
  svg.append(shape("polyline", { class: "line", points: known.map(([number, log]) => `${x(number).toFixed(1)},${y(log).toFixed(1)}`).join(" ") }));
  const [number, log] = known[known.length - 1];
  svg.append(shape("circle", { class: "dot", cx: x(number).toFixed(1), cy: y(log).toFixed(1), r: "3" }));
  svg.append(label(LEFT - 4, TOP + 8, "end", (10 ** high).toPrecision(2)));
  if (high > low) svg.append(label(LEFT - 4, HEIGHT - BOTTOM, "end", (10 ** low).toPrecision(2)));
  svg.append(label(LEFT, HEIGHT - 5, "start", "residual, iteration 1"), label(WIDTH - RIGHT, HEIGHT - 5, "end", String(number)));
  host.replaceChildren(svg);
}
