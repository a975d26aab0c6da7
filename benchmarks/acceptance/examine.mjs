// In the browser: three.js (and for a .vrm three-vrm) loads a rigged file, plays its last clip, and tells where bones and vertices are.
import * as THREE from "three";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";

const draco = new DRACOLoader(); // its wasm comes from the package, through the page's own server
let renderer;

function loaderFor(url) {
  const loader = new GLTFLoader();
  loader.setDRACOLoader(draco);
  loader.setMeshoptDecoder(MeshoptDecoder);
  if (url.endsWith(".vrm")) loader.register((parser) => new VRMLoaderPlugin(parser));
  return loader;
}

const placeOf = (node) => new THREE.Vector3().setFromMatrixPosition(node.matrixWorld).toArray();

function drawn(gltf) {
  // every triangle mesh with the node and primitive of the file that it came from, in the order in which three made them
  const found = [];
  gltf.scene.traverse((mesh) => {
    if (!mesh.isMesh) return;
    const from = gltf.parser.associations.get(mesh) ?? {};
    let holder = mesh;
    while (holder && gltf.parser.associations.get(holder)?.nodes === undefined) holder = holder.parent;
    found.push({ mesh, node: gltf.parser.associations.get(holder).nodes, primitive: from.primitives ?? 0 });
  });
  return found;
}

function sampled({ mesh }, every) {
  const flat = [];
  for (let k = 0; k < mesh.geometry.attributes.position.count; k += every) {
    flat.push(...mesh.getVertexPosition(k, new THREE.Vector3()).applyMatrix4(mesh.matrixWorld).toArray());
  }
  return flat;
}

function human(vrm) {
  // as an application poses it: the left elbow bent by a right angle through the normalised bones
  const at = (name) => placeOf(vrm.humanoid.getRawBoneNode(name));
  vrm.scene.updateMatrixWorld(true);
  const bones = Object.fromEntries(Object.keys(vrm.humanoid.rawHumanBones).map((name) => [name, at(name)]));
  vrm.humanoid.getNormalizedBoneNode("leftLowerArm").rotation.set(0, -Math.PI / 2, 0);
  vrm.humanoid.update();
  vrm.scene.updateMatrixWorld(true);
  const bent = at("leftHand");
  vrm.humanoid.resetNormalizedPose();
  vrm.humanoid.update();
  vrm.scene.updateMatrixWorld(true);
  return { version: vrm.meta.metaVersion, authors: vrm.meta.authors, bones, bent };
}

function picture(gltf) {
  renderer ??= new THREE.WebGLRenderer({ canvas: document.getElementById("stage"), preserveDrawingBuffer: true });
  const scene = new THREE.Scene(), box = new THREE.Box3(), point = new THREE.Vector3();
  scene.background = new THREE.Color(0xd8dde4);
  scene.add(gltf.scene, new THREE.HemisphereLight(0xffffff, 0x888888, 3));
  for (const { mesh } of drawn(gltf)) {
    mesh.frustumCulled = false;
    for (let k = 0; k < mesh.geometry.attributes.position.count; k += 7) {
      box.expandByPoint(mesh.getVertexPosition(k, point).applyMatrix4(mesh.matrixWorld));
    }
  }
  const middle = box.getCenter(new THREE.Vector3()), size = box.getSize(new THREE.Vector3()).length();
  const camera = new THREE.PerspectiveCamera(35, 640 / 480, size / 50, size * 10);
  camera.position.copy(middle).add(new THREE.Vector3(0.5, 0.2, 1).multiplyScalar(1.35 * size));
  camera.lookAt(middle);
  renderer.render(scene, camera);
  return renderer.domElement.toDataURL("image/png");
}

// -> plain data. times: seconds of the last clip. every: each k-th vertex is told. draw: a picture at the last time, as a data URL.
window.examine = async (url, times, every, draw) => {
  const gltf = await loaderFor(url).loadAsync(url);
  gltf.scene.updateMatrixWorld(true);
  const meshes = drawn(gltf), joints = {};
  gltf.scene.traverse((node) => {
    if (node.isBone) joints[gltf.parser.associations.get(node).nodes] = placeOf(node);
  });
  const told = { joints, vrm: gltf.userData.vrm ? human(gltf.userData.vrm) : null, clips: gltf.animations.length, rest: [], frames: [] };
  told.meshes = meshes.map(({ mesh, node, primitive }) => ({
    node, primitive, skinned: Boolean(mesh.isSkinnedMesh), count: mesh.geometry.attributes.position.count }));
  told.rest = meshes.map((part) => sampled(part, every));
  if (gltf.animations.length) {
    const mixer = new THREE.AnimationMixer(gltf.scene), clip = gltf.animations.at(-1), action = mixer.clipAction(clip);
    told.duration = clip.duration;
    action.setLoop(THREE.LoopOnce);
    action.clampWhenFinished = true;
    action.play();
    for (const time of times) {
      action.paused = false;
      mixer.setTime(time);
      gltf.scene.updateMatrixWorld(true);
      told.frames.push(meshes.map((part) => sampled(part, every)));
    }
  }
  if (draw) told.picture = picture(gltf);
  gltf.scene.traverse((node) => {
    node.geometry?.dispose();
    for (const material of [node.material ?? []].flat()) {
      for (const value of Object.values(material)) if (value?.isTexture) value.dispose();
      material.dispose();
    }
  });
  return told;
};
