  // The data hold a map for each net, its errors, what is said of it, and where it is on the plane of losses.
  const [button, input, readout] = ["button", "input[data-axis=position]", ".readout"].map(find);
  const { grid, levels } = data, count = data.t.length, paths = data.path.length, size = grid * grid;
  const [errors, at, points] = [[Uint16Array, "errors"], [Int16Array, "at"], [Int16Array, "points"]].map(
    ([kind, name]) => new kind(bytes(data[name]).buffer));
  const [bands, within, moons] = ["plane", "within", "moons"].map((name) => bytes(data[name]));
  const shown = moons.length / data.seed.length, pause = Math.min(600, Math.max(180, 5000 / count)); // ms from t to t
  const maps = unpacked(bytes(data.maps)), pictures = ["first", "here", "last"].map((kind) => find(`.map.${kind}`));
  const option = (axis) => find(`[data-axis=${axis}]`) ? chosen(axis) : 0;
  let seed, path, run, t = +input.value, timer = 0; // timer is 0 unless it plays

  function unpacked(packed) { // a byte holds a level and how often it comes, or that this is told by the next one
    const found = new Uint8Array(data.words.length * count * size), { long } = data;
    for (let from = 0, to = 0; from < packed.length; from++) {
      const level = Math.floor(packed[from] / long), rest = packed[from] % long + 1;
      const times = rest < long ? rest : long * (packed[++from] + 1);
      found.fill(level, to, to += times);
    }
    return found;
  }

  function rows(value, places, holds) { // where a square holds, as lines of height 1
    let drawn = "";
    for (let row = 0; row < places; row++) {
      for (let from = 0; from < places; from++) {
        if (!holds(value(row, from))) continue;
        let end = from + 1;
        while (end < places && holds(value(row, end))) end++;
        drawn += `M${from} ${row}h${end - from}`;
        from = end;
      }
    }
    return drawn;
  }

  const spots = ["l0 0", "m0-4.2l3.8 6.6h-7.6z"]; // the shapes of the moons' points

  function decide(picture, time) {
    const from = run * size * count + time;
    const value = (row, column) => maps[from + (row * grid + column) * count];
    picture.querySelectorAll(".shade").forEach((layer, n) => place(layer, {
      d: rows(value, grid, n < levels / 2 ? (level) => level <= n : (level) => level >= n),
    }));
    const head = picture.parentElement.querySelector(".name").textContent;
    place(picture, { "aria-label": `Decisions of the ${head}: ${data.shares[run][time]}% of the square go to moon 1` });
  }

  function dots() { // the points of a seed
    const own = Array.from({ length: shown }, (_, n) => n + seed * shown);
    spots.forEach((shape, moon) => {
      const those = own.filter((n) => moons[n] === moon), d = those.map((n) => `M${points[2 * n] / 10} ${points[2 * n + 1] / 10}${shape}`).join("");
      pictures.forEach((picture) => picture.querySelectorAll(`.moon-${moon}`).forEach((drawn) => place(drawn, { d })));
    });
  }

  const spot = (which, time) => { // where a net is on the plane
    const from = 2 * ((seed * paths + which) * count + time);
    return [at[from] / 10, at[from + 1] / 10];
  };

  function surface() { // the plane of a seed
    const { places } = data, from = seed * places * places;
    const value = (row, column) => bands[from + row * places + column];
    all(".plane .high").forEach((layer, n) => place(layer, { d: rows(value, places, (band) => band > n) }));
    all(".plane .way").forEach((line, n) => place(line, {
      d: data.drawn[seed].includes(n) ? `M${data.t.map((_, time) => spot(n, time).join(" ")).join("L")}` : "",
    }));
    const other = data.drawn[seed].length ? data.drawn[seed][0] : 0;
    [spot(0, 0), spot(other, count - 1)].forEach((where, n) => place(all(".end")[n], { transform: `translate(${where.join(" ")})` }));
    find(".which").textContent = data.seed[seed];
  }

  const y = (parts, [top, floor, high] = data.row) => +(floor - (floor - top) * 100 * parts / data.parts / high).toFixed(1);
  const error = (curve, time) => errors[2 * (run * count + time) + curve];

  function change() { // what is the same at all positions of a path
    [seed, path] = ["seed", "path"].map(option);
    run = seed * paths + path;
    surface();
    dots();
    decide(pictures[0], 0);
    decide(pictures[2], count - 1);
    ["train", "test"].forEach((name, curve) => place(find(`.curves .curve.${name}`), {
      d: data.x.map((x, time) => `${time ? "L" : "M"}${x} ${y(error(curve, time))}`).join(""),
    }));
    all(".plane .way").forEach((line, n) => line.classList.toggle("chosen", n === path));
    find(".along").textContent = `${data.path[path]}, seed ${data.seed[seed]}`;
    draw();
  }

  function draw() {
    const x = data.x[t], inside = within[run * count + t];
    input.value = t;
    say(input, data.t[t]);
    find(".here .name").textContent = `net at t\u00a0=\u00a0${data.t[t]}`;
    decide(pictures[1], t);
    const [cx, cy] = inside ? spot(path, t) : [-99, -99];
    place(find(".ring"), { cx, cy });
    place(find(".cursor"), { x1: x, x2: x });
    ["train", "test"].forEach((name, curve) => place(find(`.dot.${name}`), { cx: x, cy: y(error(curve, t)) }));
    tell();
  }

  function tell() {
    const name = data.path[path], [loss, train, test] = data.words[run][t], away = data.away[run] && data.away[run][t];
    find(".where").textContent = away ? `This path leaves the plane: here it is ${away} away from it.` : "The ring is the net at t.";
    readout.textContent = `${name[0].toUpperCase()}${name.slice(1)}, t\u00a0=\u00a0${data.t[t]}: training loss ${loss}, training error ${train}, test error ${test}.`;
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(advance, pause) : 0;
    button.querySelector("span").textContent = on ? "Pause" : "Play";
    root.classList.toggle("playing", on);
    readout.setAttribute("aria-live", on ? "off" : "polite"); // nobody can listen to every position
  }

  function advance() {
    t += 1;
    draw();
    if (t === count - 1) play(false);
  }

  function go(time) {
    play(false);
    t = time;
    draw();
  }

  button.addEventListener("click", () => {
    const on = !timer;
    if (on && t === count - 1) {
      t = 0;
      draw();
    }
    play(on);
  });
  input.addEventListener("input", () => go(+input.value));
  pointed(find(".curves"), (x) => go(nearest(data.x, x)));
  pointed(find(".plane"), (x, y) => { // the nearest place on the path, where it lies in the plane
    if (!data.drawn[seed].includes(path)) return;
    go(nearest(data.t.map((_, time) => Math.hypot(...spot(path, time).map((own, n) => own - [x, y][n]))), 0));
  });
  all("[type=radio]").forEach((radio) => radio.addEventListener("change", () => {
    play(false);
    change();
  }));
  change();
