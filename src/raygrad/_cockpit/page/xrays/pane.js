import { enlargeButton } from "../shell/enlarge.js";
import { button, element, fill } from "../shell/dom.js";
import { keep, kept } from "../shell/keep.js";
import { tell } from "../shell/messages.js";
import { Hand } from "./hand.js";
import { registerKeys } from "./keys.js";
import { Layer } from "./layer.js";
import { Mask } from "./mask.js";
import { drawImages, MODES } from "./modes.js";
import { drawFrame, drawMarks } from "./overlay.js";
import { Sight } from "./sight.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../types.js").State} State */
/** @typedef {import("../types.js").Intrinsics} Intrinsics */
/** @typedef {import("./toolbox.js").Toolbox} Toolbox */

const SLOWEST_MS = 1500;

/** One view: its X-ray, and the DRR over it. */
export class Pane {
  /**
   * @param {HTMLElement} host
   * @param {App} app
   * @param {number} view
   * @param {Toolbox} toolbox
   */
  constructor(host, app, view, toolbox) {
    this.app = app;
    this.view = view;
    this.toolbox = toolbox;
    this.xray = new Layer();
    this.drr = new Layer();
    this.sight = new Sight();
    this.mask = new Mask(this);
    this.mode = kept(`mode ${view}`, "blend");
    if (!(this.mode in MODES)) this.mode = "blend";
    this.setting = MODES[this.mode].first;
    this.turn = false;
    /** @type {number[] | null} where a person points, in the world */
    this.pointed = null;
    this.asked = 0;
    this.flickering = 0;
    this.name = element("span", { class: "view-name" });
    this.said = element("span", { class: "likeness" });
    this.canvas = element("canvas");
    this.frame = element("div", { class: "pane", tabindex: 0, role: "application", "aria-roledescription": "X-ray" }, this.canvas);
    this.readout = element("span", { class: "readout" });
    this.choice = element("select", { "aria-label": `How the DRR lies over X-ray ${this.view + 1}`, onchange: () => this.use(this.choice.value) },
      ...Object.entries(MODES).map(([mode, { name }]) => element("option", { value: mode, selected: mode === this.mode }, name)));
    this.slider = element("input", { type: "range", min: 0, max: 1, step: 0.01, oninput: () => this.set(Number(this.slider.value)) });
    this.extra = element("span", { class: "row extra" });
    const label = (/** @type {string} */ text) => `${text}, X-ray ${this.view + 1}`;
    const foot = element("div", { class: "row foot" },
      this.choice, this.slider,
      button("Fit", () => this.look((sight) => sight.fit()), { "aria-label": label("Fit into the pane") }),
      button("Levels", () => this.resetWindow(), { "aria-label": label("Levels as they were") }),
      button("Invert", () => this.invert(), { "aria-label": label("Black and white exchanged") }),
      this.extra, this.readout);
    this.panel = element("section", { class: "panel xray", "aria-label": `X-ray ${this.view + 1}` }, element("h2", {}, this.name, this.said), this.frame, foot);
    this.panel.querySelector("h2")?.append(enlargeButton(this.panel, `X-ray ${this.view + 1}`));
    host.append(this.panel);
    toolbox.told.add(() => this.showExtra());
    this.showExtra();
    this.use(this.mode);
    this.hand = new Hand(this);
    registerKeys(this);
    const { store } = app;
    store.on(`frame:xray ${view}`, (frame) => this.show(this.xray, frame));
    store.on(`frame:drr ${view}`, (frame) => this.show(this.drr, frame));
    store.on(`frame:mask ${view}`, (frame) => this.mask.show(frame));
    store.on("state", () => this.draw());
    store.on("cursor", (cursor) => {
      this.pointed = cursor?.point ?? null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(this.frame);
  }

  /** What there is to do with a mask, while one is painted. */
  showExtra() {
    const number = this.view + 1;
    const tools = this.toolbox.tool !== "hide" ? [] : [
      button("Undo stroke", () => this.mask.undo(), { "aria-label": `Undo the last stroke, X-ray ${number}` }),
      button("Show all", () => this.mask.clear(), { "aria-label": `Hide nothing, X-ray ${number}` }),
      button("Exchange", () => this.mask.invert(), { "aria-label": `Exchange what is hidden and what is not, X-ray ${number}` }),
    ];
    fill(this.extra, ...tools);
    this.frame.dataset.tool = this.toolbox.tool;
  }

  /** @returns {Intrinsics} */
  get intrinsics() {
    return /** @type {State} */ (this.app.store.state).views[this.view].intrinsics;
  }

  /** @returns {{left: number, top: number, scale: number}} */
  place() {
    return this.sight.place({ width: this.frame.clientWidth, height: this.frame.clientHeight }, this.intrinsics);
  }

  /**
   * The pixel (u, v) of the view at a place of the pane, in CSS pixels.
   * @param {{x: number, y: number}} at
   * @returns {[number, number]}
   */
  pixelAt({ x, y }) {
    const { left, top, scale } = this.place();
    return [(x - left) / scale, (y - top) / scale];
  }

  /**
   * @param {Layer} layer
   * @param {import("../types.js").Frame} frame
   */
  show(layer, frame) {
    layer.show(frame);
    this.draw();
  }

  /** Draw at the next image of the screen, however often that is asked for. */
  draw() {
    if (!this.asked) this.asked = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    this.asked = 0;
    const { state } = this.app.store;
    const view = state?.views[this.view];
    const [width, height] = [this.frame.clientWidth, this.frame.clientHeight];
    const context = this.canvas.getContext("2d");
    if (!state || !view || !context || !width) return;
    const ratio = Math.min(window.devicePixelRatio, 2);
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const { left, top, scale } = this.place();
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
    context.imageSmoothingEnabled = scale < 6; // far in, pixels are seen as such
    const { intrinsics } = view;
    drawImages(context, this.mode, this.setting, this.xray, this.drr, intrinsics.width, intrinsics.height, this.turn);
    if (this.mask.hides) context.drawImage(this.mask.canvas, 0, 0, intrinsics.width, intrinsics.height);
    drawMarks(context, state, this.view, scale, this.pointed);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawFrame(context, state, this.view, scale, width, height);
    this.describe(state);
  }

  /** @param {State} state */
  describe(state) {
    const { name, hidden, linked } = state.views[this.view];
    const likeness = this.drr.frame?.similarity;
    this.name.textContent = name;
    const about = [hidden && "parts left out", linked === false && "unlinked"].filter(Boolean).join(", ");
    this.said.textContent = `${about ? `${about} · ` : ""}${likeness === null || likeness === undefined ? "" : `likeness ${likeness.toFixed(3)}`}`;
    this.frame.setAttribute("aria-label", `${name}: drag, or move the anatomy with the arrow keys. ${this.said.textContent}`);
  }

  /**
   * What is under the pointer, in numbers.
   * @param {{x: number, y: number} | null} at CSS pixels in the pane
   */
  read(at) {
    if (!at || !this.app.store.state?.views[this.view]) {
      this.readout.textContent = "";
      return;
    }
    const [u, v] = this.pixelAt(at);
    const { width, height } = this.intrinsics;
    const values = [this.xray, this.drr].map((layer) => layer.valueAt(u / width, v / height));
    const [xray, drr] = values.map((value) => (value === null ? "–" : value.toPrecision(3)));
    this.readout.textContent = values[0] === null ? "" : `(${u.toFixed(0)}, ${v.toFixed(0)})  X-ray ${xray}  DRR ${drr}`;
  }

  /** @param {(sight: Sight) => void} change */
  look(change) {
    change(this.sight);
    this.draw();
  }

  /** @param {string} mode */
  use(mode) {
    this.mode = this.choice.value = mode;
    this.setting = MODES[mode].first;
    this.slider.value = String(this.setting);
    this.slider.hidden = MODES[mode].slider === null;
    this.slider.setAttribute("aria-label", `${MODES[mode].slider ?? "Nothing to set"}, X-ray ${this.view + 1}`);
    keep(`mode ${this.view}`, mode);
    clearInterval(this.flickering);
    if (mode === "flicker") this.flickering = setInterval(() => this.flicker(), 50);
    this.draw();
  }

  /** @param {number} setting */
  set(setting) {
    this.setting = setting;
    this.draw();
  }

  /**
   * Another window, of the images that are shown.
   * @param {number} right
   * @param {number} down
   */
  windowBy(right, down) {
    for (const layer of this.shown()) {
      if (layer.frame) layer.window.drag(layer.frame, right, down);
      layer.render();
    }
    this.draw();
  }

  resetWindow() {
    for (const layer of [this.xray, this.drr]) {
      layer.window.reset();
      if (layer.frame) layer.show(layer.frame);
    }
    this.draw();
  }

  invert() {
    for (const layer of [this.xray, this.drr]) {
      layer.window.inverted = !layer.window.inverted;
      layer.render();
    }
    this.draw();
  }

  shown() {
    return this.mode === "xray" ? [this.xray] : this.mode === "drr" ? [this.drr] : [this.xray, this.drr];
  }

  /** @param {[number, number]} pixel */
  point(pixel) {
    this.app.store.emit("cursor", { view: this.view, pixel });
  }

  /** @param {string | null} bits */
  tellMask(bits) {
    this.app.connection.call("mask", { view: this.view, bits }).catch((error) => {
      tell(error.message, { id: "trouble mask" });
      const kept = this.app.store.frames.get(`mask ${this.view}`);
      if (kept) this.mask.show(kept); // what the server goes by
    });
  }

  flicker() {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const turn = !still && Math.floor(performance.now() / (SLOWEST_MS * (1.1 - this.setting))) % 2 === 1;
    if (turn === this.turn) return;
    this.turn = turn;
    this.draw();
  }
}
