import { button, element, fill } from "../shell/dom.js";
import { keep, kept } from "../shell/keep.js";
import { register } from "../shell/keys.js";
import { showPlace } from "../shell/layout.js";
import { tell } from "../shell/messages.js";
import { revealPanel } from "../shell/panels.js";
import { describe } from "../shell/tooltip.js";
import { beside } from "./beside.js";
import { STEPS } from "./steps.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../types.js").State} State */

const CONTROLS = "button, input, select, [tabindex]";

/**
 * The tour: a card beside the control that it is about. The page stays as usable as ever, so nothing is modal; F2 goes
 * from the card to the control and back.
 * @param {HTMLElement} host where its button is
 * @param {App} app
 */
export function mountTour(host, { store }) {
  /** The steps whose controls are there. @type {import("./steps.js").Step[]} */
  let steps = [];
  let number = 0;
  /** As it was when the step began. @type {State | null} */
  let before = null;
  let done = false;
  /** @type {HTMLElement | null} */
  let target = null;
  let unoffer = () => {};

  const count = element("span", { class: "count" });
  const title = element("h2", { id: "tour-title", tabindex: -1 });
  const text = element("div", { class: "text", id: "tour-text" });
  const said = element("p", { class: "said", role: "status" });
  const back = button("Back", () => go(number - 1));
  const show = button("Go to it", () => focusTarget());
  const on = button("Next", () => (number + 1 < steps.length ? go(number + 1) : finish()), { class: "primary", id: "tour-next" });
  const leave = button("Leave", () => close(), { class: "quiet" });
  describe(show, "Moves the focus there; F2 brings it back");
  const card = element(
    "section",
    { class: "tour", role: "dialog", "aria-labelledby": title.id, "aria-describedby": text.id, hidden: true },
    element("div", { class: "head" }, count, leave),
    title,
    text,
    said,
    element("div", { class: "foot" }, back, show, on),
  );
  document.body.append(card);

  const start = button("Tour", () => (card.hidden ? open() : title.focus()), { id: "tour" });
  describe(start, "Two minutes: drag, snap, register, look, save");
  host.prepend(start);
  register({ keys: "F2", what: "From the tour to what it is about, and back", where: "Tour", act: hop });
  register({ keys: "Escape", what: "Leave the tour", where: "Tour", within: card, act: () => close() });

  function open() {
    unoffer();
    steps = STEPS.filter(({ at }) => document.querySelector(at));
    card.hidden = false;
    go(Math.min(kept("tour step", 0), steps.length - 1));
  }

  /** @param {number} wanted */
  function go(wanted) {
    number = Math.max(0, wanted);
    keep("tour step", number);
    const step = steps[number];
    before = store.state && { ...store.state };
    done = !step.done;
    if (step.place) showPlace(step.place);
    if (step.panel) revealPanel(step.panel);
    point(/** @type {HTMLElement | null} */ (document.querySelector(step.at)));
    count.textContent = `Tour, ${number + 1} of ${steps.length}`;
    title.textContent = step.title;
    fill(text, element("p", {}, step.text), step.keys ? element("p", { class: "note" }, step.keys) : null);
    said.textContent = "";
    back.disabled = number === 0;
    showDone();
    title.focus({ preventScroll: true });
  }

  function showDone() {
    const last = number + 1 === steps.length;
    on.textContent = last ? "Finish" : done ? "Next" : "Skip";
    on.classList.toggle("primary", done);
    show.classList.toggle("primary", !done);
  }

  /** Something happened: perhaps what the step waits for. */
  function look() {
    const step = steps[number];
    if (card.hidden || done || !step?.done || !store.state || !before || !step.done(store.state, before)) return;
    done = true;
    said.textContent = "Done.";
    showDone();
  }

  /** @param {HTMLElement | null} control */
  function point(control) {
    target?.classList.remove("toured");
    target = control;
    target?.classList.add("toured");
    target?.scrollIntoView({ block: "nearest", inline: "nearest" });
    place();
  }

  function place() {
    if (!card.hidden) beside(card, target);
  }

  function focusTarget() {
    if (!target) return;
    const within = target.querySelector(".body") ?? target; // past the heading, which only folds
    const control = target.matches(CONTROLS) ? target : (within.querySelector("button") ?? within.querySelector(CONTROLS));
    /** @type {HTMLElement | null} */ (control)?.focus();
  }

  function hop() {
    if (card.hidden) return;
    if (card.contains(document.activeElement)) focusTarget();
    else title.focus();
  }

  function finish() {
    keep("tour step", 0);
    close();
  }

  function close() {
    point(null);
    card.hidden = true;
    start.focus();
  }

  for (const event of ["state", "placement", "job"]) store.on(event, look);
  window.addEventListener("resize", place);
  const sizes = new ResizeObserver(place);
  for (const one of [card, document.getElementById("cockpit")]) if (one) sizes.observe(one);
  const offered = store.on("state", (state) => {
    offered();
    if (state.ct.name !== "example" || kept("tour offered", false)) return;
    keep("tour offered", true);
    unoffer = tell("New here? A tour of two minutes shows how it works.", { kind: "good", id: "tour", actions: [{ text: "Start the tour", act: open }] });
  });
}
