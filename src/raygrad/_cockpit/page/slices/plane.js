import { element } from "../shell/dom.js";
import { drawOver } from "./drawing.js";
import { PLANES, inWords, spacings, toPixel, toVoxel, mapped } from "./geometry.js";

/** @typedef {import("./model.js").Slices} Slices */

const ZOOMS = { least: 1, most: 20 };
const CLICK_PX = 4;
/** HU of level and width for each pixel that the pointer is dragged. */
const WINDOW_PER_PX = 2;

/**
 * One slice: greys, crosshair, beams, letters; and the pointer and keys that move them.
 *
 * Drag: crosshair. Right button or Shift: window. Middle button or Alt: pan. Wheel: next slice; with Ctrl: zoom.
 */
export class PlaneView {
  /**
   * @param {HTMLElement} host
   * @param {Slices} slices
   * @param {string} plane
   * @param {(text: string) => void} say what is under the pointer
   */
  constructor(host, slices, plane, say) {
    this.slices = slices;
    this.plane = plane;
    this.say = say;
    this.zoom = 1;
    /** @type {[number, number]} */
    this.pan = [0, 0];
    /** What a plain drag does: "crosshair", "window" or "pan". */
    this.tool = "crosshair";
    /** @type {{ends: [number, number][] | null, point: number[] | null}} where a person points elsewhere, in (u, v) */
    this.mark = { ends: null, point: null };
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.view = element("div", {
      class: "slice-view", tabindex: 0, role: "application", "aria-label": `${plane} slice: arrow up and down for the next one, Home and End for the first and last`,
    }, this.canvas);
    this.slider = element("input", { type: "range", min: 0, max: 1, step: 1, "aria-label": `${plane} slice`, oninput: () => this.go(Number(this.slider.value)) });
    this.panel = element("div", { class: "slice", "data-plane": plane }, this.view, this.slider);
    host.append(this.panel);
    /** @type {[number, number] | null} */
    this.under = null;
    this.drawing = 0;
    new ResizeObserver(() => this.draw()).observe(this.view);
    this.listen();
  }

  /** Draw again, before the browser does next. */
  draw() {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      const { state } = this.slices;
      if (!state) return;
      const { axis } = PLANES[this.plane];
      this.slider.max = String(state.shape[axis] - 1);
      this.slider.value = String(this.slices.indices[axis]);
      this.slider.setAttribute("aria-valuetext", `${this.slices.indices[axis] + 1} of ${state.shape[axis]}`);
      drawOver(this);
      if (this.under) this.tell(this.under);
    });
  }

  /** CSS pixels of a column and of a row, and where pixel (0, 0) begins. */
  place() {
    const { state } = this.slices;
    const { columns, rows } = PLANES[this.plane];
    const { clientWidth, clientHeight } = this.view;
    if (!state) return { scaleX: 1, scaleY: 1, left: 0, top: 0 };
    const mm = spacings(state.voxel_to_world);
    const size = [state.shape[columns] * mm[columns], state.shape[rows] * mm[rows]];
    const scale = this.zoom * Math.min(clientWidth / size[0], clientHeight / size[1]);
    return {
      scaleX: scale * mm[columns], scaleY: scale * mm[rows],
      left: (clientWidth - scale * size[0]) / 2 + this.pan[0], top: (clientHeight - scale * size[1]) / 2 + this.pan[1],
    };
  }

  /**
   * (u, v) under the pointer.
   * @param {MouseEvent} event
   * @returns {[number, number]}
   */
  pixel(event) {
    const box = this.view.getBoundingClientRect();
    const { scaleX, scaleY, left, top } = this.place();
    return [(event.clientX - box.left - left) / scaleX, (event.clientY - box.top - top) / scaleY];
  }

  /** @param {[number, number]} pixel */
  voxel(pixel) {
    return toVoxel(this.plane, this.slices.state?.shape ?? [1, 1, 1], this.slices.indices, pixel);
  }

  /** @param {number} index of the slice */
  go(index) {
    const indices = [...this.slices.indices];
    indices[PLANES[this.plane].axis] = index;
    this.slices.look(indices);
  }

  /**
   * @param {number} factor
   * @param {number} x CSS pixels in the view: what is there stays there
   * @param {number} y
   */
  zoomAt(factor, x, y) {
    const zoom = Math.max(ZOOMS.least, Math.min(ZOOMS.most, this.zoom * factor));
    const [cx, cy] = [x - this.view.clientWidth / 2, y - this.view.clientHeight / 2];
    const share = zoom / this.zoom;
    this.pan = zoom === ZOOMS.least ? [0, 0] : [cx - share * (cx - this.pan[0]), cy - share * (cy - this.pan[1])];
    this.zoom = zoom;
    this.draw();
  }

  listen() {
    const { view } = this;
    let begun = false;
    /** @type {Map<number, PointerEvent>} */
    const pointers = new Map();
    view.addEventListener("contextmenu", (event) => event.preventDefault());
    view.addEventListener("pointerdown", (event) => {
      view.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      begun = false;
      if (event.button === 1) event.preventDefault();
    });
    view.addEventListener("pointermove", (event) => {
      this.under = this.pixel(event);
      this.tell(this.under);
      const last = pointers.get(event.pointerId);
      if (!last) return;
      const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
      if (!begun && Math.hypot(dx, dy) < CLICK_PX) return;
      begun = true;
      pointers.set(event.pointerId, event);
      if (pointers.size === 2) this.pinch([...pointers.values()], last, event);
      else this.drag(event, dx, dy);
    });
    view.addEventListener("pointerup", (event) => {
      if (!begun && event.button === 0) this.point(this.pixel(event));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      view.addEventListener(end, (event) => pointers.delete(/** @type {PointerEvent} */ (event).pointerId));
    }
    view.addEventListener("pointerleave", () => {
      this.under = null;
      this.say("");
    });
    view.addEventListener("dblclick", (event) => this.slices.look(this.voxel(this.pixel(event))));
    view.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) this.zoomAt(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
      else if (event.deltaY) this.go(this.slices.indices[PLANES[this.plane].axis] - Math.sign(event.deltaY));
    }, { passive: false });
    view.addEventListener("keydown", (event) => this.key(event));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const index = this.slices.indices[PLANES[this.plane].axis];
    const last = (this.slices.state?.shape[PLANES[this.plane].axis] ?? 1) - 1;
    const goes = { ArrowUp: index + 1, ArrowDown: index - 1, PageUp: index + 10, PageDown: index - 10, Home: 0, End: last };
    const middle = [this.view.clientWidth / 2, this.view.clientHeight / 2];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in goes) this.go(goes[/** @type {keyof typeof goes} */ (event.key)]);
    else if (event.key === "+" || event.key === "=") this.zoomAt(1.25, middle[0], middle[1]);
    else if (event.key === "-") this.zoomAt(0.8, middle[0], middle[1]);
    else if (event.key === "0") this.zoomAt(0, middle[0], middle[1]);
    else if (event.key === "Enter") this.point(toPixel(this.plane, this.slices.state?.shape ?? [1, 1, 1], this.slices.indices));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * @param {PointerEvent} event
   * @param {number} dx
   * @param {number} dy
   */
  drag(event, dx, dy) {
    const tool = event.buttons & 2 || event.shiftKey ? "window" : event.buttons & 4 || event.altKey ? "pan" : this.tool;
    if (tool === "crosshair") {
      this.slices.look(this.voxel(this.pixel(event)));
    } else if (tool === "window") {
      const { level, width } = this.slices.window;
      this.slices.setWindow({ level: level + WINDOW_PER_PX * dy, width: width + WINDOW_PER_PX * dx });
    } else {
      this.pan = [this.pan[0] + dx, this.pan[1] + dy];
      this.draw();
    }
  }

  /**
   * Two fingers zoom and pan.
   * @param {PointerEvent[]} both
   * @param {PointerEvent} last of the one that moved
   * @param {PointerEvent} event
   */
  pinch(both, last, event) {
    const other = both.find((one) => one.pointerId !== event.pointerId);
    if (!other) return;
    /** @param {PointerEvent} one */
    const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const box = this.view.getBoundingClientRect();
    this.pan = [this.pan[0] + (event.clientX - last.clientX) / 2, this.pan[1] + (event.clientY - last.clientY) / 2];
    this.zoomAt(distance(event) / Math.max(distance(last), 1), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  }

  /**
   * Show the others which point of the world this is.
   * @param {[number, number]} pixel
   */
  point(pixel) {
    this.slices.app.store.emit("cursor", { point: this.slices.worldOf(this.voxel(pixel)) });
  }

  /** @param {[number, number]} pixel */
  tell(pixel) {
    const value = this.slices.valueAt(this.plane, pixel);
    const { state } = this.slices;
    if (!value || !state) this.say("");
    else this.say(`${value.hu} HU · ${inWords(mapped(state.voxel_to_world, this.voxel(pixel)))}${value.name && ` · ${value.name}`}`);
  }
}
