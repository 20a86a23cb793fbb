// Static twin of the mask explorer: DATA holds each weight's shade and the last level at which it is kept.
((root, data) => {
  "use strict";
  const input = root.querySelector("input"), output = root.querySelector("output");
  const curves = root.querySelector(".curves"), dots = curves.querySelectorAll(".dot"), rows = root.querySelectorAll(".row");
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const layers = data.layers.map((layer, n) => ({
    kept: layer.kept,
    shades: new Int8Array(bytes(layer.shades).buffer),
    last: bytes(layer.last),
    canvas: root.querySelectorAll("canvas")[n],
    foot: root.querySelectorAll(".kept")[n],
  }));
  const x = (value) => value === null ? -99 : +(data.left + (value - data.min) / (data.max - data.min) * data.room).toFixed(1);
  const y = (value) => +(data.top + (data.max - value) / (data.max - data.min) * data.height).toFixed(1);
  const number = (value) => (value / data.scale).toFixed(data.digits);
  const words = ([mean, low, high], to) => mean === null ? "no value" : `${number(mean)}${data.unit}` + (low === null ? "" : ` (${number(low)}${to}${number(high)})`);
  const place = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  const colour = (kind) => getComputedStyle(root.querySelector(`i.${kind}`)).color.match(/[\d.]+/g).slice(0, 3).map(Number);

  function paint(level) {
    const [negative, positive] = ["negative", "positive"].map(colour);
    for (const { canvas, shades, last } of layers) {
      const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
      shades.forEach((shade, n) => {
        if (last[n] > level) image.data.set([...(shade < 0 ? negative : positive), 2 * Math.abs(shade)], 4 * n);
      });
      context.putImageData(image, 0, 0);
    }
  }

  function draw() {
    const level = +input.value, label = data.labels[level];
    output.textContent = label;
    input.setAttribute("aria-valuetext", label);
    paint(level);
    layers.forEach(({ foot, kept }) => { foot.textContent = kept[level]; });
    place(curves.querySelector(".cursor"), { x1: data.x[level], x2: data.x[level] });
    const said = data.arms.map(({ name, at }, n) => {
      const found = at.map((values) => values[level]), [mean, low, high] = found;
      place(dots[n], { cx: mean === null ? -99 : data.x[level], cy: mean === null ? 0 : y(mean) });
      place(rows[n].querySelector(".dot"), { cx: x(mean) });
      place(rows[n].querySelector(".ci"), { x1: x(low), x2: x(high) });
      rows[n].querySelector(".value").textContent = words(found, "–");
      return `${name} ${words(found, " to ")}`;
    });
    root.querySelector(".readout").textContent = `With ${label} of the weights: ${said.join(", ")}.`;
  }

  function follow(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(curves.getScreenCTM().inverse()).x;
    const away = data.x.map((place) => Math.abs(place - at));
    input.value = away.indexOf(Math.min(...away));
    draw();
  }

  input.addEventListener("input", draw);
  curves.addEventListener("pointerdown", follow);
  curves.addEventListener("pointermove", follow);
  // Canvases do not follow the theme by themselves.
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})(document.getElementById("ID"), DATA);
