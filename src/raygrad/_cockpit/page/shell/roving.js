/**
 * Arrow keys go from control to control in a toolbar or a list of tabs, which is one stop of the Tab key.
 *
 * @param {HTMLElement} host
 * @param {string} selector of its controls
 * @param {{choose?: boolean, vertical?: boolean}} [options] `choose`: a control that is come to is clicked, too
 */
export function rove(host, selector, { choose = false, vertical = false } = {}) {
  /** @returns {HTMLElement[]} */
  const controls = () =>
    /** @type {HTMLElement[]} */ ([...host.querySelectorAll(selector)]).filter((one) => one.offsetParent !== null);
  const [back, on] = vertical ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
  host.addEventListener("keydown", (event) => {
    const all = controls().filter((one) => !one.matches(":disabled"));
    const here = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (here < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    if (all[here].matches("input:not([type=checkbox], [type=radio], [type=button]), select, textarea")) return;
    const end = all.length - 1;
    /** @type {Record<string, number>} */
    const to = { [back]: here === 0 ? end : here - 1, [on]: here === end ? 0 : here + 1, Home: 0, End: end };
    if (!(event.key in to)) return;
    event.preventDefault();
    event.stopPropagation();
    const next = all[to[event.key]];
    next.focus();
    if (choose) next.click();
  });
  if (choose) return;
  const settle = () => {
    const all = controls();
    const stop = all.find((one) => one === document.activeElement) ?? all.find((one) => one.tabIndex === 0 && !one.matches(":disabled"));
    const first = stop ?? all.find((one) => !one.matches(":disabled"));
    for (const one of all) {
      const wanted = one === first ? 0 : -1;
      if (one.tabIndex !== wanted) one.tabIndex = wanted;
    }
  };
  host.addEventListener("focusin", settle);
  new MutationObserver(settle).observe(host, { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled", "hidden"] });
  settle();
}
