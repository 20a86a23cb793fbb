  // The data hold Gaussian means over q and c; maps and fixed points are computed here.
  const [left, top, across, down] = data.box, last = data.q.length - 1;
  const inputs = ["w", "b", "d"].map((axis) => find(`[data-axis=${axis}]`));
  const set = (selector, attributes) => place(find(selector), attributes);
  const plain = (value) => `${+value.toPrecision(6)}`, fix = (value) => +value.toFixed(1);

  // Theory, as in measures.meanfield

  const logs = data.q.map(Math.log), angles = data.c.map((c) => -Math.acos(c));
  const kinds = data.kinds.map((kind) => {
    const chords = bytes(kind.chord), whole = (at) => chords[at] << 16 | chords[at + 1] << 8 | chords[at + 2];
    return { ...kind, chord: data.c.map((_, k) => data.q.map((_, n) => whole(3 * (n * data.c.length + k)) * kind.unit)) };
  });

  function cubic(nodes, x) {
    const above = nodes.findIndex((node) => node >= x);
    const first = Math.min(Math.max((above < 0 ? nodes.length : above) - 2, 0), nodes.length - 4), four = nodes.slice(first, first + 4);
    return four.map((node, k) => [first + k, four.reduce((weight, other, j) => j === k ? weight : weight * (x - other) / (node - other), 1)]);
  }

  const mix = (weights, known) => weights.reduce((sum, [n, weight]) => sum + weight * known[n], 0);
  const around = (q) => cubic(logs, Math.log(Math.min(Math.max(q, data.q[0]), data.q[last])));
  const up = (kind, w, b) => (q) => w * w * q * mix(around(q), kind.ratio) + b * b;
  const chordAt = (chord, c) => mix(cubic(angles, -Math.acos(c)), chord);
  const correlate = (state) => (c) => 1 - (1 - c) * chordAt(state.chord, c);

  function halve(low, high, between, isBelow) {
    for (let n = 0; n < 60; n++) {
      const middle = between(low, high);
      if (isBelow(middle)) low = middle;
      else high = middle;
    }
    return low;
  }

  function fixedPoint(kind, w, b) {
    const low = data.q[0], high = data.q[last], [least, most] = [0, last].map((n) => w * w * kind.ratio[n]), next = up(kind, w, b);
    if (b === 0 && Math.max(Math.abs(least - 1), Math.abs(most - 1)) < 1e-9) return NaN;
    if (next(high) > high) return most < 1 - 1e-9 ? b * b / (1 - most) : Infinity;
    if (next(low) <= low) return b * b / (1 - least);
    return halve(low, high, (one, two) => Math.sqrt(one * two), (q) => next(q) > q);
  }

  function limit(chi, chord) { // c*, and the slope there
    if (chi <= 1 + 1e-9) return [1, chi];
    const at = (c) => chordAt(chord, c);
    const c = at(0) >= 1 ? 0 : halve(0, 1, (low, high) => (low + high) / 2, (middle) => at(middle) < 1);
    const step = Math.min(0.05 * (1 - c), 0.01), low = Math.max(c - step, 0), high = c + step;
    return [c, ((1 - low) * at(low) - (1 - high) * at(high)) / (high - low)];
  }

  function stateOf(kind, w, b) {
    const q = fixedPoint(kind, w, b), weights = around(isNaN(q) ? 1 : q), chi = w * w * mix(weights, kind.gain);
    const share = q > 0 && q < Infinity ? 1 - b * b / q : 1, chord = kind.chord.map((known) => share * mix(weights, known));
    const grows = q === Infinity && chi > 1 + 1e-9, [c, slope] = grows ? [NaN, NaN] : limit(chi, chord);
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
    const pixel = ([x, y]) => [fix(left + across * (x - x0) / (x1 - x0)), fix(top + down * (1 - (y - y0) / (y1 - y0)))];
    const inside = ([x, y]) => x >= x0 && x <= x1 && y >= y0 && y <= y1;
    return {
      pixel,
      path: (places) => places.length ? `M${places.map((at) => pixel(at).join(" ")).join("L")}` : "",
      dot: (selector, at) => {
        const [cx, cy] = inside(at) ? pixel(at) : [-99, -99];
        set(selector, { cx, cy });
      },
    };
  }

  const widest = data.w[data.w.length - 1], low = data.b[0], high = data.b[data.b.length - 1], plane = box(0, widest, low, high);

  function arrow(start, end, y) {
    const tip = end + 7;
    return start - end < 18 ? "" : `M${fix(start - 7)} ${y}H${fix(tip)}M${fix(tip + 6)} ${fix(y - 4)}L${fix(tip)} ${y}L${fix(tip + 6)} ${fix(y + 4)}`;
  }

  function drawPlane(kind, w, kept, b) {
    const edge = data.b.map((value, n) => [kind.edge[n], value]), far = Math.max(widest, ...kind.edge);
    const [[from, y], [to]] = [plane.pixel([w, b]), plane.pixel([kept, b])];
    set(".plane .ordered", { d: `${plane.path([...edge, [0, high], [0, low]])}Z` });
    set(".plane .chaotic", { d: `${plane.path([...edge, [far, high], [far, low]])}Z` });
    set(".edge-line", { d: plane.path(edge) });
    set(".edge-name", { x: fix(Math.min(plane.pixel(edge[edge.length - 1])[0] + 5, left + across - 46)) });
    set(".arrow", { d: arrow(from, to, y) });
    plane.dot(".plane .dense-dot", [w, b]);
    plane.dot(".plane .sparse-dot", [kept, b]);
  }

  function drawMap(name, frame, curves, web, points) {
    ["dense", "sparse"].forEach((net, n) => {
      set(`.${name} .${net}-line`, { d: frame.path(curves[n]) });
      frame.dot(`.${name} .${net}-dot`, [points[n], points[n]]);
    });
    set(`.${name} .web-line`, { d: frame.path(web) });
  }

  function drawQ(nets, sigmas, kind, b) {
    const reach = reachFor(...nets), maps = sigmas.map((w) => up(kind, w, b)), begin = nets[1].q === Infinity ? 0.05 : 0.95;
    drawMap("q-map", box(0, reach, 0, reach), maps.map((map) => samples(map, reach)), cobweb(maps[1], begin * reach, reach), nets.map((net) => net.q));
    [".x:not(.name)", ".y"].forEach((axis) => all(`.q-map ${axis}`).forEach((text, n) => { text.textContent = plain(n * reach / 2); }));
  }

  function drawC(nets) {
    const frame = box(0, 1, 0, 1), maps = nets.map(correlate), { q, chi, c } = nets[1], fixed = q > 0 && q < Infinity;
    drawMap("c-map", frame, maps.map((map) => samples(map, 1)), cobweb(maps[1], c < 1 ? 0.9 : 0.1, 1), nets.map((net) => net.c));
    const wide = Math.min(1, 0.95 / chi);
    set(".c-map .tangent-line", { d: fixed ? frame.path([[1 - wide, 1 - wide * chi], [1, 1]]) : "" });
    find(".slope").textContent = isNaN(q) ? "the same at every q" : q === Infinity ? "limit as q grows" : fixed ? `slope χ₁ = ${number(chi)}` : "limit as q vanishes";
  }

  function tell(name, cut, nets, words) {
    all(".readout tbody tr").forEach((row, n) => {
      const { q, chi, depth, c, phase } = nets[n], cells = row.querySelectorAll("td");
      [...[q, chi, depth, c].map(number), phase].forEach((word, k) => { cells[k].textContent = word; });
      cells[4].className = phase;
    });
    find(".kept").textContent = words[2];
    inputs.forEach((input, n) => say(input, words[n]));
    const [dense, sparse] = nets.map((net) => `${net.phase}, q* ${number(net.q)}, χ₁ ${number(net.chi)}, ξ ${number(net.depth)} layers`);
    return `${name}, σ_w ${words[0]}, σ_b ${words[1]}. Dense: ${dense}. ${words[2]} of weights kept, cut ${cut}: ${sparse}.`;
  }

  function draw() {
    const number = chosen("kind"), kind = kinds[number], cut = chosen("cut"), [w, b, d] = inputs.map((input) => +input.value);
    const sigmas = [data.w[w], data.w[w] * data.cuts[cut][d]], nets = sigmas.map((sigma) => stateOf(kind, sigma, data.b[b]));
    drawPlane(kind, ...sigmas, data.b[b]);
    drawQ(nets, sigmas, kind, data.b[b]);
    drawC(nets);
    return tell(data.names[number], data.cutNames[cut], nets, [plain(data.w[w]), plain(data.b[b]), data.percent[d]]);
  }

  const redraw = () => { find(".said").textContent = draw(); };

  all("input").forEach((input) => input.addEventListener("input", redraw));
  pointed(find(".plane"), (...at) => {
    [data.w, data.b].forEach((known, n) => { inputs[n].value = nearest(known.map((value) => plane.pixel([value, value])[n]), at[n]); });
    redraw();
  });
  draw();
