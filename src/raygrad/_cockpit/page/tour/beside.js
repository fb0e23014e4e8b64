const GAP = 10;

/**
 * Put a card beside what it is about, where it covers least of it.
 * @param {HTMLElement} card
 * @param {HTMLElement | null} target in the middle without one
 */
export function beside(card, target) {
  const { innerWidth: width, innerHeight: height } = window;
  const [w, h] = [card.offsetWidth, card.offsetHeight];
  const box = target?.getBoundingClientRect() ?? new DOMRect(width / 2, height / 2, 0, 0);
  /** @type {[number, number][]} */
  const places = [
    [box.right + GAP, box.top],
    [box.left - w - GAP, box.top],
    [box.left, box.bottom + GAP],
    [box.left, box.top - h - GAP],
  ];
  const inside = places.find(([x, y]) => x >= 0 && x + w <= width && y >= 0 && y + h <= height);
  const [x, y] = inside ?? best(places, box, w, h, width, height);
  card.style.left = `${Math.round(Math.max(4, Math.min(x, width - w - 4)))}px`;
  card.style.top = `${Math.round(Math.max(4, Math.min(y, height - h - 4)))}px`;
}

/**
 * Of places that do not fit, pushed into the window, the one that covers least.
 * @param {[number, number][]} places
 * @param {DOMRect} box
 * @param {number} w
 * @param {number} h
 * @param {number} width
 * @param {number} height
 */
function best(places, box, w, h, width, height) {
  /** @param {[number, number]} place */
  const covered = ([left, top]) => {
    const x = Math.max(4, Math.min(left, width - w - 4));
    const y = Math.max(4, Math.min(top, height - h - 4));
    const across = Math.min(x + w, box.right) - Math.max(x, box.left);
    const down = Math.min(y + h, box.bottom) - Math.max(y, box.top);
    return Math.max(0, across) * Math.max(0, down);
  };
  return [...places].sort((a, b) => covered(a) - covered(b))[0];
}
