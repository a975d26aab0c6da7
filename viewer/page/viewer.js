// The page's controls. All that is shown comes from the server that sent this page; names are set as text, never as markup.
import { COLOURS, Stage } from "./draw.js";

const by = (id) => document.getElementById(id);
let stage;
try { stage = new Stage(by("stage")); } catch (error) {
  say(error.message, true);
  throw error;
}
const state = { id: null, about: null, pose: {}, clip: null, playing: false, limits: {} };
const ARRAYS = { float32: Float32Array, uint32: Uint32Array, uint16: Uint16Array, uint8: Uint8Array };
window.transrefiner = { stage, state };     // to look at from the browser's console

async function ask(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || `the server answered ${answer.status}`);
  return answer;
}
const json = async (url, options) => (await ask(url, options)).json();
const bytes = async (url, options) => (await ask(url, options)).arrayBuffer();

function unpack(buffer) {
  const head = new DataView(buffer).getUint32(0, true), arrays = {};
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, head)));
  for (const [name, { type, start, count }] of Object.entries(about.arrays))
    arrays[name] = new ARRAYS[type](buffer, 4 + head + start, count);
  return { about, arrays };
}

function say(text, wrong = false) {
  by("news").textContent = text;
  by("news").classList.toggle("wrong", wrong);
}
const guarded = (action) => async (...args) => { try { await action(...args); } catch (error) { say(error.message, true); } };

function fill(select, labels, group = () => "") {
  select.replaceChildren();
  let box = select, last = "";
  labels.forEach((label, value) => {
    if (group(value) !== last) {
      last = group(value);
      box = last ? Object.assign(document.createElement("optgroup"), { label: last }) : select;
      if (last) select.append(box);
    }
    box.append(new Option(label, value));
  });
}

// ---------------------------------------------------------------- characters

async function refresh() {
  const list = await json("/api/list"), chosen = by("clip").value;
  state.limits = list;
  fill(by("characters"), list.characters.map((c) => c.name), (k) => list.characters[k].group);
  by("add").accept = list.suffixes.join(",");
  state.clips = list.clips;
  fillClips();
  by("clip").value = chosen || "0";
  if (state.id !== null) by("characters").value = state.id;
}

// "none", the clips that fit every character, and the animations of this one's own file
function fillClips() {
  const own = state.about?.motions ?? [];
  fill(by("clip"), ["none", ...state.clips.map((c) => c.name), ...own.map((m) => `in the file: ${m.name}`)]);
}

async function choose(id) {
  document.body.dataset.ready = "";
  say("loading");
  stop();
  const { about, arrays } = unpack(await bytes(`/api/character?id=${id}`));
  Object.assign(state, { id, about, pose: {}, clip: null });
  stage.load(about, arrays);
  by("characters").value = id;
  const rig = about.rigged ? `${about.names.length} joints` : "no skeleton that is known here";
  by("numbers").textContent = `${state.limits.characters[id].name}\n${about.vertices} vertices, ${about.faces} triangles, ${rig}`;
  by("warnings").replaceChildren(...about.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  fill(by("kinds"), about.kinds);
  fill(by("joint"), about.names);
  for (const id of ["kinds", "colours", "joint", "x", "y", "z", "reset", "reset-joint"]) by(id).disabled = !about.rigged;
  if (!about.rigged) by("colours").value = "surface";
  colour();
  pick(about.rigged ? 0 : -1);
  const clip = Number(by("clip").value);
  fillClips();
  by("clip").value = clip <= state.clips.length ? clip : 0;
  by("motion").hidden = !about.animates || !(state.clips.length + about.motions.length);
  await loadClip();
  say("");
  document.body.dataset.ready = id;
}

async function weights() {
  const kind = state.about.kinds[by("kinds").value], id = state.id;
  say(kind === "smoothed" ? "smoothing the weights" : "loading");
  const { arrays } = unpack(await bytes(`/api/weights?id=${id}&kind=${encodeURIComponent(kind)}`));
  if (id === state.id && kind === state.about.kinds[by("kinds").value]) stage.weights(arrays);
  say("");
  document.body.dataset.weights = kind;
}

// ---------------------------------------------------------------- files from the user

async function add(file) {
  const suffix = file.name.toLowerCase().match(/\.[^.]*$/)?.[0] ?? "";
  const { suffixes, mostBytes } = state.limits;
  if (!suffixes.includes(suffix)) throw new Error(`${file.name}: not read here. Supported: ${suffixes.join(" ")}`);
  if (file.size > mostBytes) throw new Error(`${file.name}: more than ${mostBytes / 2 ** 20} MB`);
  say(`${file.name}: sending`);
  const { job } = await json(`/api/upload?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
  const bar = by("progress");
  bar.hidden = false;
  try {
    for (;;) {
      const news = await json(`/api/job?id=${job}`);
      bar.value = news.step;
      say(news.state === "working" ? `${news.name}: ${news.says}, ${news.seconds.toFixed(0)} s` : news.says, news.state === "failed");
      if (news.state === "done") return await arrived(news);
      if (news.state === "failed") return;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  } finally { bar.hidden = true; }
}

async function arrived(news) {
  await refresh();
  if (news.character !== null) await choose(news.character);
  if (news.clip !== null && state.about?.animates) {
    by("motion").hidden = false;
    by("clip").value = news.clip + 1;
    await loadClip();
  }
  say(news.says);
}

function watchDrops() {
  let depth = 0;
  const over = (change) => { depth = change ? depth + change : 0; by("drop").hidden = depth <= 0; };
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", guarded(async (event) => {
    event.preventDefault();
    over(0);
    if (event.dataTransfer.files.length) await add(event.dataTransfer.files[0]);
  }));
  by("add").addEventListener("change", guarded(async () => {
    const [file] = by("add").files;
    by("add").value = "";
    if (file) await add(file);
  }));
}

// ---------------------------------------------------------------- pose

function pick(joint) {
  stage.picked = joint;
  if (joint >= 0) by("joint").value = joint;
  const error = state.about.expectedCm[state.about.names[joint]];
  by("expected").hidden = error === undefined;
  if (error !== undefined) by("expected").textContent = `expected error ${error.toFixed(1)} cm (of a 170 cm figure)`;
  sliders();
  stage.ask();
}

function sliders() {
  const angles = state.pose[stage.picked] ?? [0, 0, 0];
  ["x", "y", "z"].forEach((axis, k) => { by(axis).value = angles[k]; by(`${axis}-value`).value = `${angles[k]}°`; });
}

let asking = false, again = false;
async function pose() {      // one question at a time; what came meanwhile is asked once, with the latest angles
  if (asking) { again = true; return; }
  asking = true;
  try {
    const id = state.id, body = JSON.stringify(state.pose);
    const transforms = new Float32Array(await bytes(`/api/pose?id=${id}`, { method: "POST", body }));
    if (id === state.id && !state.playing) stage.pose(transforms);
    document.body.dataset.posed = body;
  } finally { asking = false; }
  if (again) { again = false; await pose(); }
}

// ---------------------------------------------------------------- motion

async function loadClip() {
  stop();
  const chosen = Number(by("clip").value) - 1;
  state.clip = null;
  if (chosen >= 0 && state.about.animates) {
    const id = state.id, own = chosen - state.clips.length;
    const url = own < 0 ? `/api/clip?id=${id}&clip=${chosen}` : `/api/motion?id=${id}&motion=${own}`;
    const { fps, frames } = own < 0 ? state.clips[chosen] : state.about.motions[own];
    const data = new Float32Array(await bytes(url));
    if (id !== state.id) return;
    state.clip = { data, fps, frames, size: 12 * state.about.names.length };
  }
  by("play").disabled = by("frame").disabled = !state.clip;
  by("frame").max = state.clip ? state.clip.frames - 1 : 0;
  by("frame").value = 0;
  by("frame-value").value = "";
  if (state.clip) showFrame(0); else if (state.about.rigged) await pose();
}

function showFrame(frame) {
  const { data, size, frames } = state.clip;
  by("frame").value = frame;
  by("frame-value").value = `${frame + 1} / ${frames}`;
  stage.pose(data.subarray(frame * size, (frame + 1) * size));
}

function stop() {
  state.playing = false;
  by("play").textContent = "Play";
}

function play() {
  if (state.playing) return stop();
  state.playing = true;
  by("play").textContent = "Pause";
  const clip = state.clip, began = performance.now() - Number(by("frame").value) / clip.fps * 1000;
  const step = (now) => {
    if (!state.playing || state.clip !== clip) return;
    showFrame(Math.floor(Math.max(now - began, 0) / 1000 * clip.fps) % clip.frames);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// ---------------------------------------------------------------- controls

function colour() {
  stage.show.colours = COLOURS[by("colours").value];
  by("scale").hidden = by("colours").value !== "joint";
  stage.ask();
}

function watchPointer() {
  const canvas = by("stage");
  let last = null, moved = 0;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    [last, moved] = [event, 0];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
    moved += Math.hypot(dx, dy);
    if (event.buttons & 2 || event.shiftKey) stage.camera.shift(dx, dy, canvas.clientHeight);
    else stage.camera.turn(dx, dy);
    last = event;
    stage.ask();
  });
  canvas.addEventListener("pointerup", (event) => {
    const box = canvas.getBoundingClientRect();
    const joint = moved < 4 && stage.show.skeleton ? stage.jointAt(event.clientX - box.left, event.clientY - box.top) : -1;
    if (joint >= 0) pick(joint);
    last = null;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    stage.camera.zoom(Math.max(-0.5, Math.min(0.5, event.deltaY * 0.001)));
    stage.ask();
  }, { passive: false });
}

function watchControls() {
  by("characters").addEventListener("change", guarded(() => choose(Number(by("characters").value))));
  by("kinds").addEventListener("change", guarded(weights));
  by("colours").addEventListener("change", colour);
  by("joint").addEventListener("change", () => pick(Number(by("joint").value)));
  for (const what of ["mesh", "skeleton"]) by(what).addEventListener("change", () => { stage.show[what] = by(what).checked; stage.ask(); });
  for (const axis of ["x", "y", "z"])
    by(axis).addEventListener("input", guarded(async () => {
      stop();
      state.pose[stage.picked] = ["x", "y", "z"].map((a) => Number(by(a).value));
      sliders();
      await pose();
    }));
  const reset = (change) => guarded(async () => { stop(); change(); sliders(); await pose(); });
  by("reset").addEventListener("click", reset(() => { state.pose = {}; }));
  by("reset-joint").addEventListener("click", reset(() => { delete state.pose[stage.picked]; }));
  by("clip").addEventListener("change", guarded(loadClip));
  by("play").addEventListener("click", play);
  by("frame").addEventListener("input", () => { stop(); showFrame(Number(by("frame").value)); });
}

watchControls();
watchPointer();
watchDrops();
guarded(async () => {
  await refresh();
  by("add-label").firstChild.textContent = state.limits.rigs ? "Drop a mesh on the page to rig it, or " : "Drop a file on the page, or ";
  if (state.limits.characters.length) await choose(0);
  else say("Drop a character on the page.");
})();
