import { button, element } from "../shell/dom.js";
import { register } from "../shell/keys.js";
import { rove } from "../shell/roving.js";
import { describe } from "../shell/tooltip.js";

/** @typedef {import("../app.js").App} App */

/**
 * What a drag in a pane does. `how` is a drag of the command "drag".
 * @type {Record<string, {name: string, key: string, what: string, how?: string}>}
 */
export const TOOLS = {
  shift: { name: "Move", key: "1", what: "Drag the anatomy: what is under the pointer stays under it", how: "shift" },
  turn: { name: "Turn", key: "2", what: "Turn it about its middle; or drag with Shift", how: "turn" },
  roll: { name: "Roll", key: "3", what: "Turn it in the plane of the image; or drag with Alt", how: "roll" },
  depth: { name: "Depth", key: "4", what: "Up is nearer to the source; or the wheel" },
  window: { name: "Window", key: "5", what: "Contrast to the right, brightness down; or drag with the right button" },
  pan: { name: "Pan", key: "6", what: "Move the picture, not the anatomy; or drag with the middle button" },
  point: { name: "Point", key: "7", what: "Show where the ray goes in slices and scene" },
  hide: { name: "Hide", key: "8", what: "Paint what is not to be compared; with Shift what is" },
};
const AXES = { right: "→", down: "↓", depth: "Depth", pitch: "Pitch", yaw: "Yaw", roll: "Roll" };

/** Which tool all panes have in hand, and who is told when that changes. */
export class Toolbox {
  constructor() {
    this.tool = "shift";
    /** Radius of the brush in pixels of the pane. */
    this.brush = 18;
    /** @type {Set<() => void>} */
    this.told = new Set();
  }

  /** @param {string} tool */
  take(tool) {
    this.tool = tool;
    for (const tell of this.told) tell();
  }
}

/**
 * The row of tools over the panes, and the axes that hands do not move along.
 * @param {HTMLElement} host
 * @param {App} app
 * @param {Toolbox} toolbox
 */
export function mountToolbox(host, app, toolbox) {
  const buttons = Object.entries(TOOLS).map(([tool, { name, key, what }]) => {
    const made = button(name, () => toolbox.take(tool), { "data-tool": tool });
    describe(made, `${what} (${key})`);
    register({ keys: key, what: `${name}: ${what.toLowerCase()}`, where: "In the X-rays", act: () => toolbox.take(tool) });
    return made;
  });
  const brush = element("input", {
    type: "range", min: 3, max: 80, value: toolbox.brush, "aria-label": "Size of the brush",
    oninput: () => { toolbox.brush = Number(brush.value); },
  });
  const locks = Object.entries(AXES).map(([axis, text]) => {
    const made = button(text, () => {
      const locked = new Set(app.store.state?.locked);
      if (!locked.delete(axis)) locked.add(axis);
      app.connection.send("lock", { axes: [...locked] });
    }, { "data-axis": axis, "aria-label": `Lock ${axis}`, class: "quiet" });
    describe(made, `Hands do not move along or about this axis: ${axis}`);
    return made;
  });
  const bar = element("div", { hidden: true, class: "toolbox", role: "toolbar", "aria-label": "What a drag does" },
    ...buttons, brush, element("span", { class: "locks", role: "group", "aria-label": "Locked axes" }, "Lock", ...locks));
  rove(bar, "button, input");
  host.append(bar);
  const show = () => {
    for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.tool === toolbox.tool));
    brush.hidden = toolbox.tool !== "hide";
  };
  toolbox.told.add(show);
  show();
  app.store.on("state", ({ locked, views }) => {
    bar.hidden = !views.length;
    for (const one of locks) one.setAttribute("aria-pressed", String(locked.includes(one.dataset.axis)));
  });
}
