  // Every state is in the data, the sliders choose which one is drawn.
  const order = ["noise", "width", "epoch"], inputs = order.map((name) => find(`input[data-axis="${name}"]`)), svg = find(".curves");
  const [, widths, epochs] = data.shape;
  const at = (i, j, k) => (i * widths + j) * epochs + k;
  const y = ({ top, height, min, max }, value) => +(top + (max - value) / (max - min) * height).toFixed(1);
  const outline = (row, points) => points.reduce(([d, pen], [x, v]) => v === null ? [d, "M"] : [`${d}${pen}${x} ${y(row, v)}`, "L"], ["", "M"])[0];
  const words = (value) => value === null ? "no value" : `${(value / data.scale).toFixed(data.digits)}${data.unit}`;

  function band(row, low, high) {
    const known = low.map((point, n) => [...point, high[n][1]]).filter(([, bottom, top]) => bottom !== null && top !== null);
    return outline(row, [...known.map(([x, bottom]) => [x, bottom]), ...known.reverse().map(([x, , top]) => [x, top])]);
  }

  function panel(side, xs, index, chosen) {
    const set = (selector, attributes) => place(find(`.${side} ${selector}`), attributes);
    const points = (values) => xs.map((x, n) => [x, values[index(n)]]);
    for (const name of data.names) {
      const row = data.rows[name];
      set(`.line.${name}`, { d: outline(row, points(data.mean[name])) });
      if (data.low[name]) set(`.band.${name}`, { d: band(row, points(data.low[name]), points(data.high[name])) });
      const value = data.mean[name][index(chosen)];
      const seen = value !== null && value >= row.min && value <= row.max;
      set(`.dot.${name}`, { cx: xs[chosen], cy: seen ? y(row, value) : -99 });
    }
    set(".cursor", { x1: xs[chosen], x2: xs[chosen] });
    const fitted = data.fit === null ? -1 : xs.findIndex((_, n) => (data.mean.train || [])[index(n)] <= data.fit);
    const end = fitted > xs.length / 2;
    set(".fit", { transform: `translate(${fitted < 0 ? -999 : xs[fitted]},0)` });
    set(".fit text", { x: end ? -5 : 5, "text-anchor": end ? "end" : "start" });
  }

  function draw() {
    const [i, j, k] = inputs.map((input) => input ? +input.value : 0);
    panel("width", data.x.width, (n) => at(i, n, k), j);
    panel("epoch", data.x.epoch, (n) => at(i, j, n), k);
    [i, j, k].forEach((n, axis) => inputs[axis] && say(inputs[axis], data.labels[order[axis]][n]));
    const shown = data.names.map((name) => `${name} ${words(data.mean[name][at(i, j, k)])}`);
    find(".readout").textContent = `${data.what} here: ${shown.join(", ")}.`;
  }

  function arrange() { // below each other on a phone
    const [width, height] = data.panel, narrow = root.clientWidth < 600;
    place(svg, { viewBox: narrow ? `0 0 ${width} ${2 * height}` : `0 0 ${2 * width} ${height}` });
    place(find("g.epoch"), { transform: narrow ? `translate(0,${height})` : `translate(${width},0)` });
  }

  inputs.forEach((input, axis) => {
    if (!input) return;
    input.addEventListener("input", draw);
    if (axis) pointed(find(`g.${order[axis]}`), (x) => {
      input.value = nearest(data.x[order[axis]], x);
      draw();
    });
  });
  new ResizeObserver(arrange).observe(root);
  arrange();
  draw();
