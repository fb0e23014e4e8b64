/** A colour for each view's beam, in slices and scene: told apart by people who see red and green alike, too. */
const BEAMS = ["#ffb000", "#56b4e9", "#f08bc0", "#2fc79a", "#f0e442", "#c3a6ff"];

/** @param {number} view */
export function beamColour(view) {
  return BEAMS[view % BEAMS.length];
}
