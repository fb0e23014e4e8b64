/** The steps of the tour. What a step points at may not be there (an X-ray that needs no landscape): it is left out then. */

/** @typedef {import("../types.js").State} State */

/**
 * @typedef {Object} Step
 * @property {string} title
 * @property {string} text what it is for, and what to do
 * @property {string} [keys] how the same is done with the keyboard
 * @property {string} at a selector of the control: the first that there is
 * @property {"xrays" | "space" | "side"} [place] what has to be shown on a small screen
 * @property {string} [panel] of the side that has to be shown
 * @property {(now: State, before: State) => boolean} [done] whether the person did it, since the step began; without,
 *   there is nothing to do but to look
 */

/** @type {Step[]} */
export const STEPS = [
  {
    title: "Two X-rays and a CT",
    text: "Each pane shows an X-ray, and over it the DRR: the same view, computed from the CT. The CT lies a little wrong, so the two do not match yet.",
    at: "#xrays .pane",
    place: "xrays",
  },
  {
    title: "Drag the anatomy",
    text: "Press on the picture and drag. What is under the pointer stays under it, and the other view follows. Bring the ribs and the spine together, roughly.",
    keys: "With the keyboard: go to the pane, and press the arrow keys.",
    at: "#xrays .pane",
    place: "xrays",
    done: (now, before) => moved(now, before),
  },
  {
    title: "Snap",
    text: "A few steps downhill from where you are, at once. Snap helps while you drag: you come near, it does the rest.",
    at: "#snap",
    done: (now, before) => moved(now, before) && now.job === null,
  },
  {
    title: "Undo",
    text: "Every drag and every result is a step that can be taken back, and done again. Nothing is lost by trying.",
    keys: "With the keyboard: Ctrl + Z.",
    at: "#undo",
    done: (now) => now.history.redo !== null,
  },
  {
    title: "Register",
    text: "The full registration of all views, from where the CT is now. It takes seconds; the bar shows how far it is, and Cancel or a drag ends it.",
    at: "#register",
    done: (now, before) => now.job === null && now.history.undo !== before.history.undo && moved(now, before),
  },
  {
    title: "How sure it is",
    text: "The ellipse shows how far the CT could move and still match. A long one points along the direction that these views say little about: mostly the depth. The words beside it say what to do.",
    at: "#panel-certainty",
    place: "side",
    panel: "certainty",
  },
  {
    title: "Landscape",
    text: "How alike the images are, around here, along two directions. One clear peak is good; a long ridge or several peaks are a warning. Press Compute.",
    at: "#panel-landscape",
    place: "side",
    panel: "landscape",
    done: (now, before) => differs(now, before, "landscape"),
  },
  {
    title: "Keep a snapshot",
    text: "A snapshot remembers this placement, with its images. Compare two of them side by side, and come back to either. Take one.",
    at: "#panel-snapshots",
    place: "side",
    panel: "snapshots",
    done: (now, before) => differs(now, before, "snapshots"),
  },
  {
    title: "Save",
    text: "The session is a small file that opens here again, and that raygrad register takes with --init. Export writes what other programs read.",
    at: "#panel-files",
    place: "side",
    panel: "files",
  },
  {
    title: "Your own X-rays",
    text: "That was all of it. Press ? for keys and pointer. For your own: raygrad cockpit ct.nii.gz xray.dcm in a terminal. This tour stays behind its button.",
    at: "#keys",
  },
];

/**
 * @param {State} now
 * @param {State} before
 */
function moved(now, before) {
  return differs(now, before, "placement");
}

/**
 * @param {any} now
 * @param {any} before
 * @param {string} part of the state
 */
function differs(now, before, part) {
  return JSON.stringify(now[part]) !== JSON.stringify(before[part]);
}
