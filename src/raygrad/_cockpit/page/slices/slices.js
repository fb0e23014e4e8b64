import { button, element } from "../shell/dom.js";
import { register } from "../shell/keys.js";
import { addPanel } from "../shell/panels.js";
import { PLANES, isOblique, toPixel } from "./geometry.js";
import { slicesOf } from "./model.js";
import { PlaneView } from "./plane.js";
import { WINDOWS } from "./windows.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("./model.js").Slices} Slices */

/**
 * Axial, coronal and sagittal slices through one point.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountSlices(host, app) {
  const slices = slicesOf(app);
  const { body } = addPanel(host, { id: "slices", title: "Slices", fill: true });
  body.classList.add("slices");
  const readout = element("p", { class: "note readout", "aria-live": "off", title: "HU, where in the CT's own world (right, front, head; mm), and the structure" });
  const grid = element("div", { class: "slice-grid" });
  const planes = Object.keys(PLANES).map((plane) => new PlaneView(grid, slices, plane, (text) => { readout.textContent = text || "\u00a0"; }));
  for (const one of planes) one.panel.append(enlarge(grid, one));
  const controls = element("div", { class: "slice-controls" }, windowControls(slices), dragControls(planes), overlayControl(slices), obliqueNote(slices), readout);
  grid.append(controls);
  body.append(grid);
  register(
    { keys: ["ArrowUp", "ArrowDown"], what: "Next slice (wheel)", where: "Slices" },
    { keys: ["PageUp", "PageDown"], what: "Ten slices on", where: "Slices" },
    { keys: ["Home", "End"], what: "First and last slice", where: "Slices" },
    { keys: ["+", "-", "0"], what: "Zoom (Ctrl and wheel), and back", where: "Slices" },
    { keys: "Enter", what: "Show the crosshair's point in X-rays and scene (click)", where: "Slices" },
  );
  const drawAll = () => planes.forEach((one) => one.draw());
  app.store.on("painted", (plane) => planes.find((one) => one.plane === plane)?.draw());
  app.store.on("crosshair", drawAll);
  app.store.on("outlined", drawAll);
  app.store.on("cursor", (cursor) => showCursor(slices, planes, cursor));
}

/**
 * @param {HTMLElement} grid
 * @param {PlaneView} one
 */
function enlarge(grid, one) {
  const made = button("⤢", () => {
    const large = grid.dataset.large === one.plane;
    if (large) delete grid.dataset.large;
    else grid.dataset.large = one.plane;
    made.setAttribute("aria-pressed", String(!large));
  }, { class: "quiet enlarge", "aria-label": `Show the ${one.plane} slice alone`, title: `Show the ${one.plane} slice alone`, "aria-pressed": "false" });
  return made;
}

/** @param {Slices} slices */
function windowControls(slices) {
  const names = Object.keys(WINDOWS);
  const select = element("select", { "aria-label": "Window", onchange: () => slices.setWindow(presetOf(slices, select.value)) },
    ...names.map((name) => element("option", { value: name }, name)), element("option", { value: "" }, "As set"));
  const level = element("input", { type: "number", step: 10, "aria-label": "Level in HU", title: "Level in HU", onchange: () => set() });
  const width = element("input", { type: "number", step: 10, min: 1, "aria-label": "Width in HU", title: "Width in HU", onchange: () => set() });
  const set = () => slices.setWindow({ level: Number(level.value), width: Number(width.value) });
  const show = () => {
    level.value = String(Math.round(slices.window.level));
    width.value = String(Math.round(slices.window.width));
    select.value = names.find((name) => ["level", "width"].every((key) => presetOf(slices, name)[/** @type {"level"} */ (key)] === slices.window[/** @type {"level"} */ (key)])) ?? "";
  };
  slices.app.store.on("painted", show);
  show();
  return [element("label", {}, "Window", select), element("span", { class: "row" }, level, width)];
}

/**
 * @param {Slices} slices
 * @param {string} name
 */
function presetOf(slices, name) {
  return WINDOWS[name] ?? slices.window;
}

/** @param {PlaneView[]} planes */
function dragControls(planes) {
  const tools = { crosshair: "Crosshair", window: "Window", pan: "Pan" };
  const select = element("select", { "aria-label": "Drag", title: "Right button or Shift: window. Middle button or Alt: pan. Ctrl and wheel: zoom.", onchange: () => {
    for (const one of planes) one.tool = select.value;
  } }, ...Object.entries(tools).map(([value, text]) => element("option", { value }, text)));
  return element("label", {}, "Drag", select);
}

/** @param {Slices} slices */
function overlayControl(slices) {
  const box = element("input", { type: "checkbox", onchange: () => slices.setOverlay(box.checked) });
  const made = element("label", {}, box, "Structures");
  box.checked = slices.overlay;
  slices.app.store.on("state", (state) => {
    made.hidden = !state.slices.labelled;
  });
  return made;
}

/** @param {Slices} slices */
function obliqueNote(slices) {
  const made = element("p", { class: "note", hidden: true }, "This CT lies oblique: its slices follow its voxels, and the letters are the nearest directions.");
  slices.app.store.on("state", (state) => {
    made.hidden = !isOblique(state.slices.voxel_to_world);
  });
  return made;
}

/**
 * A ray or a point of elsewhere, in each slice: the ray as a line, and where it goes through.
 * @param {Slices} slices
 * @param {PlaneView[]} planes
 * @param {import("../types.js").Cursor | null} cursor
 */
async function showCursor(slices, planes, cursor) {
  /** @type {number[][]} */
  let voxels = [];
  if (cursor?.point) voxels = [slices.voxelOf(cursor.point)];
  else if (cursor?.pixel && cursor.view !== undefined) {
    const found = await slices.app.connection.callNewest("ray", { view: cursor.view, pixel: cursor.pixel }).catch(() => null);
    if (found === undefined) return; // a newer one was asked for
    voxels = found?.voxel ?? [];
  }
  const shape = slices.state?.shape ?? [1, 1, 1];
  for (const one of planes) {
    const ends = voxels.map((voxel) => toPixel(one.plane, shape, voxel));
    one.mark = voxels.length === 2 ? { ends: [ends[0], ends[1]], point: crossing(slices, one.plane, voxels) } : { ends: null, point: ends[0] ?? null };
    one.draw();
  }
}

/**
 * Where a line goes through a slice, in (u, v); null if it does not between its ends.
 * @param {Slices} slices
 * @param {string} plane
 * @param {number[][]} voxels
 */
function crossing(slices, plane, [from, to]) {
  const { axis } = PLANES[plane];
  const share = (slices.indices[axis] - from[axis]) / (to[axis] - from[axis]);
  if (!(share >= 0 && share <= 1)) return null;
  return toPixel(plane, slices.state?.shape ?? [1, 1, 1], from.map((value, i) => value + share * (to[i] - value)));
}
