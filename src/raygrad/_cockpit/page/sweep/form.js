import { ask, button, element, input, labelled, panel, stateOf } from "./elements.js";

/** @typedef {import("./types.js").App} App */
/** @typedef {import("./types.js").Method} Method */

const RENDERERS = ["joseph", "siddon", "trilinear"];
const FIRST = "os_sart";

/**
 * The method, its options, the grid, and the buttons that begin and end it.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountForm(host, app) {
  const form = new Form(panel(host, "Reconstruct"), app);
  app.store.on("state", () => form.refresh());
  app.store.on("job", () => form.progress());
}

class Form {
  /**
   * @param {HTMLElement} body
   * @param {App} app
   */
  constructor(body, app) {
    this.app = app;
    this.laid = "";
    /** @type {Method[]} */
    this.methods = [];
    this.method = labelled(body, "Method", element("select"));
    this.about = element("p", "about");
    body.append(this.about);
    this.iterations = labelled(body, "Iterations", input("number", { min: "1", step: "1" }));
    const more = element("div");
    this.options = element("div");
    this.renderer = labelled(more, "Renderer", choices(RENDERERS));
    more.append(this.options);
    body.append(element("details", "", [element("summary", "", ["Options"]), more]));
    const grid = element("fieldset", "", [element("legend", "", ["Grid"])]);
    this.spacing = labelled(grid, "Voxel, mm", input("text"), "One number, or three with commas");
    this.shape = labelled(grid, "Voxels", input("text"), "One number, or three with commas; empty: the box that all views see");
    this.centre = labelled(grid, "Centre, mm", input("text"), "Three numbers with commas; empty: that of the box");
    const set = button("Set", () => this.lay());
    const back = button("As at first", () => ask(app, "sweep_grid"));
    this.gridSaid = element("p", "about");
    grid.append(element("div", "buttons", [set, back]), this.gridSaid);
    body.append(grid);
    this.start = button("Reconstruct", () => this.reconstruct());
    this.start.className = "primary";
    this.cancel = button("Cancel", () => ask(app, "sweep_cancel"));
    this.bar = element("progress");
    this.bar.setAttribute("aria-label", "Progress of the reconstruction");
    this.said = element("p", "about");
    body.append(element("div", "buttons", [this.start, this.cancel]), this.bar, this.said);
    this.method.addEventListener("change", () => this.show());
  }

  refresh() {
    const state = stateOf(this.app);
    if (!state) return;
    if (this.methods.length === 0) {
      this.methods = state.sweep.methods;
      this.method.append(...this.methods.map(({ name }) => new Option(name, name)));
      this.method.value = FIRST;
      this.show();
    }
    const { shape, spacing, centre, is } = state.sweep.grid;
    const laid = JSON.stringify([shape, spacing, centre]);
    if (laid !== this.laid) {
      this.laid = laid;
      this.shape.value = shape.join(", ");
      this.spacing.value = spacing.map(short).join(", ");
      this.centre.value = centre.map(short).join(", ");
      this.needs();
    }
    this.grid = `${shape.join(" × ")} voxels of ${spacing.map(short).join(" × ")} mm${is ? `: ${is}` : ""}`;
    this.gridSaid.textContent = this.grid + (this.memory ? `. ${this.memory}` : "");
    this.progress();
  }

  /** What it will take. */
  async needs() {
    const said = await ask(this.app, "sweep_needs", { method: this.method.value, renderer: this.renderer.value });
    this.memory = said ? `Takes ${said}.` : "";
    this.gridSaid.textContent = `${this.grid}. ${this.memory}`;
  }

  /** The options of the chosen method. */
  show() {
    const method = this.methods.find(({ name }) => name === this.method.value);
    if (!method) return;
    this.about.textContent = method.about;
    const direct = method.iterations === null;
    this.iterations.disabled = direct;
    this.iterations.value = direct ? "" : String(method.iterations);
    this.renderer.disabled = direct;
    this.options.replaceChildren();
    for (const option of method.options) {
      const kind = option.kind === "bool" ? "checkbox" : option.kind === "str" ? "text" : "number";
      const made = input(kind, kind === "number" ? { step: option.kind === "int" ? "1" : "any" } : {});
      if (kind === "checkbox") made.checked = Boolean(option.default);
      else made.value = option.default === null ? "" : String(option.default);
      if (option.default === null && kind !== "checkbox") made.placeholder = "the method's own";
      made.dataset.option = option.name;
      made.dataset.kind = option.kind;
      labelled(this.options, option.name.replace(/^n_/, "").replaceAll("_", " "), made, option.about);
    }
    this.needs();
  }

  /** Options by name, as they were typed. */
  typed() {
    /** @type {Record<string, any>} */
    const options = {};
    for (const made of this.options.querySelectorAll("input")) {
      const { option, kind } = made.dataset;
      if (!option) continue;
      if (kind === "bool") options[option] = made.checked;
      else if (made.value.trim() !== "") options[option] = kind === "str" ? made.value.trim() : Number(made.value);
    }
    return options;
  }

  async reconstruct() {
    const iterations = this.iterations.disabled || this.iterations.value === "" ? null : Number(this.iterations.value);
    this.said.textContent = "";
    await ask(this.app, "sweep_start", {
      method: this.method.value,
      options: this.typed(),
      iterations,
      renderer: this.renderer.value,
    });
  }

  lay() {
    const state = stateOf(this.app);
    if (!state) return;
    /** @type {Record<string, any>} */
    const asked = {};
    for (const name of /** @type {const} */ (["shape", "spacing", "centre"])) {
      const typed = this[name].value.split(/[ ,;×x]+/).filter(Boolean).map(Number);
      if (typed.length === 0) continue;
      asked[name] = typed.length === 1 && name !== "centre" ? [typed[0], typed[0], typed[0]] : typed;
    }
    // With voxels of another size alone, there are as many as the box takes that all views see.
    const { shape, spacing } = state.sweep.grid;
    const kept = String(asked.shape) === String(shape) && asked.spacing && String(asked.spacing) !== String(spacing.map(Number));
    if (kept) delete asked.shape;
    ask(this.app, "sweep_grid", asked);
  }

  progress() {
    const state = stateOf(this.app);
    if (!state) return;
    const { job } = state;
    this.start.disabled = job !== null;
    this.cancel.disabled = job === null;
    this.bar.hidden = job === null;
    if (job === null) {
      this.said.textContent = "";
      return;
    }
    if (job.share) this.bar.value = job.share;
    else this.bar.removeAttribute("value");
    this.said.textContent = `${job.text ?? job.name} (${job.seconds.toFixed(1)} s)`;
  }
}

/** @param {string[]} names */
function choices(names) {
  const made = element("select");
  made.append(...names.map((name) => new Option(name, name)));
  return made;
}

/** @param {number} number */
function short(number) {
  return String(Number(number.toPrecision(6)));
}
