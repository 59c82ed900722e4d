// Runs a detector in the browser by onnxruntime-web, or asks the server that this page is from where model.json names a
// service, and draws what is found. `load` and `detect` serve other pages, too.

const LARGEST = 16e6; // pixels of an image that is looked at as it is; larger ones are reduced before

const element = (id) => document.getElementById(id);

/** Load the model of this folder: {session, about, provider}. `about` is what model.json says. */
export async function load(base = new URL(".", import.meta.url)) {
  const answer = await fetch(new URL("model.json", base));
  if (!answer.ok) throw new Error(`model.json: ${answer.status} ${answer.statusText}`);
  const about = await answer.json();
  if (about.service) return { about, provider: "server", service: new URL(about.service, base) };
  const runtime = new URL(about.runtime, base);
  const ort = await import(new URL(about.script, runtime));
  ort.env.wasm.wasmPaths = runtime.href;
  ort.env.logLevel = "error";
  const model = new URL("model.onnx", base).href;
  const device = await navigator.gpu?.requestAdapter();
  for (const provider of device ? ["webgpu", "wasm"] : ["wasm"]) {
    try {
      const session = await ort.InferenceSession.create(model, { executionProviders: [provider] });
      await run({ ort, session, about }, new Uint8Array(64 * 64 * 3), 64, 64); // a provider may fail only when it runs
      return { ort, session, about, provider };
    } catch (error) {
      if (provider === "wasm") throw error;
      console.warn(`${provider} does not run this model (${error.message}); taking WebAssembly`);
    }
  }
}

/**
 * Find objects in an image, a video or a canvas: [{bbox: [x1, y1, x2, y2], label, name, score, …columns}], best first, in
 * its own pixels. A column of points is a list of [x, y, …].
 */
export async function detect(model, source) {
  const width = source.videoWidth || source.naturalWidth || source.width;
  const height = source.videoHeight || source.naturalHeight || source.height;
  if (!width || !height) throw new Error("the image has no pixels");
  const scale = Math.min(1, Math.sqrt(LARGEST / (width * height)));
  const [columns, rows] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // what is transparent is white, as in Python
  context.fillRect(0, 0, columns, rows);
  context.drawImage(source, 0, 0, columns, rows);
  if (model.service) return ask(model, canvas, width / columns, height / rows);
  const rgba = context.getImageData(0, 0, columns, rows).data;
  const rgb = new Uint8Array(columns * rows * 3);
  for (let i = 0, j = 0; j < rgb.length; i += 4) {
    rgb[j++] = rgba[i];
    rgb[j++] = rgba[i + 1];
    rgb[j++] = rgba[i + 2];
  }
  return objects(model.about, await run(model, rgb, rows, columns), width / columns, height / rows);
}

/** Find objects by the server. */
async function ask({ about, service }, canvas, scaleX, scaleY) {
  const headers = { "Content-Type": "image/jpeg", Accept: "application/json" };
  if (key) headers["X-API-Key"] = key;
  const body = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
  const answer = await fetch(`${service}?score_threshold=0`, { method: "POST", headers, body });
  const told = await answer.json();
  if (answer.status === 401 && (key = prompt("The key of this server"))) return ask(...arguments);
  if (!answer.ok) throw new Error(told.detail ?? answer.statusText);
  const outputs = { labels: { data: [] }, scores: { data: [] }, bboxes: { data: [] } };
  for (const { name } of about.columns) outputs[name] = { data: [] };
  for (const row of told.images[0].detections) {
    const [x, y, width, height] = row.bbox;
    outputs.bboxes.data.push(x, y, x + width, y + height);
    outputs.labels.data.push(row.category_id - 1);
    outputs.scores.data.push(row.score);
    for (const { name } of about.columns) outputs[name].data.push(...[row[name]].flat());
  }
  return objects(about, outputs, scaleX, scaleY);
}

let key = null;

function run({ ort, session, about }, rgb, rows, columns) {
  return session.run({ [about.input]: new ort.Tensor("uint8", rgb, [1, rows, columns, 3]) });
}

function objects(about, outputs, scaleX, scaleY) {
  const { bboxes, labels, scores } = outputs;
  const values = (name, i, size) => Array.from(outputs[name].data.slice(i * size, (i + 1) * size), Number);
  const moved = (row) => row.map((value, axis) => (axis === 0 ? value * scaleX : axis === 1 ? value * scaleY : value));
  const found = [];
  for (let i = 0; i < scores.data.length; i++) {
    if (!(scores.data[i] > 0)) continue;
    const [x1, y1, x2, y2] = bboxes.data.slice(4 * i, 4 * i + 4);
    const label = Number(labels.data[i]);
    const row = { bbox: [x1 * scaleX, y1 * scaleY, x2 * scaleX, y2 * scaleY], label, score: scores.data[i] };
    row.name = about.class_names[label] ?? String(label);
    for (const column of about.columns) {
      const size = column.shape.reduce((product, length) => product * length, 1);
      const flat = values(column.name, i, size);
      const length = column.shape[column.shape.length - 1];
      const points = () => Array.from({ length: size / length }, (_, k) => moved(flat.slice(k * length, (k + 1) * length)));
      if (column.kind === "points") row[column.name] = points();
      else if (column.kind === "value") row[column.name] = column.shape.length ? flat : flat[0];
    }
    found.push(row);
  }
  return found;
}

/** The score from which an object is shown: the one that is asked for, else the model's own for its class. */
function limit(about, object, threshold) {
  return threshold ?? about.class_thresholds[object.name] ?? about.score_threshold;
}

/** Draw an image and its objects on a canvas, those of at least a score (null: the model's own); return those drawn. */
export function draw(about, canvas, source, found, threshold = null) {
  canvas.width = source.videoWidth || source.width;
  canvas.height = source.videoHeight || source.height;
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0);
  const unit = Math.max(1, Math.max(canvas.width, canvas.height) / 640);
  const shown = found.filter((object) => object.score >= limit(about, object, threshold));
  context.font = `${14 * unit}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  for (const object of [...shown].reverse()) {
    const [x1, y1, x2, y2] = object.bbox;
    const colour = about.colours[object.label % about.colours.length];
    context.lineWidth = 2 * unit;
    context.strokeStyle = context.fillStyle = colour;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    for (const column of about.columns.filter(({ kind }) => kind === "points")) {
      drawPoints(context, object[column.name], column.skeleton, unit);
    }
    const text = `${object.name} ${object.score.toFixed(2)}`;
    const bottom = Math.max(y1, 20 * unit);
    context.fillStyle = colour;
    context.fillRect(x1, bottom - 20 * unit, context.measureText(text).width + 8 * unit, 20 * unit);
    context.fillStyle = "#fff";
    context.fillText(text, x1 + 4 * unit, bottom - 2 * unit);
  }
  return shown;
}

function drawPoints(context, points, skeleton, unit) {
  const sure = (point) => point.length < 3 || point[2] >= 0.2;
  for (const [a, b] of skeleton?.edges ?? []) {
    if (!sure(points[a]) || !sure(points[b])) continue;
    context.beginPath();
    context.moveTo(points[a][0], points[a][1]);
    context.lineTo(points[b][0], points[b][1]);
    context.stroke();
  }
  for (const point of points.filter(sure)) {
    context.beginPath();
    context.arc(point[0], point[1], 3 * unit, 0, 2 * Math.PI);
    context.fill();
  }
}

function say(text, error = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", error);
}

async function start() {
  const model = await load();
  const { about, provider } = model;
  const threshold = element("threshold");
  let last = null; // {source, found}
  let stream = null;
  let asked = null; // a score, once the slider was moved
  const show = () => {
    element("shown").textContent = Number(threshold.value).toFixed(2);
    if (last) element("facts").textContent = facts(draw(about, element("view"), last.source, last.found, asked), last);
  };
  const look = async (source) => {
    const before = performance.now();
    const found = await detect(model, source);
    last = { source, found, milliseconds: performance.now() - before };
    show();
  };
  const photo = async (file) => {
    stopWebcam();
    try {
      await look(await createImageBitmap(file));
      say(file.name ?? "photo");
    } catch (error) {
      say(`${file.name ?? "this"} cannot be read as an image: ${error.message}`, true);
    }
  };
  const stopWebcam = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    element("webcam").textContent = "Start the webcam";
  };
  const startWebcam = async () => {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true });
      const video = Object.assign(document.createElement("video"), { srcObject: stream, muted: true, playsInline: true });
      await video.play();
      element("webcam").textContent = "Stop the webcam";
      say("webcam");
      while (stream) { // the newest frame each time: nothing queues up
        const frame = await createImageBitmap(video);
        last?.source.close?.();
        await look(frame);
        await new Promise(requestAnimationFrame);
      }
    } catch (error) {
      stopWebcam();
      say(`the webcam cannot be used: ${error.message}`, true);
    }
  };
  threshold.value = about.score_threshold;
  threshold.addEventListener("input", () => {
    asked = Number(threshold.value);
    show();
  });
  element("file").addEventListener("change", (event) => event.target.files[0] && photo(event.target.files[0]));
  element("webcam").addEventListener("click", () => (stream ? stopWebcam() : startWebcam()));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop", "paste"]) {
    document.addEventListener(kind, (event) => {
      document.body.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind !== "paste") event.preventDefault();
      const file = (event.dataTransfer ?? event.clipboardData)?.files[0];
      if (file && (kind === "drop" || kind === "paste")) photo(file);
    });
  }
  element("file").disabled = element("webcam").disabled = false;
  show();
  say(`Ready (${{ webgpu: "WebGPU", wasm: "WebAssembly", server: "on this server" }[provider]}): choose a photo, drop one here, or start the webcam.`);
}

function facts(shown, { found, milliseconds }) {
  const counts = new Map();
  for (const { name } of shown) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].map(([name, count]) => `${count} ${name}`).join(", ") || "nothing";
  return `${names}; ${found.length - shown.length} below the score; ${milliseconds.toFixed(0)} ms`;
}

if (element("status")) start().catch((error) => say(`The model cannot be loaded: ${error.message}`, true));
