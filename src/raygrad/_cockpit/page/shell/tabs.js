import { element } from "./dom.js";
import { keep, kept } from "./keep.js";
import { rove } from "./roving.js";

/** Tabs at the side. A tab is there once a panel is in it. */

/**
 * The page of a tab that panels are put into.
 * @param {HTMLElement} side
 * @param {{id: string, title: string}} tab
 * @param {string[]} order of tabs, by their ids
 * @returns {HTMLElement}
 */
export function tabHost(side, { id, title }, order) {
  const there = document.getElementById(id);
  if (there) return there;
  const list = side.querySelector(":scope > [role=tablist]") ?? addList(side);
  const tab = element("button", { type: "button", role: "tab", id: `${id}-name`, "aria-controls": id }, title);
  const page = element("div", { role: "tabpanel", id, class: "page", "aria-labelledby": tab.id });
  tab.addEventListener("click", () => {
    choose(side, id);
    keep("tab", id);
  });
  const after = [...list.children].find((other) => order.indexOf(other.getAttribute("aria-controls") ?? "") > order.indexOf(id));
  list.insertBefore(tab, after ?? null);
  side.append(page);
  choose(side, kept("tab", ""));
  return page;
}

/**
 * Show the tab that this is in, if it is in one.
 * @param {Element} within
 */
export function showTab(within) {
  const page = within.closest("[role=tabpanel]");
  const side = page?.parentElement;
  if (page && side) choose(side, page.id);
}

/** @param {HTMLElement} side */
function addList(side) {
  const list = element("div", { role: "tablist", class: "tabs", "aria-label": "Panels" });
  side.prepend(list);
  rove(list, "[role=tab]", { choose: true });
  return list;
}

/**
 * @param {HTMLElement} side
 * @param {string} id the first tab where there is none such
 */
function choose(side, id) {
  const tabs = /** @type {HTMLElement[]} */ ([...side.querySelectorAll(":scope > [role=tablist] > [role=tab]")]);
  const chosen = tabs.find((tab) => tab.getAttribute("aria-controls") === id) ?? tabs[0];
  for (const tab of tabs) {
    const here = tab === chosen;
    tab.setAttribute("aria-selected", String(here));
    tab.tabIndex = here ? 0 : -1;
    const page = document.getElementById(tab.getAttribute("aria-controls") ?? "");
    if (page) page.hidden = !here;
  }
}
