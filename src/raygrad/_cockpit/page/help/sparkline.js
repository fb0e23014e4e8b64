const MOST = 160;
const [WIDTH, HEIGHT] = [120, 22];
const SVG = "http://www.w3.org/2000/svg";

/** A small line of a number over the last images. */
export class Sparkline {
  constructor() {
    /** @type {number[]} */
    this.values = [];
    this.element = document.createElementNS(SVG, "svg");
    this.element.setAttribute("class", "sparkline");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("aria-hidden", "true");
    this.line = document.createElementNS(SVG, "polyline");
    this.element.append(this.line);
    this.waiting = false;
  }

  /** @param {number} value */
  add(value) {
    this.values.push(value);
    if (this.values.length > MOST) this.values.shift();
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.waiting = false;
    const low = Math.min(...this.values, 0.9 * Math.max(...this.values));
    const high = Math.max(...this.values, low + 1e-3);
    const points = this.values.map((value, i) => {
      const x = (WIDTH * i) / Math.max(MOST / 4, this.values.length - 1);
      return `${x.toFixed(1)},${(HEIGHT - 2 - ((HEIGHT - 4) * (value - low)) / (high - low)).toFixed(1)}`;
    });
    this.line.setAttribute("points", points.join(" "));
  }
}
