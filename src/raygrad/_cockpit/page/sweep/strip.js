import { ask, button, element, input, labelled, stateOf } from "./elements.js";

/** @typedef {import("./types.js").App} App */
/** @typedef {import("./types.js").Use} Use */

const GAP = 6;
const MORE = 4;
const PLAY_MS = 100;
const FOLLOW_MS = 1000;
const KEYS = "Arrow keys choose, H holds out, L leaves out, U uses, space plays.";

/**
 * All views, small, in a row of which only what is seen is in the page; the slider through them, and what each is for.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountStrip(host, app) {
  new Strip(host, app);
}

class Strip {
  /**
   * @param {HTMLElement} host
   * @param {App} app
   */
  constructor(host, app) {
    this.app = app;
    this.chosen = 0;
    this.playing = 0;
    this.touched = 0;
    /** @type {Map<number, HTMLElement>} */
    this.shown = new Map();
    this.list = element("div", "strip-list");
    this.list.tabIndex = 0;
    this.list.id = "strip-list";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-orientation", "horizontal");
    this.list.setAttribute("aria-label", `Views. ${KEYS}`);
    this.list.title = KEYS;
    this.rail = element("div", "strip-rail");
    this.rail.setAttribute("role", "presentation");
    this.list.append(this.rail);
    this.slider = input("range", { min: "0", max: "0", value: "0", "aria-label": "View" });
    this.play = button("Play", () => this.toggle());
    this.said = element("span", "strip-said");
    const bar = element("div", "strip-bar", [this.play, this.slider, this.said]);
    for (const [text, use] of /** @type {[string, Use][]} */ ([["Use", "used"], ["Hold out", "held out"], ["Leave out", "left out"]])) {
      const made = button(text, () => this.use(use));
      made.dataset.use = use;
      bar.append(made);
    }
    this.every = labelled(bar, "hold out every", input("number", { min: "0", step: "1", value: "0" }));
    this.every.addEventListener("change", () => ask(app, "sweep_hold_out", { every: Number(this.every.value) }));
    host.append(this.list, bar);
    this.bar = bar;
    this.listen();
  }

  listen() {
    const { store } = this.app;
    store.on("state", () => this.refresh());
    store.on("frame:thumbnails", () => this.refresh(true));
    store.on("frame:view", ({ view }) => this.follow(view));
    this.list.addEventListener("scroll", () => this.fill());
    new ResizeObserver(() => this.reveal()).observe(this.list);
    this.slider.addEventListener("input", () => this.choose(Number(this.slider.value)));
    this.list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest("[role=option]") : null;
      if (option instanceof HTMLElement) this.choose(Number(option.dataset.view));
    });
    this.list.addEventListener("keydown", (event) => this.key(event));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const page = Math.max(1, Math.floor(this.list.clientWidth / this.step()));
    const last = this.count() - 1;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.choose(this.chosen - 1),
      ArrowRight: () => this.choose(this.chosen + 1),
      PageUp: () => this.choose(this.chosen - page),
      PageDown: () => this.choose(this.chosen + page),
      Home: () => this.choose(0),
      End: () => this.choose(last),
      h: () => this.use("held out"),
      l: () => this.use("left out"),
      u: () => this.use("used"),
      " ": () => this.toggle(),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  count() {
    return stateOf(this.app)?.views.length ?? 0;
  }

  /** Pixels from one view to the next. */
  step() {
    const frame = this.app.store.frames.get("thumbnails");
    return (frame ? frame.shape[2] : 72) + GAP;
  }

  /** @param {number} view */
  choose(view) {
    const wanted = Math.max(0, Math.min(this.count() - 1, view));
    if (wanted !== this.chosen) this.app.connection.send("sweep_choose", { view: wanted });
    this.chosen = wanted;
    this.touched = performance.now();
    this.mark();
    this.reveal();
  }

  /**
   * Another page chose a view. (What is on its way of one's own choices is older than the hand.)
   * @param {number} view
   */
  follow(view) {
    if (view === this.chosen || performance.now() - this.touched < FOLLOW_MS) return;
    this.chosen = view;
    this.mark();
    this.reveal();
  }

  /** @param {Use} use */
  use(use) {
    ask(this.app, "sweep_use", { views: [this.chosen], use });
  }

  toggle() {
    window.clearInterval(this.playing);
    this.playing = this.playing ? 0 : window.setInterval(() => this.choose((this.chosen + 1) % this.count()), PLAY_MS);
    this.play.textContent = this.playing ? "Pause" : "Play";
  }

  /** @param {boolean} [anew] whether the pictures are others */
  refresh(anew = false) {
    const state = stateOf(this.app);
    if (!state) return;
    if (anew || this.shown.size === 0) this.chosen = state.sweep.chosen;
    if (anew) {
      for (const option of this.shown.values()) option.remove();
      this.shown.clear();
    }
    const frame = this.app.store.frames.get("thumbnails");
    this.slider.max = String(this.count() - 1);
    this.rail.style.width = `${this.count() * this.step()}px`;
    this.rail.style.height = `${(frame ? frame.shape[1] : 72) + 24}px`;
    this.fill();
    this.mark();
  }

  /** Put into the page what is to be seen, and take out what is not. */
  fill() {
    const step = this.step();
    const first = Math.max(0, Math.floor(this.list.scrollLeft / step) - MORE);
    const last = Math.min(this.count() - 1, Math.ceil((this.list.scrollLeft + this.list.clientWidth) / step) + MORE);
    for (const [view, option] of this.shown) {
      if ((view < first || view > last) && view !== this.chosen) {
        option.remove();
        this.shown.delete(view);
      }
    }
    for (let view = first; view <= last; view++) this.put(view);
    this.put(this.chosen);
  }

  /** @param {number} view */
  put(view) {
    const frame = this.app.store.frames.get("thumbnails");
    const state = stateOf(this.app);
    if (this.shown.has(view) || !frame || !state || view >= this.count()) return;
    const option = element("div", "strip-view", [thumbnail(frame, view), element("span", "strip-name", [this.name(view)])]);
    option.id = `view-${view}`;
    option.dataset.view = String(view);
    option.setAttribute("role", "option");
    option.setAttribute("aria-setsize", String(this.count()));
    option.setAttribute("aria-posinset", String(view + 1));
    option.style.left = `${view * this.step()}px`;
    this.rail.append(option);
    this.shown.set(view, option);
    this.dress(view, option);
  }

  /** @param {number} view */
  name(view) {
    const turned = stateOf(this.app)?.sweep.turned;
    return turned ? `${turned[view].toFixed(1)}°` : `${view + 1}`;
  }

  /**
   * @param {number} view
   * @param {HTMLElement} option
   */
  dress(view, option) {
    const state = stateOf(this.app);
    if (!state) return;
    const use = state.sweep.uses[view];
    option.dataset.use = use;
    option.setAttribute("aria-selected", String(view === this.chosen));
    option.setAttribute("aria-label", `View ${view + 1}, ${this.name(view)}, ${state.views[view].beam}, ${use}`);
  }

  mark() {
    const state = stateOf(this.app);
    if (!state || this.count() === 0) return;
    for (const [view, option] of this.shown) this.dress(view, option);
    this.app.store.emit("chosen", this.chosen);
    this.list.setAttribute("aria-activedescendant", `view-${this.chosen}`);
    this.slider.value = String(this.chosen);
    const { uses } = state.sweep;
    const { name, beam } = state.views[this.chosen];
    this.slider.setAttribute("aria-valuetext", `View ${this.chosen + 1} of ${this.count()}`);
    this.said.textContent = `${name} (${this.chosen + 1} of ${this.count()}): ${this.name(this.chosen)}, ${beam}, ${uses[this.chosen]}`;
    for (const made of this.bar.querySelectorAll("button")) {
      if (made.dataset.use) made.setAttribute("aria-pressed", String(made.dataset.use === uses[this.chosen]));
    }
  }

  reveal() {
    const left = this.chosen * this.step();
    const { scrollLeft, clientWidth } = this.list;
    if (left < scrollLeft) this.list.scrollLeft = left;
    else if (left + this.step() > scrollLeft + clientWidth) this.list.scrollLeft = left + this.step() - clientWidth;
    this.fill();
  }
}

/**
 * The small picture of a view.
 * @param {import("../types.js").Frame} frame
 * @param {number} view
 */
function thumbnail(frame, view) {
  const [, height, width] = frame.shape;
  const canvas = element("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const first = view * width * height;
  for (let i = 0; i < pixels.length; i++) pixels[i] = 0xff000000 | (frame.array[first + i] * 0x010101);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}
