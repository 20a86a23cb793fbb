  // The data hold where each filter is at the first step, how far it moves from step to step, and what is said then.
  const [button, input, readout, plane, ends] = ["button", "input[data-axis=step]", ".readout", ".plane", ".ends"].map(find);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const [first, moves, table] = [[Int16Array, "first"], [Int8Array, "moves"], [Uint16Array, "table"]].map(
    ([kind, name]) => new kind(bytes(data[name]).buffer));
  const shapes = all("defs g").map((shape) => `#${shape.id}`), rays = all(".way"), corners = all(".corner");
  const last = data.steps.length - 1, half = data.side / 2, columns = table.length / data.units.length / (last + 1);
  const pause = Math.min(700, Math.max(250, 9000 / last)); // ms from step to step
  const option = (axis) => find(`[data-axis=${axis}]`) ? chosen(axis) : 0;
  let net, time = +input.value, before = null, told = null, request = 0; // before is null unless it plays

  function pick() { // the net that the choices name: its places [step, filter, coordinate] in pixels
    const [seed, set, count] = ["seed", "set", "count"].map(option), sizes = data.count.map((k) => 4 * k);
    const run = (seed * data.set.length + set) * sizes.length + count;
    const size = sizes[count], whole = new Int32Array(size * (last + 1)), unit = data.units[run], moved = size * data.rests[run];
    let start = 0, move = 0; // of this net among all
    for (let n = 0; n < run; n++) [start, move] = [start + sizes[n % sizes.length], move + sizes[n % sizes.length] * data.rests[n]];
    whole.set(first.subarray(start, start + size));
    for (let n = 0; n < last * size; n++) whole[n + size] = whole[n] + (n < moved ? moves[move + n] : 0);
    return { run, set, size, places: Float32Array.from(whole, (value) => half + value * unit) };
  }

  const row = (t) => table.subarray((net.run * (last + 1) + t) * columns, (net.run * (last + 1) + t + 1) * columns);
  const words = (parts) => parts > 0 && parts < 5 ? "<0.1%" : `${Math.floor(parts / 10 + .5) / 10}%`;
  const y = (parts, [top, floor, high] = data.row) => +(floor - (floor - top) * 100 * parts / data.parts / high).toFixed(1);

  function paint(at) {
    const from = Math.min(Math.floor(at), last - 1), share = at - from, { places, size } = net, lines = [0, 1].map(() => `M${half} ${half}`);
    const mixed = (n) => (places[from * size + n] * (1 - share) + places[(from + 1) * size + n] * share).toFixed(1);
    [...ends.children].forEach((use, n) => { // kinds take turns
      const filter = (n >> 1) + (n % 2) * size / 4, [left, top] = [mixed(2 * filter), mixed(2 * filter + 1)];
      place(use, { x: left, y: top });
      lines[n % 2] += `L${left} ${top}z`;
    });
    all(".spokes").forEach((path, kind) => place(path, { d: lines[kind] }));
    const x = data.x[from] * (1 - share) + data.x[from + 1] * share;
    place(find(".cursor"), { x1: x, x2: x });
  }

  function change() { // what is the same at all steps of a net
    net = pick();
    while (ends.children.length > net.size / 2) ends.lastChild.remove();
    while (ends.children.length < net.size / 2) ends.append(ends.firstChild.cloneNode());
    [...ends.children].forEach((use, n) => place(use, { href: shapes[n % 2] }));
    place(find(".plane .starts"), { d: Array.from({ length: net.size / 2 }, (_, n) => `M${net.places[2 * n].toFixed(1)} ${net.places[2 * n + 1].toFixed(1)}h0`).join("") });
    const rings = data.rings[net.run];
    rings.forEach(([radius], n) => place(all(".scale")[n], { r: radius }));
    find(".length").textContent = `rings at ${rings[1][1]} and ${rings[0][1]}`;
    corners.forEach((corner, n) => {
      const lacking = data.lacks[net.set].includes(n);
      rays[n].classList.toggle("lacking", lacking);
      corner.querySelector(".name").textContent = data.names[n] + (lacking ? " not in training" : "");
    });
    ["fresh", "train"].forEach((name, n) => place(find(`.curves .curve.${name}`), {
      d: data.x.map((x, t) => `${t ? "L" : "M"}${x} ${y(row(t)[columns - 1 - n])}`).join(""),
    }));
    const rest = data.rests[net.run], x = rest < last ? data.x[rest] : -999, end = x > data.middle;
    place(find(".rest"), { transform: `translate(${x},0)` });
    place(find(".rest text"), { x: end ? -5 : 5, "text-anchor": end ? "end" : "start" });
    find(".head").textContent = `${net.size / 2} weight vectors`;
    find(".which").textContent = `${data.set[net.set]}, seed ${data.seed[option("seed")]}`;
    told = null;
    draw();
  }

  function tell(t) {
    const numbers = row(t), near = numbers.subarray(0, columns - 3), [share, train, fresh] = numbers.subarray(columns - 3);
    corners.forEach((corner, n) => corner.querySelectorAll(".count").forEach((text, kind) => { text.textContent = near[2 * n + kind]; }));
    place(find(".dot.train"), { cx: data.x[t], cy: y(train) });
    place(find(".dot.fresh"), { cx: data.x[t], cy: y(fresh) });
    say(input, data.steps[t]);
    const count = near.reduce((sum, found) => sum + found, 0), errors = [train, fresh].map((parts, n) => `${data.curves[n]} ${words(parts)}`);
    readout.textContent = `Step ${data.steps[t]}: ${count} of ${net.size / 2} filters, with ${share}% of the total length, lie within ${data.near}° of a direction; ${errors.join(", ")}.`;
    const each = data.names.map((name, n) => `${near[2 * n]} and ${near[2 * n + 1]} at ${name}`);
    place(plane, { "aria-label": `The weight vectors in the plane. ${data.kinds.join(" and ")} near the directions: ${each.join(", ")}` });
  }

  function draw() {
    const t = Math.round(time);
    paint(calm.matches ? t : time);
    if (t === told) return;
    told = t;
    input.value = t;
    tell(t);
  }

  function play(on) {
    before = on ? performance.now() : null;
    button.querySelector("span").textContent = on ? "Pause" : "Play";
    root.classList.toggle("playing", on);
    readout.setAttribute("aria-live", on ? "off" : "polite"); // nobody can listen to every step
    cancelAnimationFrame(request);
    if (on) request = requestAnimationFrame(advance);
  }

  function advance(now) {
    // A tab that was hidden goes on where it stopped; a net at rest has nothing more to show.
    const end = Math.max(data.rests[net.run], 1);
    time = Math.min(end, time + Math.min(100, Math.max(0, now - before)) / pause);
    before = now;
    draw();
    if (time === end) play(false);
    else request = requestAnimationFrame(advance);
  }

  function go(t) {
    time = t;
    play(false);
    draw();
  }

  button.addEventListener("click", () => {
    if (before === null && time >= data.rests[net.run]) time = 0;
    play(before === null);
  });
  input.addEventListener("input", () => go(+input.value));
  pointed(find(".curves"), (x) => go(nearest(data.x, x)));
  all("[type=radio]").forEach((radio) => radio.addEventListener("change", change));
  change();
