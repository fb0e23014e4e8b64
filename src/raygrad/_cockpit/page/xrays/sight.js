/** What of a view a pane shows: zoom and pan. */
export class Sight {
  constructor() {
    this.zoom = 1;
    /** How far the view's middle is from the pane's, in CSS pixels. */
    this.right = 0;
    this.down = 0;
  }

  fit() {
    this.zoom = 1;
    this.right = this.down = 0;
  }

  /**
   * Where the view's first corner is in the pane, and CSS pixels of a pixel of the view.
   * @param {{width: number, height: number}} pane
   * @param {{width: number, height: number}} view
   */
  place(pane, view) {
    const scale = this.zoom * Math.max(Math.min(pane.width / view.width, pane.height / view.height), 1e-6);
    return {
      scale,
      left: (pane.width - scale * view.width) / 2 + this.right,
      top: (pane.height - scale * view.height) / 2 + this.down,
    };
  }

  /**
   * Zoom, and leave what is at this place of the pane (CSS pixels from its middle) where it is.
   * @param {number} factor
   * @param {number} [x]
   * @param {number} [y]
   */
  magnify(factor, x = 0, y = 0) {
    const zoom = Math.max(0.5, Math.min(16, this.zoom * factor));
    const times = zoom / this.zoom;
    this.right = x - times * (x - this.right);
    this.down = y - times * (y - this.down);
    this.zoom = zoom;
  }

  /**
   * @param {number} right
   * @param {number} down
   */
  pan(right, down) {
    this.right += right;
    this.down += down;
  }
}
