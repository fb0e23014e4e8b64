import { button, element } from "../shell/dom.js";
import { keep, kept } from "../shell/keep.js";

/** @typedef {import("./world.js").World} World */

/** What can be shown, whether it is at first, and its name. @type {[string, boolean, string][]} */
const THINGS = [
  ["slices", true, "Slices"], ["skin", true, "Skin"], ["bone", true, "Bone"], ["bodies", true, "Bodies"],
  ["beams", true, "Beams"], ["xrays", true, "Detectors"], ["drr", false, "DRR on them"], ["arc", true, "C-arm"],
];
const SURFACES = ["skin", "bone"];

/** The buttons under the scene. */
export class SceneControls {
  /** @param {World} world */
  constructor(world) {
    this.world = world;
    /** @type {Record<string, HTMLInputElement>} */
    this.boxes = {};
    /** @type {Record<string, HTMLInputElement>} */
    this.levels = {};
    this.said = element("span", { class: "scene-said", role: "status" });
    this.asked = new Set();
    this.bar = this.make();
  }

  make() {
    const { world } = this;
    const shown = kept("scene shows", {});
    const looks = /** @type {const} */ ([["all", "All"], ["front", "Front"], ["side", "Left"], ["top", "Top"]]);
    const handles = element("select", { "aria-label": "Handles on the selected body", title: "Handles on the selected body", onchange: () => world.gizmo.mode(handles.value) },
      element("option", { value: "" }, "No handles"), element("option", { value: "translate" }, "Move"), element("option", { value: "rotate" }, "Turn"));
    const boxes = THINGS.map(([name, first, text]) => {
      const box = element("input", { type: "checkbox", onchange: () => this.changed(name) });
      box.checked = Boolean(shown[name] ?? first);
      this.boxes[name] = box;
      return element("label", {}, box, text, SURFACES.includes(name) && this.levelOf(name));
    });
    return element("div", { class: "scene-controls" },
      element("div", { class: "row" }, ...looks.map(([name, text]) => button(text, () => world.look(name), { title: `Look from: ${text.toLowerCase()}` })), handles),
      element("details", {}, element("summary", {}, "What is shown"), element("div", { class: "row" }, ...boxes)));
  }

  /** @param {string} name of a surface */
  levelOf(name) {
    const level = element("input", {
      type: "number", step: 25, min: -1024, max: 3071, "aria-label": `HU at which ${name} begins`, title: `HU at which ${name} begins`,
      onchange: () => this.world.app.connection.send("show_surface", { name, level: Number(level.value) }),
    });
    this.levels[name] = level;
    return level;
  }

  /** @param {string} name */
  shows(name) {
    return this.boxes[name].checked;
  }

  /** @param {string} text */
  say(text) {
    this.said.textContent = text;
  }

  /** @param {string} name */
  changed(name) {
    keep("scene shows", Object.fromEntries(Object.entries(this.boxes).map(([one, box]) => [one, box.checked])));
    if (name === "drr") this.world.refresh();
    this.tell();
  }

  /** What the state says, and what is to be seen. */
  tell() {
    const { world } = this;
    const { state } = world.app.store;
    if (!state) return;
    for (const name of SURFACES) {
      const { level, making } = state.surfaces[name];
      if (document.activeElement !== this.levels[name]) this.levels[name].value = String(level);
      if (this.shows(name) && !this.asked.has(name)) {
        this.asked.add(name); // what is there already is not made again
        world.app.connection.call("show_surface", { name }).catch((error) => {
          this.say(error.message);
        });
      }
      this.levels[name].classList.toggle("making", making);
      world.patient.surfaces[name].visible = this.shows(name);
    }
    for (const picture of Object.values(world.patient.pictures)) picture.visible = this.shows("slices");
    world.bodies.visible = this.shows("bodies");
    for (const beam of world.beams) {
      beam.detector.visible = this.shows("xrays");
      beam.edges.visible = this.shows("beams");
      beam.source.visible = beam.hasSource && this.shows("beams");
      beam.arc.visible = this.shows("arc");
    }
    world.stage.request();
  }
}
