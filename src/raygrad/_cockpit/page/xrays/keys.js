import { register } from "../shell/keys.js";

/** @typedef {import("./pane.js").Pane} Pane */

/** Keys that move the anatomy by steps of the command "step": mm along an axis of the view, or degrees about it. */
const STEPS = /** @type {[string, string, number, string][]} */ ([
  ["ArrowRight", "right", 1, "1 mm to the right"],
  ["ArrowLeft", "right", -1, "1 mm to the left"],
  ["ArrowDown", "down", 1, "1 mm down"],
  ["ArrowUp", "down", -1, "1 mm up"],
  ["PageDown", "depth", 5, "5 mm deeper"],
  ["PageUp", "depth", -5, "5 mm nearer to the source"],
  ["W", "pitch", 1, "Tilt by 1 degree"],
  ["X", "pitch", -1, "and back"],
  ["A", "yaw", 1, "Turn by 1 degree"],
  ["D", "yaw", -1, "and back"],
  ["Q", "roll", 1, "Roll by 1 degree"],
  ["E", "roll", -1, "and back"],
]);

/**
 * Keys while the pane has the focus; with Shift a tenth of a step, with Ctrl ten (of arrows).
 * @param {Pane} pane
 */
export function registerKeys(pane) {
  const { frame, app, view } = pane;
  const where = "In the X-ray that has the focus";
  for (const [key, axis, amount, what] of STEPS) {
    const move = (/** @type {number} */ times) => app.connection.send("step", { view, axis, amount: amount * times });
    register({ keys: key, what, where, within: frame, act: () => move(1) });
    register({ keys: `Shift+${key}`, what: `${what}: a tenth of it`, where, within: frame, act: () => move(0.1) });
    if (key.startsWith("Arrow")) register({ keys: `Ctrl+${key}`, what: `${what}: ten times`, where, within: frame, act: () => move(10) });
  }
  register(
    { keys: ["+", "="], what: "Zoom in", where, within: frame, act: () => pane.look((sight) => sight.magnify(1.25)) },
    { keys: "-", what: "Zoom out", where, within: frame, act: () => pane.look((sight) => sight.magnify(0.8)) },
    { keys: "0", what: "Fit into the pane", where, within: frame, act: () => pane.look((sight) => sight.fit()) },
    { keys: "I", what: "Black and white exchanged", where, within: frame, act: () => pane.invert() },
    { keys: "[", what: "Less of the DRR", where, within: frame, act: () => slide(pane, -0.1) },
    { keys: "]", what: "More of the DRR", where, within: frame, act: () => slide(pane, 0.1) },
  );
}

/**
 * @param {Pane} pane
 * @param {number} by
 */
function slide(pane, by) {
  const setting = Math.max(0, Math.min(1, pane.setting + by));
  pane.slider.value = String(setting);
  pane.set(setting);
}
