// A camera that circles a figure standing along +Z and facing -Y. Matrices are column-major Float32Array(16), as WebGL wants them.

export function multiply(a, b) {
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c++)
    for (let r = 0; r < 4; r++)
      for (let k = 0; k < 4; k++) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
  return out;
}

// angle: of the shorter side of the picture
function perspective(angle, aspect, near, far) {
  const f = Math.min(1, aspect) / Math.tan(angle / 2), out = new Float32Array(16);
  out[0] = f / aspect; out[5] = f; out[10] = (far + near) / (near - far); out[11] = -1; out[14] = 2 * far * near / (near - far);
  return out;
}

export class Camera {
  // along: where a walking figure has gone from its place
  constructor() { Object.assign(this, { target: [0, 0, 0], along: [0, 0, 0], yaw: 0.45, tilt: 0.12, distance: 4, size: 1 }); }

  // low, high: corners of the figure's box
  frame(low, high) {
    this.size = Math.max(...high.map((h, k) => h - low[k]), 1e-9);
    this.target = low.map((l, k) => (l + high[k]) / 2);
    Object.assign(this, { along: [0, 0, 0], yaw: 0.45, tilt: 0.12, distance: 1.75 * this.size });
  }

  // Unit vectors: to the right, up the screen, and from the target to the eye.
  axes() {
    const [sy, cy, st, ct] = [Math.sin(this.yaw), Math.cos(this.yaw), Math.sin(this.tilt), Math.cos(this.tilt)];
    return { right: [cy, sy, 0], up: [-sy * st, cy * st, ct], back: [sy * ct, -cy * ct, st] };
  }

  matrix(aspect) {
    const { right, up, back } = this.axes(), eye = this.eye();
    const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2], view = new Float32Array(16);
    [right, up, back].forEach((axis, row) => {
      for (let k = 0; k < 3; k++) view[4 * k + row] = axis[k];
      view[12 + row] = -dot(axis, eye);
    });
    view[15] = 1;
    return multiply(perspective(0.65, aspect, this.distance / 100, this.distance + 20 * this.size), view);
  }

  eye() { const { back } = this.axes(); return this.target.map((t, k) => t + this.along[k] + back[k] * this.distance); }

  turn(dx, dy) {
    this.yaw -= dx * 0.008;
    this.tilt = Math.min(1.5, Math.max(-1.5, this.tilt + dy * 0.008));
  }

  shift(dx, dy, height) {
    const { right, up } = this.axes(), step = 0.67 * this.distance / height;
    this.target = this.target.map((t, k) => t + step * (-dx * right[k] + dy * up[k]));
  }

  zoom(amount) { this.distance = Math.min(50 * this.size, Math.max(0.05 * this.size, this.distance * Math.exp(amount))); }
}
