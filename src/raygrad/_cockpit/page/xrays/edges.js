/**
 * Where an image changes most, in a colour, the rest transparent: the length of its gradient (Sobel's masks), of which
 * so large a share of the pixels is shown.
 * @param {ImageData} image of greys
 * @param {number} share of the pixels that are edges, 0 to 1
 * @param {[number, number, number]} colour
 */
export function edges(image, share, colour) {
  const { width, height, data } = image;
  const strength = new Uint16Array(width * height);
  const counts = new Uint32Array(1500);
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = 4 * (y * width + x);
      const [n, s] = [at - 4 * width, at + 4 * width];
      const gx = data[n + 4] + 2 * data[at + 4] + data[s + 4] - data[n - 4] - 2 * data[at - 4] - data[s - 4];
      const gy = data[s - 4] + 2 * data[s] + data[s + 4] - data[n - 4] - 2 * data[n] - data[n + 4];
      const length = Math.min(1499, Math.round(Math.sqrt(gx * gx + gy * gy)));
      strength[y * width + x] = length;
      counts[length]++;
    }
  }
  let least = counts.length - 1;
  for (let seen = 0; least > 4 && seen < share * width * height; least--) seen += counts[least];
  const drawn = new ImageData(width, height);
  const pixels = new Uint32Array(drawn.data.buffer);
  const rgb = (colour[2] << 16) | (colour[1] << 8) | colour[0];
  const perStep = 110 / Math.max(least, 1);
  for (let i = 0; i < strength.length; i++) {
    const over = strength[i] - least;
    if (over > 0) pixels[i] = (Math.min(255, 110 + perStep * over) << 24) | rgb;
  }
  return drawn;
}

/**
 * Where one image is brighter than the other (orange) and where it is darker (blue), both as greys of one size.
 * @param {ImageData} image
 * @param {ImageData} other
 */
export function difference(image, other) {
  const drawn = new ImageData(image.width, image.height);
  const mean = (/** @type {ImageData} */ { data }) => {
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += data[i];
    return (4 * sum) / data.length;
  };
  const offset = mean(image) - mean(other); // what is brighter all over says nothing of the pose
  const [one, two] = [image.data, other.data];
  const pixels = new Uint32Array(drawn.data.buffer);
  for (let i = 0; i < pixels.length; i++) {
    const step = 2 * (one[4 * i] - two[4 * i] - offset);
    const [more, less] = step > 0 ? [step, 0] : [0, -step];
    const red = Math.min(255, more + 0.1 * less);
    const green = Math.min(255, 0.55 * (more + less));
    const blue = Math.min(255, 0.05 * more + less);
    pixels[i] = 0xff000000 | (blue << 16) | (green << 8) | red;
  }
  return drawn;
}
