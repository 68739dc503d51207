// The page's side of WritingPad and Collector (hwrlib.live): pointer events become strokes, and what the kernel has read is drawn under them.

const STRIP = 58; // px, height of the strip in which the frames are drawn
const PATIENCE = 5000; // ms without an answer from the kernel before the page says so

function render({ model, el }) {
  const width = model.get("width"), height = model.get("height");
  el.classList.add("hwr-widget", "hwr-pad");
  const collects = model.get("prompt") !== undefined; // a Collector, which shows what to write
  el.innerHTML = `
    <div class="hwr-ask"><span>Write</span> <b class="hwr-prompt"></b> <span class="hwr-progress"></span></div>
    <div class="hwr-paper">
      <canvas class="hwr-ink" tabindex="0" aria-label="Pad to write on"></canvas>
      <canvas class="hwr-frames" aria-hidden="true"></canvas>
      <div class="hwr-hint">Write here</div>
    </div>
    <div class="hwr-text" aria-live="polite"></div>
    <div class="hwr-about"></div>
    <div class="hwr-tools">
      <button class="hwr-save" title="Save the word and go on (Enter)">Save</button>
      <button class="hwr-skip" title="Leave this word out for now">Skip</button>
      <button class="hwr-back" title="Remove the word that was saved last">Take back</button>
      <button class="hwr-undo" title="Remove the last stroke (Ctrl+Z)">Undo</button>
      <button class="hwr-clear" title="Remove all ink (Delete)">Clear</button>
      <label>Pen <input class="hwr-pen" type="range" min="1" max="16" step="1"></label>
    </div>`;
  const find = (name) => el.querySelector(".hwr-" + name);
  const ink = sized(find("ink"), width, height), strip = sized(find("frames"), width, STRIP);
  const state = stateOf(model);
  let stroke = null; // the one that is being drawn

  const place = (event) => {
    const box = find("ink").getBoundingClientRect();
    const x = (event.clientX - box.left) * width / box.width, y = (event.clientY - box.top) * height / box.height;
    return [clamp(x, width), clamp(y, height)];
  };
  const start = (event) => {
    if (!event.isPrimary || event.button !== 0 || stroke) return;
    find("ink").setPointerCapture(event.pointerId);
    stroke = [place(event)];
    drawInk();
  };
  const move = (event) => {
    if (!stroke || !event.isPrimary) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) stroke.push(place(each));
    drawInk();
  };
  const end = (event) => {
    if (!stroke || !event.isPrimary) return;
    if (stroke.length === 1) stroke.push(stroke[0]); // a dot
    const done = stroke;
    stroke = null;
    state.change([...state.strokes, done]);
  };
  const undo = () => state.change(state.strokes.slice(0, -1));
  const clear = () => state.change([]);

  function drawInk() {
    ink.clearRect(0, 0, width, height);
    ink.lineWidth = model.get("pen");
    ink.lineCap = ink.lineJoin = "round";
    ink.strokeStyle = "#111";
    const all = stroke ? [...state.strokes, stroke] : state.strokes;
    for (const points of all) {
      ink.beginPath();
      points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
      if (points.length === 1) ink.lineTo(...points[0]);
      ink.stroke();
    }
    find("hint").style.display = all.length ? "none" : "";
    find("undo").disabled = find("clear").disabled = !all.length;
    find("pen").value = model.get("pen");
  }

  // Every frame is a bar under its ink: as high as its probability; letters are coloured, blanks grey.
  function drawFrames() {
    strip.clearRect(0, 0, width, STRIP);
    const frames = model.get("shown").frames ?? [], room = STRIP - 20;
    strip.textAlign = "center";
    strip.font = "14px sans-serif";
    frames.forEach(([left, right, text, probability], i) => {
      strip.fillStyle = text ? "#1f6fb5" : "#d5d5d5";
      strip.fillRect(left, room * (1 - probability), Math.max(right - left - 0.5, 0.5), room * probability);
      const repeats = i && frames[i - 1][2] === text;
      if (text && !repeats) {
        strip.fillStyle = "#111";
        strip.fillText(text === " " ? "␣" : text, (left + right) / 2, STRIP - 4);
      }
    });
  }

  function drawPrompt() {
    const prompt = model.get("prompt");
    find("prompt").textContent = prompt || "nothing more: all is written";
    find("progress").textContent = model.get("progress");
    find("save").disabled = find("skip").disabled = !prompt;
    el.dataset.prompt = prompt;
  }

  function drawReading() {
    const shown = model.get("shown");
    if (shown.change !== state.number) return; // of older ink: the next reading is on its way
    find("text").textContent = shown.text ?? "";
    find("about").textContent = shown.error ?? (shown.text === undefined ? "" : about(shown));
    el.dataset.text = shown.text ?? "";
    el.dataset.strokes = state.strokes.length;
    drawFrames();
    requestAnimationFrame(() => { el.dataset.milliseconds = Math.round(performance.now() - state.since); });
  }

  function drawSilence() {
    find("about").textContent = "The kernel does not answer: is it busy, or was it stopped?";
  }

  const paper = find("ink");
  paper.addEventListener("pointerdown", start);
  paper.addEventListener("pointermove", move);
  paper.addEventListener("pointerup", end);
  paper.addEventListener("pointercancel", end);
  find("undo").addEventListener("click", undo);
  find("clear").addEventListener("click", clear);
  find("pen").addEventListener("input", (event) => { model.set("pen", Number(event.target.value)); model.save_changes(); });
  el.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && collects) state.send("save");
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else if (event.key === "Delete" || event.key === "Escape") clear();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  if (collects) {
    for (const [name, action] of [["save", "save"], ["skip", "skip"], ["back", "take back"]])
      find(name).addEventListener("click", () => { state.send(action); paper.focus(); });
    drawPrompt();
  } else for (const name of ["ask", "save", "skip", "back"]) find(name).remove();
  const listeners = { "change:pen": drawInk, "change:shown": drawReading };
  if (collects) Object.assign(listeners, { "change:prompt": drawPrompt, "change:progress": drawPrompt });
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  const view = { drawInk, drawSilence };
  state.views.add(view);
  drawInk();
  drawReading();
  return () => {
    state.views.delete(view);
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
  };
}

// The ink of a pad, shared by its views on the page. Every change has a number. One message at a time is on its way to the
// kernel: strokes that are faster than it reads are sent together when it has answered.
const states = new WeakMap();

function stateOf(model) {
  if (states.has(model)) return states.get(model);
  const state = { ...model.get("ink"), views: new Set(), since: 0 };
  state.number = state.change;
  let sent = state.number, timer = null;
  const draw = (what) => state.views.forEach((view) => view[what]());
  state.send = (action) => {
    sent = state.number;
    clearTimeout(timer);
    timer = setTimeout(() => { timer = null; draw("drawSilence"); }, PATIENCE);
    model.send({ action, change: state.number, strokes: state.strokes });
  };
  state.change = (strokes) => {
    state.strokes = strokes;
    state.number += 1;
    state.since = performance.now();
    if (!timer) state.send("read");
    draw("drawInk");
  };
  model.on("change:ink", () => { // by the kernel, or on another page
    const ink = model.get("ink");
    if (ink.change <= state.number) return;
    state.strokes = ink.strokes;
    state.number = sent = ink.change;
    draw("drawInk");
  });
  model.on("change:shown", () => {
    if (model.get("shown").change < sent) return;
    clearTimeout(timer);
    timer = null;
    if (state.number > sent) state.send("read");
  });
  states.set(model, state);
  return state;
}

// A canvas of this size in CSS px, sharp on screens of any density; returns its context.
function sized(canvas, width, height) {
  const density = window.devicePixelRatio || 1;
  canvas.width = width * density;
  canvas.height = height * density;
  canvas.style.width = width + "px";
  canvas.style.aspectRatio = `${width} / ${height}`;
  const context = canvas.getContext("2d");
  context.scale(density, density);
  return context;
}

const clamp = (value, limit) => Math.round(Math.min(Math.max(value, 0), limit) * 10) / 10;

function about(shown) {
  const sure = `${Math.round(100 * shown.confidence)} % sure`;
  const others = shown.alternatives.map(([text, probability]) => `${text} ${Math.round(100 * probability)} %`);
  return others.length ? `${sure} · or ${others.join(", ")}` : sure;
}

export default { render };
