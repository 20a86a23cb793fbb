  // The data hold each weight's shade and the last level at which it is kept.
  const input = find("input"), curves = find(".curves"), dots = curves.querySelectorAll(".dot"), rows = all(".row"), feet = all(".kept");
  const layers = data.layers.map(({ kept, shades, last }, n) => ({
    kept, shades: new Int8Array(bytes(shades).buffer), last: bytes(last), canvas: all("canvas")[n],
  }));
  const x = (value) => value === null ? -99 : +(data.left + (value - data.min) / (data.max - data.min) * data.room).toFixed(1);
  const y = (value) => +(data.top + (data.max - value) / (data.max - data.min) * data.height).toFixed(1);
  const number = (value) => (value / data.scale).toFixed(data.digits);
  const words = ([mean, low, high], to) => mean === null ? "no value" : `${number(mean)}${data.unit}` + (low === null ? "" : ` (${number(low)}${to}${number(high)})`);
  const colour = (kind) => getComputedStyle(find(`i.${kind}`)).color.match(/[\d.]+/g).slice(0, 3).map(Number);

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
    say(input, label);
    paint(level);
    layers.forEach(({ kept }, n) => { feet[n].textContent = kept[level]; });
    place(find(".cursor"), { x1: data.x[level], x2: data.x[level] });
    const said = data.arms.map(({ name, at }, n) => {
      const found = at.map((values) => values[level]), [mean, low, high] = found;
      place(dots[n], { cx: mean === null ? -99 : data.x[level], cy: mean === null ? 0 : y(mean) });
      place(rows[n].querySelector(".dot"), { cx: x(mean) });
      place(rows[n].querySelector(".ci"), { x1: x(low), x2: x(high) });
      rows[n].querySelector(".value").textContent = words(found, "–");
      return `${name} ${words(found, " to ")}`;
    });
    find(".said").textContent = `With ${label} of the weights: ${said.join(", ")}.`;
  }

  input.addEventListener("input", draw);
  pointed(curves, (at) => {
    input.value = nearest(data.x, at);
    draw();
  });
  // Canvases do not follow the theme by themselves: that of the report, of JupyterLab, of the system.
  const theme = new MutationObserver(draw);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  theme.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
