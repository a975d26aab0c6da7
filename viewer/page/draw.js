// Draws a skinned character: surface, skeleton and floor. The graphics card moves the vertices (linear blend skinning) and colours
// them by weight, so a new pose is J matrices, and another joint's heat map is one number.
import { Camera } from "./camera.js";

const MOST_JOINTS = 64;
export const COLOURS = { surface: 0, joint: 1, all: 2 };

const SKIN = `#version 300 es
precision highp float;
const int MOST_JOINTS = ${MOST_JOINTS};
uniform vec4 rows[3 * MOST_JOINTS];   // of each joint's transform from rest
`;

const SURFACE_VERTEX = SKIN + `
in vec3 place; in vec3 normal;
in uvec4 bonesA; in uvec4 bonesB; in vec4 sharesA; in vec4 sharesB;
uniform mat4 view; uniform int picked; uniform float pointSize;
out vec3 vPlace; out vec3 vNormal; out float vHeat; out vec3 vRegion;

vec3 hue(uint joint) {   // golden steps around the circle: neighbours differ
  vec3 h = abs(fract(float(joint) * 0.618034 + vec3(0.0, 2.0 / 3.0, 1.0 / 3.0)) * 6.0 - 3.0) - 1.0;
  return mix(vec3(0.92), clamp(h, 0.0, 1.0), 0.72);
}

void main() {
  vec4 r0 = vec4(0.0), r1 = vec4(0.0), r2 = vec4(0.0);
  float total = 0.0; vHeat = 0.0; vRegion = vec3(0.0);
  for (int k = 0; k < 8; k++) {
    uint joint = k < 4 ? bonesA[k] : bonesB[k - 4];
    float share = k < 4 ? sharesA[k] : sharesB[k - 4];
    r0 += share * rows[3u * joint]; r1 += share * rows[3u * joint + 1u]; r2 += share * rows[3u * joint + 2u];
    total += share;
    if (int(joint) == picked) vHeat += share;
    vRegion += share * hue(joint);
  }
  vec4 at = vec4(place, 1.0);
  vPlace = vec3(dot(r0, at), dot(r1, at), dot(r2, at)) / total;
  vNormal = vec3(dot(r0.xyz, normal), dot(r1.xyz, normal), dot(r2.xyz, normal));
  vHeat /= total; vRegion /= total;
  gl_Position = view * vec4(vPlace, 1.0);
  gl_PointSize = pointSize;
}`;

const SURFACE_FRAGMENT = `#version 300 es
precision highp float;
in vec3 vPlace; in vec3 vNormal; in float vHeat; in vec3 vRegion;
uniform vec3 eye; uniform int colours; uniform bool lit;
out vec4 colour;

vec3 heat(float w) {     // none: grey blue; then blue, cyan, yellow, red
  if (w < 0.002) return vec3(0.44, 0.47, 0.54);
  vec3 cold = mix(vec3(0.20, 0.28, 0.75), vec3(0.10, 0.75, 0.85), smoothstep(0.0, 0.35, w));
  vec3 warm = mix(vec3(0.98, 0.85, 0.20), vec3(0.86, 0.12, 0.10), smoothstep(0.6, 1.0, w));
  return mix(cold, warm, smoothstep(0.3, 0.65, w));
}

void main() {
  vec3 base = colours == 1 ? heat(vHeat) : colours == 2 ? vRegion : vec3(0.82, 0.77, 0.70);
  float light = 1.0;
  if (lit) {
    vec3 n = normalize(vNormal + 1e-9), toEye = normalize(eye - vPlace);
    vec3 face = cross(dFdx(vPlace), dFdy(vPlace));      // of the triangle itself: which side is seen, whatever its winding
    if (dot(n, face) * dot(face, toEye) < 0.0) n = -n;
    vec3 key = normalize(toEye + vec3(0.25, 0.0, 0.75));
    light = 0.40 + 0.13 * n.z + 0.52 * max(dot(n, key), 0.0);
  }
  colour = vec4(base * light, 1.0);
}`;

const BONE_VERTEX = `#version 300 es
precision highp float;
in float end; in float side; in uint from; in uint to;
uniform vec3 joints[${MOST_JOINTS}]; uniform mat4 view; uniform vec2 pixels;
void main() {
  vec4 a = view * vec4(joints[from], 1.0), b = view * vec4(joints[to], 1.0);
  vec2 way = (b.xy / b.w - a.xy / a.w) * pixels;
  vec2 across = length(way) > 0.01 ? normalize(vec2(-way.y, way.x)) : vec2(0.0);
  gl_Position = end > 0.5 ? b : a;
  gl_Position.xy += across * side * (end > 0.5 ? 1.2 : 4.5) / pixels * gl_Position.w;
}`;

const JOINT_VERTEX = `#version 300 es
precision highp float;
uniform vec3 joints[${MOST_JOINTS}]; uniform mat4 view; uniform int picked; uniform float scale;
flat out int isPicked;
void main() {
  isPicked = gl_VertexID == picked ? 1 : 0;
  gl_Position = view * vec4(joints[gl_VertexID], 1.0);
  gl_PointSize = scale * (isPicked == 1 ? 15.0 : gl_VertexID < 22 ? 10.0 : 6.0);
}`;

const JOINT_FRAGMENT = `#version 300 es
precision highp float;
flat in int isPicked; out vec4 colour;
void main() {
  vec2 d = 2.0 * gl_PointCoord - 1.0; float r = dot(d, d);
  if (r > 1.0) discard;
  vec3 base = isPicked == 1 ? vec3(1.0, 0.55, 0.05) : vec3(0.30, 0.85, 0.55);
  colour = vec4(base * (1.05 - 0.55 * r), 1.0);
}`;

const PLAIN_VERTEX = `#version 300 es
precision highp float;
in vec3 place; uniform mat4 view; uniform vec2 shift;
void main() { gl_Position = view * vec4(place.xy + shift, place.z, 1.0); }`;

const PLAIN_FRAGMENT = `#version 300 es
precision highp float;
uniform vec4 tint; out vec4 colour;
void main() { colour = tint; }`;

// attribute -> [numbers in a vertex, GL's name of their type, how: "float", "share" (normalised) or "whole", bytes a vertex, first byte]
const SURFACE_LAYOUT = {
  place: { place: [3, "FLOAT", "float", 12, 0] }, normal: { normal: [3, "FLOAT", "float", 12, 0] },
  bones: { bonesA: [4, "UNSIGNED_BYTE", "whole", 8, 0], bonesB: [4, "UNSIGNED_BYTE", "whole", 8, 4] },
  shares: { sharesA: [4, "UNSIGNED_SHORT", "share", 16, 0], sharesB: [4, "UNSIGNED_SHORT", "share", 16, 8] },
};
const BONE_LAYOUT = {
  ends: { end: [1, "FLOAT", "float", 8, 0], side: [1, "FLOAT", "float", 8, 4] },
  pairs: { from: [1, "UNSIGNED_BYTE", "whole", 2, 0], to: [1, "UNSIGNED_BYTE", "whole", 2, 1] },
};

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: true });
    if (!this.gl) throw new Error("This browser has no WebGL 2, which the picture needs.");
    this.camera = new Camera();
    this.show = { mesh: true, skeleton: true, colours: COLOURS.surface };
    this.picked = -1;
    this.surface = this.program(SURFACE_VERTEX, SURFACE_FRAGMENT);
    this.bones = this.program(BONE_VERTEX, PLAIN_FRAGMENT);
    this.discs = this.program(JOINT_VERTEX, JOINT_FRAGMENT);
    this.plain = this.program(PLAIN_VERTEX, PLAIN_FRAGMENT);
    this.empty = this.gl.createVertexArray();
    new ResizeObserver(() => this.ask()).observe(canvas);
  }

  program(vertex, fragment) {
    const gl = this.gl, made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || "a shader does not link");
    return { made, at: (name) => gl.getUniformLocation(made, name), input: (name) => gl.getAttribLocation(made, name) };
  }

  // Puts arrays on the graphics card under a layout; returns what binds them.
  layout(program, arrays, layout, indices) {
    const gl = this.gl, binding = gl.createVertexArray(), buffers = {};
    gl.bindVertexArray(binding);
    for (const [name, inputs] of Object.entries(layout)) {
      if (!arrays[name]) continue;
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name] = gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, arrays[name], gl.STATIC_DRAW);
      for (const [input, [size, type, how, stride, first]] of Object.entries(inputs)) {
        const at = program.input(input);
        if (at < 0) continue;
        gl.enableVertexAttribArray(at);
        if (how === "whole") gl.vertexAttribIPointer(at, size, gl[type], stride, first);
        else gl.vertexAttribPointer(at, size, gl[type], how === "share", stride, first);
      }
    }
    if (indices) {
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.indices = gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    }
    gl.bindVertexArray(null);
    return { binding, buffers };
  }

  release(held) {
    if (!held) return;
    Object.values(held.buffers).forEach((buffer) => this.gl.deleteBuffer(buffer));
    this.gl.deleteVertexArray(held.binding);
  }

  // about: the header; arrays: place, normal, faces, bones, shares, joints (see viewer/character.py)
  load(about, arrays) {
    [this.held, this.boneHeld, this.floorHeld].forEach((held) => this.release(held));
    this.count = about.vertices;
    this.corners = arrays.faces ? arrays.faces.length : 0;
    this.held = this.layout(this.surface, arrays, SURFACE_LAYOUT, arrays.faces);
    this.rest = arrays.joints || new Float32Array(0);
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < arrays.place.length; i++) {
      low[i % 3] = Math.min(low[i % 3], arrays.place[i]);
      high[i % 3] = Math.max(high[i % 3], arrays.place[i]);
    }
    this.camera.frame(low, high);
    this.loadBones(about.parents);
    this.loadFloor(low, high);
    this.pose(null);
  }

  loadBones(parents) {
    const ends = [], pairs = [];
    parents.forEach((parent, joint) => {
      if (parent < 0) return;
      for (const [end, side] of [[0, -1], [0, 1], [1, 1], [0, -1], [1, 1], [1, -1]]) { ends.push(end, side); pairs.push(parent, joint); }
    });
    this.boneCorners = ends.length / 2;
    this.boneHeld = this.layout(this.bones, { ends: new Float32Array(ends), pairs: new Uint8Array(pairs) }, BONE_LAYOUT);
  }

  loadFloor(low, high) {
    const lines = [], half = 2 * this.camera.size, [x, y, z] = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]];
    for (let k = -10; k <= 10; k++) {
      const d = k * half / 10;
      lines.push(x + d, y - half, z, x + d, y + half, z, x - half, y + d, z, x + half, y + d, z);
    }
    this.floorCount = lines.length / 3;
    this.floorHeld = this.layout(this.plain, { place: new Float32Array(lines) }, { place: SURFACE_LAYOUT.place });
  }

  // New weights of the same mesh, without moving anything else.
  weights(arrays) {
    const gl = this.gl;
    for (const name of ["bones", "shares"]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.held.buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, arrays[name], gl.STATIC_DRAW);
    }
    this.ask();
  }

  // transforms: Float32Array of (J, 3, 4), null for rest
  pose(transforms) {
    const joints = this.rest.length / 3;
    this.transforms = new Float32Array(12 * MOST_JOINTS);
    for (let j = 0; j < MOST_JOINTS; j++) [0, 5, 10].forEach((k) => { this.transforms[12 * j + k] = 1; });
    if (transforms) this.transforms.set(transforms);
    this.joints = new Float32Array(3 * MOST_JOINTS);
    for (let j = 0; j < joints; j++)
      for (let r = 0; r < 3; r++) {
        const row = 12 * j + 4 * r, [x, y, z] = this.rest.subarray(3 * j);
        const t = this.transforms;
        this.joints[3 * j + r] = t[row] * x + t[row + 1] * y + t[row + 2] * z + t[row + 3];
      }
    this.camera.along = joints ? [this.joints[0] - this.rest[0], this.joints[1] - this.rest[1], 0] : [0, 0, 0];
    this.ask();
  }

  // The joint that is drawn within `reach` pixels of a point of the canvas, the nearest; -1 for none.
  jointAt(x, y, reach = 14) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    let best = -1, nearest = reach;
    for (let j = 0; j < this.rest.length / 3; j++) {
      const [sx, sy] = this.onScreen(j, width, height), d = Math.hypot(sx - x, sy - y);
      if (d < nearest) [best, nearest] = [j, d];
    }
    return best;
  }

  onScreen(joint, width = this.canvas.clientWidth, height = this.canvas.clientHeight) {
    const m = this.camera.matrix(width / height), [x, y, z] = this.joints.subarray(3 * joint);
    const clip = [0, 1, 3].map((r) => m[r] * x + m[4 + r] * y + m[8 + r] * z + m[12 + r]);
    return [(clip[0] / clip[2] + 1) * width / 2, (1 - clip[1] / clip[2]) * height / 2];
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.draw(); });
  }

  draw() {
    const gl = this.gl, canvas = this.canvas, ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(0.115, 0.125, 0.15, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!this.held) return;
    const view = this.camera.matrix(width / height);
    gl.enable(gl.DEPTH_TEST);
    this.drawFloor(view);
    if (this.show.mesh) this.drawSurface(view, ratio);
    gl.disable(gl.DEPTH_TEST);
    if (this.show.skeleton && this.rest.length) this.drawSkeleton(view, ratio);
    this.frames = (this.frames || 0) + 1;
  }

  use(program, view) {
    this.gl.useProgram(program.made);
    this.gl.uniformMatrix4fv(program.at("view"), false, view);
  }

  drawFloor(view) {
    const gl = this.gl;
    this.use(this.plain, view);
    const cell = this.camera.size / 5;    // the floor goes with a walking figure by whole cells, so that it seems to have no end
    gl.uniform2f(this.plain.at("shift"), ...this.camera.along.slice(0, 2).map((way) => cell * Math.round(way / cell)));
    gl.uniform4f(this.plain.at("tint"), 0.21, 0.225, 0.26, 1);
    gl.bindVertexArray(this.floorHeld.binding);
    gl.drawArrays(gl.LINES, 0, this.floorCount);
  }

  drawSurface(view, ratio) {
    const gl = this.gl, p = this.surface;
    this.use(p, view);
    gl.uniform4fv(p.at("rows"), this.transforms);
    gl.uniform3fv(p.at("eye"), this.camera.eye());
    gl.uniform1i(p.at("picked"), this.picked);
    gl.uniform1i(p.at("colours"), this.show.colours);
    gl.uniform1i(p.at("lit"), this.corners ? 1 : 0);
    gl.uniform1f(p.at("pointSize"), 2.5 * ratio);
    gl.bindVertexArray(this.held.binding);
    if (this.corners) gl.drawElements(gl.TRIANGLES, this.corners, gl.UNSIGNED_INT, 0);
    else gl.drawArrays(gl.POINTS, 0, this.count);
  }

  drawSkeleton(view, ratio) {
    const gl = this.gl;
    this.use(this.bones, view);
    gl.uniform3fv(this.bones.at("joints"), this.joints);
    gl.uniform2f(this.bones.at("pixels"), this.canvas.width / 2 / ratio, this.canvas.height / 2 / ratio);
    gl.uniform4f(this.bones.at("tint"), 0.18, 0.55, 0.38, 1);
    gl.bindVertexArray(this.boneHeld.binding);
    gl.drawArrays(gl.TRIANGLES, 0, this.boneCorners);
    this.use(this.discs, view);
    gl.uniform3fv(this.discs.at("joints"), this.joints);
    gl.uniform1i(this.discs.at("picked"), this.picked);
    gl.uniform1f(this.discs.at("scale"), ratio);
    gl.bindVertexArray(this.empty);
    gl.drawArrays(gl.POINTS, 0, this.rest.length / 3);
  }
}
