import { Box3, Color, DirectionalLight, HemisphereLight, PerspectiveCamera, Scene, Vector3, WebGLRenderer } from "../vendor/three/three.module.min.js";
import { OrbitControls } from "../vendor/three/OrbitControls.js";
import { Compass } from "./compass.js";

const SHARPEST = 2;
const TURN = Math.PI / 24;
const NEARER = 0.88;
const MARGIN = 1.05;
const ROUNDS = 4;

/** From where to look, and what is up. The front is seen from the front: the patient's right is at the left. */
export const VIEWPOINTS = {
  all: [new Vector3(0.5, 0.95, 0.42), new Vector3(0, 0, 1)],
  front: [new Vector3(0, 1, 0), new Vector3(0, 0, 1)],
  side: [new Vector3(-1, 0, 0), new Vector3(0, 0, 1)],
  top: [new Vector3(0, -1e-4, 1), new Vector3(0, 0, 1)],
};

const REST_MS = 200;

/**
 * Whether there is no graphics card, or none that the browser may use.
 * @param {WebGLRenderingContext | WebGL2RenderingContext} context
 */
function isDrawnByProcessor(context) {
  const asked = context.getExtension("WEBGL_debug_renderer_info");
  const name = context.getParameter(asked ? asked.UNMASKED_RENDERER_WEBGL : context.RENDERER);
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(String(name));
}

/** What is drawn, and from where. It draws when something has changed, and rests otherwise. */
export class Stage {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    this.renderer = new WebGLRenderer({ antialias: true });
    this.renderer.autoClear = false;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, SHARPEST));
    this.canvas = this.renderer.domElement;
    this.canvas.setAttribute("aria-hidden", "true");
    host.append(this.canvas);
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(32, 1, 5, 20000);
    this.camera.up.set(0, 0, 1);
    const light = new DirectionalLight(0xffffff, 1.6);
    light.position.set(0.3, 0.6, 1);
    this.camera.add(light);
    this.scene.add(this.camera, new HemisphereLight(0xffffff, 0x667788, 1.4));
    this.controls = new OrbitControls(this.camera, this.canvas);
    this.controls.addEventListener("change", () => this.request());
    this.compass = new Compass();
    this.drawing = 0;
    this.resting = 0;
    this.slow = isDrawnByProcessor(this.renderer.getContext());
    this.canvas.addEventListener("webglcontextrestored", () => this.request());
    document.addEventListener("themechange", () => this.colour());
    host.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(host);
    this.colour();
  }

  /** Draw before the browser does next. */
  request() {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      this.render();
    });
  }

  /** Draw what follows a hand: at once, but where the processor draws, once the hand rests. It has the X-rays to draw. */
  follow() {
    if (!this.slow) {
      this.request();
      return;
    }
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.request(), REST_MS);
  }

  render() {
    const { clientWidth, clientHeight } = this.host;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setViewport(0, 0, clientWidth, clientHeight);
    this.renderer.clear();
    this.renderer.render(this.scene, this.camera);
    this.compass.render(this.renderer, this.camera);
  }

  resize() {
    const { clientWidth, clientHeight } = this.host;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.camera.aspect = clientWidth / clientHeight;
    this.camera.updateProjectionMatrix();
    this.request();
  }

  colour() {
    this.scene.background = new Color(getComputedStyle(this.host).backgroundColor);
    this.request();
  }

  /**
   * Look at the middle of these points from one of `VIEWPOINTS`, from so near that all are seen.
   * @param {keyof typeof VIEWPOINTS} name
   * @param {Vector3[]} points
   */
  look(name, points) {
    const [direction, up] = VIEWPOINTS[name];
    const middle = new Box3().setFromPoints(points).getCenter(new Vector3());
    this.camera.up.copy(up);
    this.camera.position.copy(middle).add(direction);
    this.camera.lookAt(middle);
    this.camera.updateMatrixWorld();
    const [right, top, towards] = [new Vector3(), new Vector3(), new Vector3()];
    this.camera.matrixWorld.extractBasis(right, top, towards);
    const slope = Math.tan((Math.PI / 360) * this.camera.fov);
    for (let round = 0; round < ROUNDS; round++) {
      const distances = points.map((point) => {
        const offset = point.clone().sub(middle);
        const aside = Math.max(Math.abs(offset.dot(right)) / this.camera.aspect, Math.abs(offset.dot(top)));
        return aside / slope + offset.dot(towards);
      });
      const distance = MARGIN * Math.max(...distances);
      this.camera.position.copy(middle).addScaledVector(towards, distance);
      if (name !== "all" || round === ROUNDS - 1) break;
      // What is near looks larger, so the middle of what is seen is not that of what there is.
      this.camera.updateMatrixWorld();
      const seen = new Box3().setFromPoints(points.map((point) => point.clone().project(this.camera)));
      const { x, y } = seen.getCenter(new Vector3());
      middle.addScaledVector(right, x * slope * this.camera.aspect * distance).addScaledVector(top, y * slope * distance);
    }
    this.controls.target.copy(middle);
    this.controls.update();
    this.request();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target !== this.host) return;
    const turns = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, -TURN], ArrowDown: [0, TURN] };
    const turn = turns[/** @type {keyof typeof turns} */ (event.key)];
    const offset = this.camera.position.clone().sub(this.controls.target);
    if (turn) {
      const lean = Math.min(Math.PI - 0.02, Math.max(0.02, offset.angleTo(this.camera.up) + turn[1]));
      const across = this.camera.up.clone().cross(offset).normalize();
      const length = offset.length();
      offset.copy(this.camera.up).applyAxisAngle(across, lean).setLength(length).applyAxisAngle(this.camera.up, turn[0]);
    } else if ("+=-".includes(event.key)) {
      offset.multiplyScalar(event.key === "-" ? 1 / NEARER : NEARER);
    } else return;
    this.camera.position.copy(this.controls.target).add(offset);
    this.controls.update();
    event.preventDefault();
    event.stopPropagation();
  }
}
