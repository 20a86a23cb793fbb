  // The data hold both curves of every run, and what is said of it; the sliders choose the run and the step.
  const inputs = ["rate", "width", "step"].map((axis) => find(`input[data-axis="${axis}"]`));
  const [, widths, count] = data.shape, middle = (data.ends[0] + data.ends[1]) / 2;

  function unpacked(text) { // the upper 24 bits of each float of 32 bits
    const triples = bytes(text), view = new DataView(new ArrayBuffer(4));
    return Array.from({ length: triples.length / 3 }, (_, n) => {
      for (let k = 0; k < 3; k++) view.setUint8(k, triples[3 * n + k]);
      return view.getFloat32(0);
    });
  }

  const panels = Object.entries(data.curves).map(([name, packed]) => {
    const { top, height, low, high, log } = data.rows[name], scale = log ? (value) => Math.log10(Math.max(value, 1e-38)) : (value) => value;
    return {
      svg: find(`.${name}`),
      curves: Object.fromEntries(Object.entries(packed).map(([kind, text]) => [kind, unpacked(text)])),
      y: (value) => +(top + (scale(high) - scale(value)) / (scale(high) - scale(low)) * height).toFixed(1),
      inside: (value) => value >= low && value <= high, // not NaN
    };
  });

  function number(value) {
    const size = Math.abs(value);
    if (size && !(size >= 1e-3 && size < 1e6)) {
      const [digits, power] = value.toExponential(2).split("e");
      return `${digits}\u00a0×\u00a010${(+power).toString().replace(/./g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)])}`;
    }
    return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size || 1))));
  }

  const outline = (points) => points.reduce(([d, pen], [x, y]) => isNaN(y) ? [d, "M"] : [`${d}${pen}${x} ${y}`, "L"], ["", "M"])[0];

  function onset(svg, at, mean, y, inside) {
    const text = svg.querySelector(".onset text"), ring = svg.querySelector(".ring"), x = at < 0 ? -999 : data.x[at], end = x > middle;
    place(svg.querySelector(".onset"), { transform: `translate(${x},0)` });
    if (text) place(text, { x: end ? -5 : 5, "text-anchor": end ? "end" : "start" });
    else place(ring, { cy: at >= 0 && inside(mean[at]) ? y(mean[at]) : -99 });
  }

  function limit(svg, i, at, line, { top, height }) { // its name stands where the curve is not
    const text = svg.querySelector(".limit text"), early = at >= 0 && data.x[at] < middle;
    const below = early ? line < top + height - 24 : line < top + 20, [left, right] = data.ends;
    place(svg.querySelector(".limit"), { transform: `translate(0,${line})` });
    place(text, { x: early ? right - 4 : left + 6, y: below ? 16 : -7, "text-anchor": early ? "end" : "start" });
    text.textContent = data.lines[i];
  }

  function panel({ svg, curves, y, inside }, i, run, k) {
    const set = (selector, attributes) => place(svg.querySelector(selector), attributes);
    const [mean, low, high] = ["mean", "low", "high"].map((kind) => curves[kind] && curves[kind].slice(run * count, (run + 1) * count));
    set(".curve", { d: outline(mean.map((value, n) => [data.x[n], y(value)])) });
    if (low) {
      const known = data.x.map((x, n) => [x, y(low[n]), y(high[n])]).filter((row) => !row.some(isNaN));
      set(".band", { d: outline([...known.map(([x, bottom]) => [x, bottom]), ...known.reverse().map(([x, , above]) => [x, above])]) });
    }
    const seen = inside(mean[k]);
    set(".dot", { cx: seen ? data.x[k] : -99, cy: seen ? y(mean[k]) : -99 });
    set(".cursor", { x1: data.x[k], x2: data.x[k] });
    onset(svg, data.crossings[run], mean, y, inside);
    if (svg.matches(".sharpness")) limit(svg, i, data.crossings[run], y(2 / data.rates[i]), data.rows.sharpness);
    return mean[k];
  }

  function tell(selector, words) { // what has not changed is not read out again
    if (find(selector).textContent !== words) find(selector).textContent = words;
  }

  function draw() {
    const [i, j, k] = inputs.map((input) => input ? +input.value : 0), run = i * widths + j;
    const [loss, sharpness] = panels.map((shown) => panel(shown, i, run, k));
    [i, j, k].forEach((n, axis) => inputs[axis] && say(inputs[axis], data.labels[axis][n]));
    tell(".course", data.sentences[run]);
    const known = `loss ${number(loss)}, sharpness λ\u00a0=\u00a0${number(sharpness)}, η·λ/2\u00a0=\u00a0${number(data.rates[i] * sharpness / 2)}`;
    tell(".readout", `Step ${data.labels[2][k]}: ${isNaN(loss) ? "no values" : known}.`);
  }

  inputs.forEach((input) => input && input.addEventListener("input", draw));
  panels.forEach(({ svg }) => pointed(svg, (x) => {
    inputs[2].value = nearest(data.x, x);
    draw();
  }));
  draw();
