// Static twin of the explorer: every state is in DATA, the sliders choose which one is drawn.
((root, data) => {
  "use strict";
  const order = ["noise", "width", "epoch"];
  const inputs = order.map((name) => root.querySelector(`input[data-axis="${name}"]`));
  const svg = root.querySelector("svg");
  const [, widths, epochs] = data.shape;
  const at = (i, j, k) => (i * widths + j) * epochs + k;
  const y = (value) => +(data.top + (data.max - value) / (data.max - data.min) * data.height).toFixed(1);
  const outline = (points) => points.reduce(([d, pen], [x, v]) => v === null ? [d, "M"] : [`${d}${pen}${x} ${y(v)}`, "L"], ["", "M"])[0];
  const words = (value) => value === null ? "no value" : `${(value / data.scale).toFixed(data.digits)}${data.unit}`;

  function band(low, high) {
    const known = low.map((point, n) => [...point, high[n][1]]).filter((p) => p[1] !== null && p[2] !== null);
    const up = known.map(([x, , v]) => `${x} ${y(v)}`), down = known.reverse().map(([x, v]) => `${x} ${y(v)}`);
    return known.length ? `M${[...up, ...down].join("L")}Z` : "";
  }

  function panel(side, xs, index, chosen) {
    const group = svg.querySelector(`.${side}`);
    const points = (values) => xs.map((x, n) => [x, values[index(n)]]);
    const place = (selector, attributes) => {
      const element = group.querySelector(selector);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    };
    for (const name of data.names) {
      place(`.curve.${name}`, { d: outline(points(data.mean[name])) });
      if (data.low[name]) place(`.band.${name}`, { d: band(points(data.low[name]), points(data.high[name])) });
      const value = data.mean[name][index(chosen)];
      place(`.dot.${name}`, { cx: xs[chosen], cy: value === null ? -99 : y(value) });
    }
    place(".cursor", { x1: xs[chosen], x2: xs[chosen] });
    const fitted = data.fit === null ? -1 : xs.findIndex((_, n) => (data.mean.train || [])[index(n)] <= data.fit);
    const end = fitted > xs.length / 2;
    place(".fit", { transform: `translate(${fitted < 0 ? -999 : xs[fitted]},0)` });
    place(".fit text", { x: end ? -5 : 5, "text-anchor": end ? "end" : "start" });
  }

  function draw() {
    const [i, j, k] = inputs.map((input) => input ? +input.value : 0);
    panel("left", data.x.width, (n) => at(i, n, k), j);
    panel("right", data.x.epoch, (n) => at(i, j, n), k);
    const labels = [i, j, k].map((n, axis) => data.labels[order[axis]][n]);
    inputs.forEach((input, axis) => {
      if (!input) return;
      input.setAttribute("aria-valuetext", labels[axis]);
      input.parentElement.querySelector("output").textContent = labels[axis];
    });
    const shown = data.names.map((name) => `${name} ${words(data.mean[name][at(i, j, k)])}`);
    root.querySelector(".readout").textContent = `${data.what} here: ${shown.join(", ")}.`;
  }

  function follow(event) {
    const group = event.target.closest(".left, .right");
    if (!group || (event.type === "pointermove" && !event.buttons)) return;
    const name = group.classList.contains("left") ? "width" : "epoch";
    const input = inputs[order.indexOf(name)], x = new DOMPoint(event.clientX, event.clientY).matrixTransform(group.getScreenCTM().inverse()).x;
    if (!input) return;
    const away = data.x[name].map((place) => Math.abs(place - x));
    input.value = away.indexOf(Math.min(...away));
    draw();
  }

  function arrange() {
    const narrow = root.clientWidth < 600;
    svg.setAttribute("viewBox", narrow ? `0 0 ${data.panel[0]} ${2 * data.panel[1]}` : `0 0 ${2 * data.panel[0]} ${data.panel[1]}`);
    svg.querySelector(".right").setAttribute("transform", narrow ? `translate(0,${data.panel[1]})` : `translate(${data.panel[0]},0)`);
  }

  inputs.forEach((input) => input && input.addEventListener("input", draw));
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("pointermove", follow);
  new ResizeObserver(arrange).observe(root);
  arrange();
  draw();
})(document.getElementById("ID"), DATA);
