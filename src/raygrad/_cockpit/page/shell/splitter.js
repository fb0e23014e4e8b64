import { keep, kept } from "./keep.js";

/**
 * A bar between two parts: it goes by the pointer, by arrow keys, and with Enter or a double click back to the first place.
 *
 * @typedef {Object} Split
 * @property {string} label
 * @property {boolean} [across] it lies, between what is above and below
 * @property {string} keptAs
 * @property {number} first
 * @property {number} from
 * @property {number} to
 * @property {number} step of an arrow key to the right, or down
 * @property {(value: number) => string} show lay the page out, and say it in words
 * @property {(event: PointerEvent) => number} at what the pointer means there
 */

/**
 * @param {HTMLElement} bar
 * @param {Split} split
 */
export function addSplitter(bar, split) {
  let value = kept(split.keptAs, split.first);
  const [less, more] = split.across ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
  bar.tabIndex = 0;
  bar.role = "separator";
  bar.ariaOrientation = split.across ? "horizontal" : "vertical";
  bar.ariaLabel = split.label;
  bar.ariaValueMin = String(split.from);
  bar.ariaValueMax = String(split.to);

  /** @param {number} wanted */
  function set(wanted) {
    value = Math.round(Math.min(split.to, Math.max(split.from, wanted)));
    bar.ariaValueText = split.show(value);
    bar.ariaValueNow = String(value);
    keep(split.keptAs, value);
  }
  set(value);
  bar.addEventListener("keydown", (event) => {
    /** @type {Record<string, number>} */
    const to = { [less]: value - split.step, [more]: value + split.step, Home: split.from, End: split.to, Enter: split.first };
    if (!(event.key in to)) return;
    event.preventDefault();
    set(to[event.key]);
  });
  bar.addEventListener("dblclick", () => set(split.first));
  bar.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    bar.focus();
    bar.setPointerCapture(event.pointerId);
    bar.classList.add("dragged");
  });
  bar.addEventListener("pointermove", (event) => {
    if (bar.hasPointerCapture(event.pointerId)) set(split.at(event));
  });
  bar.addEventListener("lostpointercapture", () => bar.classList.remove("dragged"));
}
