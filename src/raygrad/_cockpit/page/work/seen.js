import { offer, write } from "./save.js";

/** @typedef {import("../app.js").App} App */

/**
 * The panes of X-rays as they are seen, with everything drawn over them.
 * @returns {HTMLCanvasElement | null}
 */
function drawn() {
  const panes = [...document.querySelectorAll("#xrays .pane")];
  const boxes = panes.map((pane) => pane.getBoundingClientRect());
  if (!boxes.length) return null;
  const left = Math.min(...boxes.map((box) => box.left));
  const top = Math.min(...boxes.map((box) => box.top));
  const ratio = window.devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(ratio * (Math.max(...boxes.map((box) => box.right)) - left));
  canvas.height = Math.round(ratio * (Math.max(...boxes.map((box) => box.bottom)) - top));
  const context = canvas.getContext("2d");
  if (!context) return null;
  context.scale(ratio, ratio);
  panes.forEach((pane, number) => {
    const box = boxes[number];
    context.fillStyle = "#000";
    context.fillRect(box.left - left, box.top - top, box.width, box.height);
    for (const layer of pane.querySelectorAll("canvas")) {
      const place = layer.getBoundingClientRect();
      if (layer.width && layer.height && place.width) context.drawImage(layer, place.left - left, place.top - top, place.width, place.height);
    }
  });
  return canvas;
}

/**
 * Save a picture of the panes as they are seen.
 * @param {App} app
 * @param {string} name
 * @param {boolean} download
 */
export async function savePanes(app, name, download) {
  const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ done) => {
    const canvas = drawn();
    if (canvas) canvas.toBlob(done, "image/png");
    else done(null);
  });
  if (!blob) return;
  if (download) {
    offer(blob, `${name}.png`);
    return;
  }
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  await write(app, "keep_picture", { name, png: btoa(text) });
}
