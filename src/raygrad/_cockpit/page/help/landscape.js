import { button, element, fill } from "../shell/dom.js";
import { addPanel } from "../shell/panels.js";
import { drawMap, STEPS_OF_COLOUR } from "./heatmap.js";
import { ask } from "./register.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../types.js").Landscape} Landscape */

const DIRECTIONS = [
  ["x", "sideways"],
  ["z", "along the patient"],
  ["y", "depth along the beam"],
  ["alpha", "turn about the long axis"],
  ["beta", "tilt"],
  ["gamma", "turn in the image"],
];

/**
 * The panel of landscapes: the similarity over two directions, where a click moves the anatomy to.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountLandscape(host, app) {
  const { body } = addPanel(host, { id: "landscape", title: "Landscape", open: false });
  const view = element("select", { "aria-label": "View" });
  const first = choice("First direction", "x");
  const second = choice("Second direction", "y");
  const mm = number("mm to each side", 15, 1, 300);
  const degrees = number("Degrees to each side", 10, 1, 90);
  const steps = number("Steps", 21, 3, 41);
  const go = button("Compute", () =>
    ask(app, "landscape", {
      view: Number(view.value),
      first: first.value,
      second: second.value,
      mm: Number(mm.value),
      degrees: Number(degrees.value),
      steps: Number(steps.value),
    }),
  );
  const shown = element("div", { class: "landscape" });
  body.append(
    element("div", { class: "row" }, view, first, "by", second),
    element("div", { class: "row" }, mm, "mm", degrees, "°", steps, "steps", go),
    shown,
  );
  let last = "";
  app.store.on("state", (state) => {
    if (view.options.length !== state.views.length) {
      fill(view, ...state.views.map((/** @type {{name: string}} */ one, /** @type {number} */ i) => element("option", { value: i }, one.name)));
    }
    const text = JSON.stringify(state.landscape);
    if (text !== last) fill(shown, ...(state.landscape ? pictured(state.landscape, app) : [empty()]));
    last = text;
  });
}

function empty() {
  return element("p", { class: "note" }, "How alike the images are if the anatomy moves along two directions: a valley is a direction that the view hardly tells.");
}

/**
 * @param {Landscape} landscape
 * @param {App} app
 */
function pictured(landscape, app) {
  const { scores, deviations, labels, best } = landscape;
  const canvas = element("canvas", { class: "map", tabindex: 0, role: "img" });
  const known = scores.flat().filter((one) => one !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  canvas.setAttribute("aria-label", `Similarity over ${labels.join(" and ")}, from ${low.toFixed(3)} to ${high.toFixed(3)}; best at ${best.map((one) => one.toFixed(1)).join(", ")}`);
  drawMap(canvas, scores, low, high);
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    ask(app, "go_in_landscape", { first: at(deviations[0], across), second: at(deviations[1], 1 - down) });
  });
  const ends = deviations.map((values) => [values[0], values[values.length - 1]].map((value) => value.toPrecision(3)));
  return [
    element("p", { class: "axis" }, `↑ ${labels[1]}: ${ends[1][0]} to ${ends[1][1]}`),
    canvas,
    element("p", { class: "axis" }, `→ ${labels[0]}: ${ends[0][0]} to ${ends[0][1]}`),
    element("p", { class: "note" }, `Similarity ${low.toFixed(3)} (dark) to ${high.toFixed(3)} (bright), ${STEPS_OF_COLOUR} levels; ${landscape.here.toFixed(3)} in the middle, where the anatomy ${landscape.fresh ? "is" : "was"}. A click moves it.`),
    button("Go to the best", () => ask(app, "go_in_landscape", { first: best[0], second: best[1] })),
  ];
}

/**
 * The deviation at a share of the map's width: each value's cell is equally wide.
 * @param {number[]} values
 * @param {number} share
 */
function at(values, share) {
  const place = Math.max(0, Math.min(values.length - 1, share * values.length - 0.5));
  const before = Math.floor(place);
  const after = Math.min(before + 1, values.length - 1);
  return values[before] + (place - before) * (values[after] - values[before]);
}

/**
 * @param {string} name
 * @param {string} chosen
 */
function choice(name, chosen) {
  return element("select", { "aria-label": name }, ...DIRECTIONS.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
}

/**
 * @param {string} name
 * @param {number} value
 * @param {number} min
 * @param {number} max
 */
function number(name, value, min, max) {
  return element("input", { type: "number", "aria-label": name, title: name, value, min, max, class: "short" });
}
