/** Hands on the map: drag, wheel, pinch, double click, keys. */

const STEP_PX = 60;
const TAP_PX = 6;

/**
 * @typedef {object} Hands
 * @property {(across: number, down: number) => void} pan
 * @property {(factor: number, across?: number, down?: number) => void} zoom
 * @property {(across: number, down: number) => void} hover
 * @property {() => void} leave
 * @property {(across: number, down: number, byTouch: boolean) => void} tap
 * @property {(key: string) => boolean} press another key; whether it meant something
 */

/**
 * @param {HTMLElement} surface
 * @param {Hands} hands
 */
export function listenForHands(surface, hands) {
  listenForPointers(surface, hands);
  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      // Lines and pages of old mice, and pinches of touchpads, which come as a wheel with Ctrl.
      const unit = event.deltaMode === 0 ? 1 : event.deltaMode === 1 ? 16 : 400;
      const speed = event.ctrlKey ? 0.01 : 0.002;
      hands.zoom(Math.exp(-event.deltaY * unit * speed), event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  surface.addEventListener("dblclick", (event) => hands.zoom(2, event.offsetX, event.offsetY));
  surface.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? STEP_PX * 4 : STEP_PX;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => hands.pan(step, 0),
      ArrowRight: () => hands.pan(-step, 0),
      ArrowUp: () => hands.pan(0, step),
      ArrowDown: () => hands.pan(0, -step),
      "+": () => hands.zoom(1.4),
      "=": () => hands.zoom(1.4),
      "-": () => hands.zoom(1 / 1.4),
    };
    const act = keys[event.key];
    if (act) act();
    if (act || hands.press(event.key)) event.preventDefault();
  });
}

/**
 * @param {HTMLElement} surface
 * @param {Hands} hands
 */
function listenForPointers(surface, hands) {
  /** @type {Map<number, {x: number, y: number}>} */
  const down = new Map();
  let moved = 0;
  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    if (down.size === 0) moved = 0;
    down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  });
  surface.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    const now = { x: event.offsetX, y: event.offsetY };
    if (!before) {
      hands.hover(now.x, now.y);
      return;
    }
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    moved += Math.hypot(now.x - before.x, now.y - before.y);
    down.set(event.pointerId, now);
    if (other) {
      const apart = (/** @type {{x: number, y: number}} */ one) => Math.max(Math.hypot(one.x - other.x, one.y - other.y), 1);
      hands.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      hands.zoom(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (moved > TAP_PX) {
      hands.pan(now.x - before.x, now.y - before.y);
    }
  });
  surface.addEventListener("pointerup", (event) => {
    const isTap = down.size === 1 && moved <= TAP_PX && event.button === 0;
    down.delete(event.pointerId);
    if (isTap) hands.tap(event.offsetX, event.offsetY, event.pointerType !== "mouse");
  });
  surface.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  surface.addEventListener("pointerleave", () => {
    if (down.size === 0) hands.leave();
  });
}
