import { TOOLS } from "./toolbox.js";

/** @typedef {import("./pane.js").Pane} Pane */

const WHEEL = 1 / 2500; // of the depth, for a CSS pixel of a wheel

/** The pointers in one pane: what they move, by the tool in hand, keys and buttons. */
export class Hand {
  /** @param {Pane} pane */
  constructor(pane) {
    this.pane = pane;
    /** @type {Map<number, {x: number, y: number}>} of each pointer, CSS pixels in the pane */
    this.pointers = new Map();
    this.tool = "";
    /** @type {[number, number]} */
    this.start = [0, 0];
    /** @type {{view: number, how: string, start: [number, number], end: [number, number]} | null} */
    this.waiting = null;
    this.last = { x: 0, y: 0 };
    this.wheelEnds = 0;
    const { frame } = pane;
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => this.up(/** @type {PointerEvent} */ (event)));
    frame.addEventListener("pointerleave", () => pane.read(null));
    frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    frame.addEventListener("contextmenu", (event) => event.preventDefault());
    pane.app.store.on("connection", (there) => {
      if (there) return;
      this.waiting = null; // for the server, who comes back is somebody else, who holds nothing
      this.tool = "";
      this.pointers.clear();
    });
    frame.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.tool) this.put_back(event);
    });
  }

  /** @param {PointerEvent | WheelEvent} event */
  at(event) {
    const box = this.pane.frame.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** @param {PointerEvent} event */
  down(event) {
    const { pane } = this;
    pane.frame.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
    if (this.pointers.size > 1) {
      this.drop(); // two fingers zoom and pan
      return;
    }
    const by_button = event.button === 1 ? "pan" : event.button === 2 ? "window" : "";
    const by_key = event.shiftKey ? "turn" : event.altKey ? "roll" : "";
    const chosen = pane.toolbox.tool;
    this.tool = by_button || (TOOLS[chosen].how ? by_key || chosen : chosen);
    this.last = this.at(event);
    this.start = pane.pixelAt(this.last);
    if (this.moves) pane.app.connection.send("grab", { pointer: pane.view });
    if (this.tool === "point") pane.point(this.start);
    if (this.tool === "hide") pane.mask.begin(this.start, event.shiftKey);
  }

  /** Whether the tool in hand moves the anatomy. */
  get moves() {
    return Boolean(TOOLS[this.tool]?.how) || this.tool === "depth";
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { pane } = this;
    const here = this.at(event);
    pane.read(here);
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.pointers.size > 1) this.pinch(event.pointerId, here);
    this.pointers.set(event.pointerId, here);
    if (!this.tool) return;
    const [right, down] = [here.x - this.last.x, here.y - this.last.y];
    const how = TOOLS[this.tool].how;
    if (how) this.later({ view: pane.view, how, start: this.start, end: pane.pixelAt(here) });
    else if (this.tool === "depth") pane.app.connection.send("deepen", { view: pane.view, factor: Math.exp(down / 800) });
    else if (this.tool === "window") pane.windowBy(right / pane.frame.clientWidth, down / pane.frame.clientHeight);
    else if (this.tool === "pan") pane.look((sight) => sight.pan(right, down));
    else if (this.tool === "point") pane.point(pane.pixelAt(here));
    else if (this.tool === "hide") pane.mask.stroke(pane.pixelAt(here));
    this.last = here;
  }

  /** @param {PointerEvent} event */
  up(event) {
    this.pointers.delete(event.pointerId);
    this.drop();
  }

  drop() {
    this.flush();
    if (this.moves) this.pane.app.connection.send("drop", { what: TOOLS[this.tool].name, pointer: this.pane.view });
    if (this.tool === "hide") this.pane.mask.end();
    this.tool = "";
  }

  /**
   * The drag is undone, and the pointer holds nothing any more.
   * @param {KeyboardEvent} event
   */
  put_back(event) {
    event.preventDefault();
    event.stopPropagation();
    if (!this.moves) {
      this.drop();
      return;
    }
    this.waiting = null;
    this.pane.app.connection.send("put_back", { pointer: this.pane.view });
    this.tool = "";
  }

  /**
   * One request for each image that the screen shows: of the newest place.
   * @param {NonNullable<Hand["waiting"]>} drag
   */
  later(drag) {
    if (!this.waiting) requestAnimationFrame(() => this.flush());
    this.waiting = drag;
  }

  flush() {
    if (this.waiting) this.pane.app.connection.send("drag", { ...this.waiting, pointer: this.pane.view });
    this.waiting = null;
  }

  /**
   * Two fingers: the picture goes with both.
   * @param {number} moved
   * @param {{x: number, y: number}} to
   */
  pinch(moved, to) {
    const from = /** @type {{x: number, y: number}} */ (this.pointers.get(moved));
    const other = [...this.pointers].find(([number]) => number !== moved)?.[1];
    if (!other) return;
    const { clientWidth, clientHeight } = this.pane.frame;
    const span = (/** @type {{x: number, y: number}} */ one) => Math.max(Math.hypot(one.x - other.x, one.y - other.y), 1);
    this.pane.look((sight) => {
      sight.pan((to.x - from.x) / 2, (to.y - from.y) / 2);
      sight.magnify(span(to) / span(from), (to.x + other.x - clientWidth) / 2, (to.y + other.y - clientHeight) / 2);
    });
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    event.preventDefault();
    const { pane } = this;
    const pixels = event.deltaY * (event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1);
    if (event.ctrlKey || event.metaKey || pane.toolbox.tool === "pan") {
      const { x, y } = this.at(event);
      pane.look((sight) => sight.magnify(Math.exp(-pixels / 300), x - pane.frame.clientWidth / 2, y - pane.frame.clientHeight / 2));
    } else pane.app.connection.send("deepen", { view: pane.view, factor: Math.exp(pixels * WHEEL) });
  }
}
