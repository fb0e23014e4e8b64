/** The page in a frame of a notebook, once the kernel has let this notebook hold it. */

const LOCAL = ["127.0.0.1", "localhost"];

/**
 * @param {{model: any, el: HTMLElement}} given
 */
function render({ model, el }) {
  const note = document.createElement("p");
  note.setAttribute("role", "status");
  el.append(note);
  if (!LOCAL.includes(location.hostname)) {
    note.textContent = `The cockpit is served to the kernel's own machine only, and this notebook is on ${location.host}.`;
    return undefined;
  }
  note.textContent = "Waiting for the kernel …";
  const frame = document.createElement("iframe");
  frame.title = "raygrad cockpit";
  frame.style.cssText = "width: 100%; border: 0;";
  const sized = () => {
    frame.style.height = `${model.get("height")}px`;
  };
  const shown = () => {
    if (model.get("allowed") !== location.origin || frame.isConnected) return;
    frame.src = model.get("url");
    note.remove();
    el.append(frame);
  };
  sized();
  model.on("change:height", sized);
  model.on("change:allowed", shown);
  model.set("origin", location.origin);
  model.save_changes();
  shown();
  return () => {
    model.off("change:height", sized);
    model.off("change:allowed", shown);
  };
}

export default { render };
