// The page's side of Review (hwrlib.audit.review): one suspect at a time, decided with a button or a key.

const KEYS = { a: "accept", r: "refuse", d: "drop", u: "undo", ArrowLeft: "back", ArrowRight: "next" };

function render({ model, el }) {
  el.classList.add("hwr-widget", "hwr-review");
  el.tabIndex = 0; // so that it gets keys
  el.innerHTML = `
    <div class="hwr-about hwr-place"></div>
    <img class="hwr-picture" alt="the line">
    <dl><dt>label</dt><dd class="hwr-label"></dd><dt>reading</dt><dd><input class="hwr-reading" spellcheck="false"></dd></dl>
    <div class="hwr-about hwr-message" role="status"></div>
    <div class="hwr-tools">
      <button data-action="accept" title="The reading is right (correct it first if necessary)">Accept <kbd>a</kbd></button>
      <button data-action="refuse" title="The label is right">Refuse <kbd>r</kbd></button>
      <button data-action="drop" title="Neither is certain: exclude the line">Drop <kbd>d</kbd></button>
      <button data-action="back" title="The suspect before"><kbd>←</kbd></button>
      <button data-action="next" title="The next suspect"><kbd>→</kbd></button>
      <button data-action="undo" title="Take the last decision back">Undo <kbd>u</kbd></button>
    </div>`;
  const find = (name) => el.querySelector(".hwr-" + name), reading = find("reading");
  let address = null; // of the picture

  const send = (action) => model.send({ action, reading: reading.value, number: model.get("shown").number });

  function draw() {
    const shown = model.get("shown");
    find("place").textContent = shown.place;
    find("label").textContent = shown.label;
    find("message").textContent = shown.message;
    if (el.dataset.number !== String(shown.number)) reading.value = shown.reading;
    el.querySelector("[data-action=undo]").disabled = !shown.undoable;
    el.dataset.number = shown.number;
    el.dataset.name = shown.name;
  }

  function drawPicture() {
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
    find("picture").src = address;
  }

  for (const button of el.querySelectorAll("button"))
    button.addEventListener("click", () => { send(button.dataset.action); el.focus({ preventScroll: true }); });
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === reading;
    if (typing && event.key === "Escape") el.focus({ preventScroll: true });
    else if (typing && event.key === "Enter") { send("accept"); el.focus({ preventScroll: true }); }
    else if (!typing && KEYS[event.key]) send(KEYS[event.key]);
    else { if (typing) event.stopPropagation(); return; } // JupyterLab has keys of its own
    event.preventDefault();
    event.stopPropagation();
  });

  const listeners = { "change:shown": draw, "change:picture": drawPicture };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  draw();
  drawPicture();
  return () => {
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
    URL.revokeObjectURL(address);
  };
}

export default { render };
