import { element } from "./dom.js";
import { keep, kept } from "./keep.js";
import { rove } from "./roving.js";
import { addSplitter } from "./splitter.js";

/** The columns: how wide they are, how X-rays share theirs, and which of them is shown on small screens. */

const PLACES = { xrays: "X-rays", space: "Scene and slices", side: "Panels" };
/** What a pane has above and below its picture, in CSS pixels: as good as known. */
const AROUND = 92;

export function mountLayout() {
  const cockpit = place("cockpit");
  addSplitter(place("split-xrays"), {
    label: "Width of the X-rays",
    keptAs: "xrays share",
    first: 52,
    from: 25,
    to: 75,
    step: 3,
    show(share) {
      cockpit.style.setProperty("--xrays", `${share}fr`);
      cockpit.style.setProperty("--space", `${100 - share}fr`);
      return `${share} % of the width beside the panels`;
    },
    at: ({ clientX }) => share(clientX, place("xrays").getBoundingClientRect().left, place("space").getBoundingClientRect().right),
  });
  addSplitter(place("split-side"), {
    label: "Width of the panels",
    keptAs: "side width",
    first: 336,
    from: 240,
    to: 640,
    step: -16,
    show(width) {
      cockpit.style.setProperty("--side", `${width}px`);
      return `${width} pixels`;
    },
    at: ({ clientX }) => place("side").getBoundingClientRect().right - clientX,
  });
  new ResizeObserver(arrange).observe(place("xrays"));
  new MutationObserver(arrange).observe(place("xrays"), { childList: true });
  new MutationObserver(splitMiddle).observe(place("space"), { childList: true });
  mountPlaces();
}

/** Between the scene and the slices, once there are both. */
function splitMiddle() {
  const scene = document.getElementById("panel-scene");
  const slices = document.getElementById("panel-slices");
  if (!scene || !slices || document.getElementById("split-space")) return;
  const bar = element("div", { class: "splitter across", id: "split-space" });
  scene.after(bar);
  addSplitter(bar, {
    label: "Height of the scene",
    across: true,
    keptAs: "scene share",
    first: 50,
    from: 20,
    to: 80,
    step: 3,
    show(percent) {
      scene.style.setProperty("--grow", String(percent));
      slices.style.setProperty("--grow", String(100 - percent));
      return `${percent} % of the height`;
    },
    at: ({ clientY }) => share(clientY, scene.getBoundingClientRect().top, slices.getBoundingClientRect().bottom),
  });
}

/**
 * @param {number} at
 * @param {number} from
 * @param {number} to
 */
function share(at, from, to) {
  return (100 * (at - from)) / (to - from);
}

/**
 * Show this part where there is no room for all.
 * @param {string} id xrays, space or side
 */
export function showPlace(id) {
  place("cockpit").dataset.place = id;
  const shown = id === "xrays" && besideXrays.matches ? "space" : id;
  for (const one of place("places").children) {
    one.setAttribute("aria-current", String(/** @type {HTMLElement} */ (one).dataset.place === shown));
  }
  keep("place", id);
}

/** There is room for one part more than the X-rays: see layout.css. */
const besideXrays = matchMedia("(min-width: 761px)");

function mountPlaces() {
  const nav = place("places");
  for (const [id, title] of Object.entries(PLACES)) {
    nav.append(element("button", { type: "button", "data-place": id, "aria-controls": id, onclick: () => showPlace(id) }, title));
  }
  rove(nav, "button");
  showPlace(kept("place", "xrays"));
  besideXrays.addEventListener("change", () => showPlace(kept("place", "xrays")));
}

/** As many columns of X-rays as make their pictures largest, which are about as wide as high. */
function arrange() {
  const host = place("xrays");
  const shown = [...host.children].filter((one) => !one.hasAttribute("hidden"));
  const count = shown.filter((one) => one.classList.contains("panel")).length;
  const tools = shown.find((one) => one.classList.contains("toolbox"))?.clientHeight ?? 0;
  const [width, height] = [host.clientWidth, host.clientHeight - tools];
  let best = 1;
  let largest = 0;
  for (let columns = 1; columns <= count; columns++) {
    const size = Math.min(width / columns, height / Math.ceil(count / columns) - AROUND);
    if (size > 1.08 * largest) [best, largest] = [columns, size]; // else the wider panes, which have room for their tools
  }
  host.style.setProperty("--columns", String(best));
}

/** @param {string} id */
function place(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}
