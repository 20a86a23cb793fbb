// Static twin of the signal explorer: DATA holds Gaussian means over q and c, maps and fixed points are computed here.
((root, data) => {
  "use strict";
  const [left, top, across, down] = data.box;
  const find = (selector) => root.querySelector(selector), all = (selector) => [...root.querySelectorAll(selector)];
  const radios = all("[type=radio]"), inputs = ["w", "b", "d"].map((axis) => find(`[data-axis=${axis}]`)), values = [data.w, data.b, data.d];
  const place = (selector, attributes) => Object.entries(attributes).forEach(([name, value]) => find(selector).setAttribute(name, value));
  const plain = (value) => `${+value.toPrecision(6)}`;

  // Theory, as in signal_explorer.py

  const kinds = new Map(Object.entries(data.kinds).map(([name, kind]) => {
    const bytes = Uint8Array.from(atob(kind.chord), (letter) => letter.charCodeAt(0));
    const whole = (at) => bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2];
    const columns = kind.c.map((_, k) => kind.q.map((_, n) => whole(3 * (n * kind.c.length + k)) * kind.unit));
    return [name, { ...kind, chord: columns, logs: kind.q.map(Math.log), angles: kind.c.map((c) => -Math.acos(c)), last: kind.q.length - 1 }];
  }));

  function cubic(nodes, x) {
    const above = nodes.findIndex((node) => node >= x);
    const first = Math.min(Math.max((above < 0 ? nodes.length : above) - 2, 0), nodes.length - 4), four = nodes.slice(first, first + 4);
    return four.map((node, k) => [first + k, four.reduce((weight, other, j) => j === k ? weight : weight * (x - other) / (node - other), 1)]);
  }

  const mix = (weights, known) => weights.reduce((sum, [n, weight]) => sum + weight * known[n], 0);
  const around = (kind, q) => cubic(kind.logs, Math.log(Math.min(Math.max(q, kind.q[0]), kind.q[kind.last])));
  const up = (kind, w, b) => (q) => w * w * q * mix(around(kind, q), kind.ratio) + b * b;
  const chordAt = (kind, chord, c) => mix(cubic(kind.angles, -Math.acos(c)), chord);
  const correlate = (kind, state) => (c) => 1 - (1 - c) * chordAt(kind, state.chord, c);

  function halve(low, high, between, isBelow) {
    for (let n = 0; n < 60; n++) {
      const middle = between(low, high);
      if (isBelow(middle)) low = middle;
      else high = middle;
    }
    return low;
  }

  function fixedPoint(kind, w, b) {
    const [low, high] = [kind.q[0], kind.q[kind.last]], [first, last] = [0, kind.last].map((n) => w * w * kind.ratio[n]), next = up(kind, w, b);
    if (b === 0 && Math.max(Math.abs(first - 1), Math.abs(last - 1)) < 1e-9) return NaN;
    if (next(high) > high) return last < 1 - 1e-9 ? b * b / (1 - last) : Infinity;
    if (next(low) <= low) return b * b / (1 - first);
    return halve(low, high, (one, two) => Math.sqrt(one * two), (q) => next(q) > q);
  }

  function limit(kind, chi, chord) { // c*, and the slope there
    if (chi <= 1 + 1e-9) return [1, chi];
    const at = (c) => chordAt(kind, chord, c);
    const c = at(0) >= 1 ? 0 : halve(0, 1, (low, high) => (low + high) / 2, (middle) => at(middle) < 1);
    const step = Math.min(0.05 * (1 - c), 0.01), low = Math.max(c - step, 0), high = c + step;
    return [c, ((1 - low) * at(low) - (1 - high) * at(high)) / (high - low)];
  }

  function stateOf(kind, w, b) {
    const q = fixedPoint(kind, w, b), weights = around(kind, isNaN(q) ? 1 : q), chi = w * w * mix(weights, kind.gain);
    const share = q > 0 && q < Infinity ? 1 - b * b / q : 1, chord = kind.chord.map((known) => share * mix(weights, known));
    const grows = q === Infinity && chi > 1 + 1e-9, [c, slope] = grows ? [NaN, NaN] : limit(kind, chi, chord);
    const size = Math.abs(Math.log(slope)), phase = chi < 1 - data.near ? "ordered" : chi > 1 + data.near ? "chaotic" : "edge";
    return { q, chi, chord, c, phase, depth: size < 1e-9 ? Infinity : 1 / size };
  }

  function cobweb(step, start, reach) {
    const places = [[start, 0]];
    for (let n = 0, x = start; n < data.cobweb; n++) {
      const y = step(x);
      places.push([x, y], [y, y]);
      if (Math.abs(y - x) < 0.003 * reach || y > 2 * reach) break;
      x = y;
    }
    return places;
  }

  function reachFor(dense, { q }) {
    if (!(q >= 0 && q < Infinity)) return 2;
    const wanted = dense.q > 0 ? 1.3 * Math.max(q, Math.min(dense.q, 4 * q)) : q;
    return data.reaches.find((reach) => reach >= wanted) || data.reaches[data.reaches.length - 1];
  }

  // Drawing

  const number = (value) => isNaN(value) ? "–" : value === Infinity ? "∞" : value.toFixed(3 - [1, 10, 100].filter((ten) => value >= ten - 0.0005).length);
  const samples = (f, end) => Array.from({ length: data.samples + 1 }, (_, n) => [n * end / data.samples, f(n * end / data.samples)]);

  function box(x0, x1, y0, y1) {
    const pixel = ([x, y]) => [left + across * (x - x0) / (x1 - x0), top + down * (1 - (y - y0) / (y1 - y0))];
    const inside = ([x, y]) => x >= x0 && x <= x1 && y >= y0 && y <= y1;
    return {
      pixel,
      path: (places) => places.length ? `M${places.map((at) => pixel(at).map((u) => u.toFixed(1)).join(" ")).join("L")}` : "",
      dot: (selector, at) => {
        const [cx, cy] = inside(at) ? pixel(at) : [-99, -99];
        place(selector, { cx: cx.toFixed(1), cy: cy.toFixed(1) });
      },
    };
  }

  const plane = box(0, data.w[data.w.length - 1], data.b[0], data.b[data.b.length - 1]);

  function arrow(start, end, y) {
    const tip = end + 7, fix = (value) => value.toFixed(1);
    return start - end < 18 ? "" : `M${fix(start - 7)} ${fix(y)}H${fix(tip)}M${fix(tip + 6)} ${fix(y - 4)}L${fix(tip)} ${fix(y)}L${fix(tip + 6)} ${fix(y + 4)}`;
  }

  function drawPlane(kind, w, kept, b) {
    const edge = data.b.map((value, n) => [kind.edge[n], value]), [low, high] = [data.b[0], data.b[data.b.length - 1]];
    const [[from, y], [to]] = [plane.pixel([w, b]), plane.pixel([kept, b])];
    place(".plane .ordered", { d: `${plane.path([...edge, [0, high], [0, low]])}Z` });
    const far = Math.max(data.w[data.w.length - 1], ...kind.edge);
    place(".plane .chaotic", { d: `${plane.path([...edge, [far, high], [far, low]])}Z` });
    place(".edge-line", { d: plane.path(edge) });
    place(".edge-name", { x: Math.min(plane.pixel(edge[edge.length - 1])[0] + 5, left + across - 46).toFixed(1) });
    place(".arrow", { d: arrow(from, to, y) });
    plane.dot(".plane .dense-dot", [w, b]);
    plane.dot(".plane .sparse-dot", [kept, b]);
  }

  function drawMap(name, frame, curves, web, points) {
    ["dense", "sparse"].forEach((net, n) => {
      place(`.${name} .${net}-line`, { d: frame.path(curves[n]) });
      frame.dot(`.${name} .${net}-dot`, [points[n], points[n]]);
    });
    place(`.${name} .web`, { d: frame.path(web) });
  }

  function drawQ(nets, sigmas, kind, b) {
    const reach = reachFor(...nets), maps = sigmas.map((w) => up(kind, w, b)), begin = nets[1].q === Infinity ? 0.05 : 0.95;
    drawMap("q-map", box(0, reach, 0, reach), maps.map((map) => samples(map, reach)), cobweb(maps[1], begin * reach, reach), nets.map((net) => net.q));
    ["x", "y"].forEach((axis) => all(`.q-map .${axis}`).forEach((text, n) => { text.textContent = plain(n * reach / 2); }));
  }

  function drawC(nets, kind) {
    const frame = box(0, 1, 0, 1), maps = nets.map((net) => correlate(kind, net)), { q, chi, c } = nets[1], fixed = q > 0 && q < Infinity;
    drawMap("c-map", frame, maps.map((map) => samples(map, 1)), cobweb(maps[1], c < 1 ? 0.9 : 0.1, 1), nets.map((net) => net.c));
    const wide = Math.min(1, 0.95 / chi);
    place(".c-map .tangent", { d: fixed ? frame.path([[1 - wide, 1 - wide * chi], [1, 1]]) : "" });
    find(".slope").textContent = isNaN(q) ? "the same at every q" : q === Infinity ? "limit as q grows" : fixed ? `slope χ₁ = ${number(chi)}` : "limit as q vanishes";
  }

  function tell(name, nets, words) {
    all(".readout tbody tr").forEach((row, n) => {
      const { q, chi, depth, c, phase } = nets[n], cells = row.querySelectorAll("td");
      [...[q, chi, depth, c].map(number), phase].forEach((word, k) => { cells[k].textContent = word; });
      cells[4].className = phase;
    });
    find(".kept").textContent = words[2];
    inputs.forEach((input, n) => {
      input.setAttribute("aria-valuetext", words[n]);
      input.parentElement.querySelector("output").textContent = words[n];
    });
    const [dense, sparse] = nets.map((net) => `${net.phase}, q* ${number(net.q)}, χ₁ ${number(net.chi)}, ξ ${number(net.depth)} layers`);
    return `${name}, σ_w ${words[0]}, σ_b ${words[1]}. Dense: ${dense}. ${words[2]} of weights kept: ${sparse}.`;
  }

  function draw() {
    const { value: name } = radios.find((radio) => radio.checked), kind = kinds.get(name), places = inputs.map((input) => +input.value);
    const [w, b, d] = places.map((at, n) => values[n][at]), sigmas = [w, w * Math.sqrt(d)], nets = sigmas.map((sigma) => stateOf(kind, sigma, b));
    drawPlane(kind, ...sigmas, b);
    drawQ(nets, sigmas, kind, b);
    drawC(nets, kind);
    return tell(name, nets, [plain(w), plain(b), data.percent[places[2]]]);
  }

  const redraw = () => { find(".said").textContent = draw(); };

  function follow(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const svg = find(".plane"), { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    values.slice(0, 2).forEach((known, n) => {
      const at = known.map((value) => plane.pixel([value, value])[n]), away = at.map((u) => Math.abs(u - [x, y][n]));
      inputs[n].value = away.indexOf(Math.min(...away));
    });
    redraw();
  }

  [...radios, ...inputs].forEach((input) => input.addEventListener("input", redraw));
  find(".plane").addEventListener("pointerdown", follow);
  find(".plane").addEventListener("pointermove", follow);
  find(".controls").hidden = false;
  find(".setting").hidden = true;
  draw();
})(document.getElementById("ID"), DATA);
