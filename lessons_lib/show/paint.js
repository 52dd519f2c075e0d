// The canvas of `Painter`: a picture, and cells of it that are painted or not.
const SIDE = 360;

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const image = new Image();
  let heat = null;
  canvas.width = canvas.height = SIDE;
  canvas.style.touchAction = "none";
  canvas.style.cursor = "crosshair";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The picture to paint on. Hold shift to erase.");

  function draw() {
    const cells = model.get("cells"), step = SIDE / cells;
    pen.imageSmoothingEnabled = false;
    if (image.complete && image.naturalWidth) pen.drawImage(image, 0, 0, SIDE, SIDE);
    pen.fillStyle = "rgba(230, 159, 0, 0.55)";
    (heat || model.get("heat")).forEach((value, k) => {
      if (value) pen.fillRect((k % cells) * step, Math.floor(k / cells) * step, step, step);
    });
  }

  function put(event) {
    const cells = model.get("cells"), reach = model.get("brush"), box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * cells - 0.5;
    const y = ((event.clientY - box.top) / box.height) * cells - 0.5;
    for (let row = 0; row < cells; row++)
      for (let column = 0; column < cells; column++)
        if ((column - x) ** 2 + (row - y) ** 2 <= reach ** 2) heat[row * cells + column] = event.shiftKey ? 0 : 1;
    draw();
  }

  function lift() {
    if (heat === null) return;
    model.set("heat", heat);
    heat = null;
    model.save_changes();
  }

  canvas.addEventListener("pointerdown", (event) => {
    const cells = model.get("cells");
    heat = [...model.get("heat")];
    if (heat.length !== cells * cells) heat = new Array(cells * cells).fill(0);
    canvas.setPointerCapture(event.pointerId);
    put(event);
  });
  canvas.addEventListener("pointermove", (event) => heat !== null && put(event));
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  model.on("change:picture", () => { image.src = model.get("picture"); });
  model.on("change:heat", draw);
  image.onload = draw;
  image.src = model.get("picture");
  el.append(canvas);
}

export default { render };
