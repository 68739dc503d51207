// The page's side of PhotoReader (hwrlib.live): a photo is scaled down here and sent; a rectangle around a line has it read, a button the whole page.

const SHOWN_WIDTH = 900; // px, at most, on the page

function render({ model, el }) {
  el.classList.add("hwr-widget", "hwr-photo");
  el.tabIndex = 0; // so that it can be pasted into
  el.innerHTML = `
    <div class="hwr-place">
      <canvas class="hwr-canvas" aria-label="Photo: draw a rectangle around a line to read it"></canvas>
      <div class="hwr-hint">Drop a photo of handwriting here, paste one (click here first), or choose one below.</div>
    </div>
    <div class="hwr-about" role="status"></div>
    <ol class="hwr-lines" aria-live="polite"></ol>
    <div class="hwr-tools">
      <input class="hwr-file" type="file" accept="image/*" hidden>
      <input class="hwr-camera" type="file" accept="image/*" capture="environment" hidden>
      <button class="hwr-choose">Choose a photo</button>
      <button class="hwr-take">Take a photo</button>
      <button class="hwr-page" title="Find and read all lines of the page">Read the page</button>
      <button class="hwr-undo" title="Remove the last mark (Ctrl+Z)">Undo</button>
      <button class="hwr-clear" title="Remove all marks (Delete)">Clear</button>
      <button class="hwr-copy" title="Copy the text">Copy the text</button>
    </div>`;
  const find = (name) => el.querySelector(".hwr-" + name);
  const canvas = find("canvas"), context = canvas.getContext("2d");
  let photo = null, box = null; // the picture, and the rectangle that is being drawn

  const say = (text) => { find("about").textContent = text; };

  async function send(file) {
    if (!file) return;
    say("");
    try {
      const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }); // of an animation, the first picture
      const scale = Math.min(1, model.get("max_side") / Math.max(bitmap.width, bitmap.height));
      const small = new OffscreenCanvas(Math.max(1, bitmap.width * scale), Math.max(1, bitmap.height * scale));
      const paper = small.getContext("2d");
      paper.fillStyle = "#fff"; // under what is transparent
      paper.fillRect(0, 0, small.width, small.height);
      paper.imageSmoothingQuality = "high";
      paper.drawImage(bitmap, 0, 0, small.width, small.height);
      const blob = await small.convertToBlob({ type: "image/jpeg", quality: 0.92 });
      model.send({ action: "open" }, undefined, [await blob.arrayBuffer()]);
      say("Reading ...");
    } catch (error) {
      say(`${file.name}: this browser cannot show it (${file.type || "unknown type"}); save it as JPEG or PNG`);
    }
  }

  async function drawPicture() {
    const bytes = model.get("picture");
    photo = bytes?.byteLength ? await createImageBitmap(new Blob([bytes], { type: "image/jpeg" })) : null;
    find("hint").style.display = photo ? "none" : "";
    canvas.style.display = photo ? "" : "none";
    if (photo) {
      canvas.width = photo.width;
      canvas.height = photo.height;
      canvas.style.width = Math.min(photo.width, SHOWN_WIDTH) + "px";
    }
    draw();
  }

  function draw() {
    const { lines = [], error = "", number = 0 } = model.get("shown");
    say(error || (photo && !lines.length ? "Draw a rectangle around a line of writing, or read the whole page." : ""));
    find("lines").replaceChildren(...lines.map(({ text, confidence }) => {
      const item = document.createElement("li"), sure = document.createElement("small");
      sure.textContent = ` ${Math.round(100 * confidence)} % sure`;
      item.append(text || "(nothing)", sure);
      return item;
    }));
    find("page").disabled = !model.get("picture")?.byteLength;
    find("undo").disabled = find("clear").disabled = find("copy").disabled = !lines.length;
    el.dataset.number = number;
    el.dataset.text = lines.map((line) => line.text).join("\n");
    if (!photo) return;
    context.drawImage(photo, 0, 0);
    const unit = canvas.width / (parseFloat(canvas.style.width) || canvas.width); // px of the photo per px of the page
    context.font = `${14 * unit}px sans-serif`;
    context.lineWidth = 2 * unit;
    for (const [i, { box: [left, top, right, bottom] }] of lines.entries()) {
      context.strokeStyle = context.fillStyle = "#1f6fb5";
      context.strokeRect(left, top, right - left, bottom - top);
      context.fillText(i + 1, left + 3 * unit, top + 15 * unit);
    }
    if (box) {
      context.strokeStyle = "#d06020";
      context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    }
  }

  const place = (event) => {
    const area = canvas.getBoundingClientRect();
    return [(event.clientX - area.left) * canvas.width / area.width, (event.clientY - area.top) * canvas.height / area.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    box = [...place(event), ...place(event)];
    el.focus({ preventScroll: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!box || !event.isPrimary) return;
    box = [box[0], box[1], ...place(event)];
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!box || !event.isPrimary) return;
    model.send({ action: "mark", box });
    box = null;
    draw();
  });
  canvas.addEventListener("pointercancel", () => { box = null; draw(); });

  const area = find("place");
  for (const name of ["dragenter", "dragover"])
    area.addEventListener(name, (event) => { event.preventDefault(); event.stopPropagation(); area.classList.add("hwr-over"); });
  area.addEventListener("dragleave", () => area.classList.remove("hwr-over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    area.classList.remove("hwr-over");
    send(event.dataTransfer.files[0]);
  });
  el.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    send(file);
  });
  el.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) model.send({ action: "undo" });
    else if (event.key === "Delete" || event.key === "Escape") model.send({ action: "clear" });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  for (const [button, input] of [["choose", "file"], ["take", "camera"]]) {
    find(button).addEventListener("click", () => find(input).click());
    find(input).addEventListener("change", (event) => { send(event.target.files[0]); event.target.value = ""; });
  }
  for (const action of ["undo", "clear"]) find(action).addEventListener("click", () => model.send({ action }));
  find("page").addEventListener("click", () => { say("Reading ..."); model.send({ action: "page" }); });
  find("copy").addEventListener("click", () => navigator.clipboard?.writeText(el.dataset.text));

  const listeners = { "change:picture": drawPicture, "change:shown": draw };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  drawPicture();
  return () => { for (const [name, listener] of Object.entries(listeners)) model.off(name, listener); };
}

export default { render };
