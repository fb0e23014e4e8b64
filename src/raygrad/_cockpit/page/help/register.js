import { button, element, fill, newId } from "../shell/dom.js";
import { register as registerKeys } from "../shell/keys.js";
import { tell } from "../shell/messages.js";
import { addPanel } from "../shell/panels.js";
import { describe } from "../shell/tooltip.js";
import { Sparkline } from "./sparkline.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../types.js").State} State */
/** @typedef {import("../types.js").FoundState} FoundState */

/** What may be unknown of the geometry, for people. */
const UNKNOWNS = [
  ["sdd", "Source to detector"],
  ["x0", "Centre, across"],
  ["y0", "Centre, along"],
  ["pixel_size", "Pixel size"],
  ["poses", "How views stand to each other"],
];

/** What an X-ray's numbers are of line integrals. */
const RESPONSES = [
  ["auto", "found out"],
  ["log", "line integrals"],
  ["transmission", "intensities"],
  ["curve", "a curve of them, as on a display"],
];

const RANGES = [
  ["range", "degrees and mm, about here"],
  ["view", "views from this side"],
  ["sphere", "from all sides"],
  ["header", "what the headers leave open"],
];

/**
 * Do something, and say what is in the way of it.
 * @param {App} app
 * @param {string} name
 * @param {Record<string, any>} [args]
 */
export function ask({ connection }, name, args = {}) {
  connection.call(name, args).catch((error) => tell(error.message, { id: `trouble ${name}` }));
}

/**
 * The bar's buttons of the machine's help.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountHelpTools(host, app) {
  const go = button("Register", () => ask(app, "register"), { id: "register", class: "primary" });
  const snap = button("Snap", () => ask(app, "snap"), { id: "snap" });
  describe(go, "Register all views from where everything is (Shift+R). A drag or Cancel ends it.");
  describe(snap, "A few steps from where everything is (S)");
  host.prepend(go, snap);
  const stop = app.store.on("frame", (frame) => {
    if (!frame.fine) return;
    stop(); // everything is seen: now there is time for what the first snap would wait for
    app.connection.send("prepare");
  });
  registerKeys(
    { keys: "Shift+R", what: "Register from here", act: () => ask(app, "register") },
    { keys: "S", what: "Snap: a few steps from here", act: () => ask(app, "snap") },
  );
}

/**
 * The panel of registration: how alike the images are, how it ended, what to do, and how to go about it.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountRegistration(host, app) {
  const { body } = addPanel(host, { id: "registration", title: "Registration" });
  const alike = element("div", { class: "alike" });
  const outcome = element("div", { class: "outcome", "aria-live": "polite" });
  body.append(alike, outcome, searchControls(app), optionControls(app));
  mountLikeness(alike, app);
  let shown = "";
  app.store.on("state", (state) => {
    const text = JSON.stringify(state.registering.found);
    if (text !== shown) fill(outcome, ...outcomes(state, app));
    shown = text;
  });
}

/**
 * A line a view: how alike its images are now, and how that went.
 * @param {HTMLElement} host
 * @param {App} app
 */
function mountLikeness(host, { store }) {
  /** @type {{line: Sparkline, number: HTMLElement}[]} */
  const rows = [];
  store.on("state", (state) => {
    for (let view = rows.length; view < state.views.length; view++) {
      const line = new Sparkline();
      const number = element("span", { class: "number" });
      rows.push({ line, number });
      host.append(element("div", { class: "likeness" }, element("span", {}, state.views[view].name), line.element, number));
      store.on(`frame:drr ${view}`, (frame) => {
        if (frame.fine || typeof frame.similarity !== "number") return;
        line.add(frame.similarity);
        number.textContent = frame.similarity.toFixed(3);
      });
    }
  });
}

/**
 * @param {State} state
 * @param {App} app
 */
function outcomes(state, app) {
  const { found } = state.registering;
  if (!found.length) {
    return [element("p", { class: "note" }, "Drag the anatomy near to where the X-rays show it, then Snap or Register.")];
  }
  let before = 0;
  return found.map((one) => {
    const first = before;
    before += one.others.length;
    return outcome(one, state, app, first);
  });
}

/**
 * @param {FoundState} one
 * @param {State} state
 * @param {App} app
 * @param {number} first number of its other poses
 */
function outcome(one, state, app, first) {
  const which = one.views.length < state.views.length ? `${one.views.map((view) => state.views[view].name).join(", ")}: ` : "";
  const where = one.fresh ? "" : " The anatomy has been moved since.";
  const heading = `${which}${one.status}`;
  const numbers = `${one.name}, similarity ${one.score ?? "none"}, ${one.seconds} s`;
  return element(
    "div",
    { class: one.fresh ? "found" : "found stale" },
    element("p", {}, element("strong", { class: one.kind }, heading[0].toUpperCase() + heading.slice(1)), ` ${one.text}${where}`),
    element("p", { class: "note" }, numbers),
    ...one.bodies.map(({ name, text }) => element("p", { class: "note" }, element("strong", {}, name), `: ${text}`)),
    ...one.lengths.map((line, number) => element("p", { class: "note" }, `Found of ${state.views[one.views[number]].name}: ${line}`)),
    ...one.warned.map((line) => element("p", { class: "warn" }, line)),
    one.advice ? element("p", { class: "note advice" }, one.advice) : null,
    ...one.others.map((other, number) =>
      element(
        "p",
        { class: "row" },
        button("Go there", () => ask(app, "take_rival", { number: first + number }), { "aria-label": `Go to ${other.name}` }),
        `${other.name}, similarity ${other.score}`,
      ),
    ),
  );
}

/** @param {App} app */
function searchControls(app) {
  const kind = choice(RANGES);
  const degrees = element("input", { type: "number", min: 1, max: 180, value: 20, "aria-label": "Degrees to each side", class: "short" });
  const mm = element("input", { type: "number", min: 1, max: 500, value: 50, "aria-label": "mm to each side", class: "short" });
  const range = element("span", { class: "row" }, degrees, "°", mm, "mm");
  kind.addEventListener("change", () => range.classList.toggle("hidden", kind.value !== "range"));
  kind.setAttribute("aria-label", "How far to search");
  let typed = "";
  app.store.on("state", ({ registering }) => {
    if (!registering.typed || registering.typed === typed) return;
    typed = registering.typed;
    kind.prepend(element("option", { value: "typed" }, `as typed: ${typed}`));
    kind.value = "typed";
    range.classList.add("hidden");
  });
  const go = button("Search", () => ask(app, "search", { ranges: kind.value, degrees: Number(degrees.value), mm: Number(mm.value) }), { id: "search" });
  describe(go, "Try many poses about where everything is, and register the best. It takes some seconds.");
  return element("div", { class: "row search" }, go, kind, range);
}

/** @param {App} app */
function optionControls(app) {
  const response = choice(RESPONSES);
  const boxes = UNKNOWNS.map(([name, words]) => ({ name, words, box: element("input", { type: "checkbox", value: name }) }));
  const id = newId("response");
  response.id = id;
  const send = () => ask(app, "register_by", { unknowns: boxes.filter(({ box }) => box.checked).map(({ name }) => name), response: response.value });
  for (const control of [response, ...boxes.map(({ box }) => box)]) control.addEventListener("change", send);
  app.store.on("state", (state) => {
    response.value = state.registering.response;
    for (const { name, box } of boxes) {
      box.checked = state.registering.unknowns.includes(name);
      if (name === "poses") box.disabled = state.views.length < 2;
    }
  });
  return element(
    "details",
    { class: "options" },
    element("summary", {}, "What is not known"),
    element("fieldset", {}, element("legend", {}, "Find these, too"), ...boxes.map(({ words, box }) => element("label", {}, box, words))),
    element("label", { class: "field", for: id }, "The X-rays show", response),
  );
}

/** @param {string[][]} options */
function choice(options) {
  return element("select", {}, ...options.map(([value, text]) => element("option", { value }, text)));
}
