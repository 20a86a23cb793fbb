  // The data hold where each point lies in each frame, in 12 bits a coordinate.
  const [button, input, readout] = ["button", "input", ".readout"].map(find);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const last = data.frames.length - 1, count = data.labels.length;
  const pause = Math.min(700, Math.max(250, 9000 / Math.max(last, 1))); // ms from frame to frame
  let time = +input.value, before = null, told = null, request = 0; // time counts frames; before is null unless it plays

  function unpacked(text) {
    const triples = bytes(text), places = new Float32Array(triples.length / 3 * 2);
    for (let n = 0; 3 * n < triples.length; n++) {
      const [high, both, low] = triples.subarray(3 * n, 3 * n + 3);
      places[2 * n] = (high << 4 | both >> 4) * data.unit;
      places[2 * n + 1] = ((both & 15) << 8 | low) * data.unit;
    }
    return places;
  }

  const panels = all(".panel svg").map((svg, n) => ({
    places: unpacked(data.points[n]),
    points: svg.querySelectorAll("g > use"),
    spokes: svg.querySelectorAll(".spoke"),
    rings: svg.querySelectorAll(".ring"),
  }));

  const put = (element, x, y, names) => [x, y].forEach((value, n) => element.setAttribute(names[n], value.toFixed(1)));

  function paint(at) {
    const from = Math.min(Math.floor(at), Math.max(last - 1, 0)), share = at - from;
    for (const { places, points, spokes, rings } of panels) {
      const means = Array.from(rings, () => [0, 0, 0]);
      points.forEach((point, n) => {
        const now = 2 * (from * count + n), next = last ? now + 2 * count : now;
        const [x, y] = [0, 1].map((axis) => places[now + axis] * (1 - share) + places[next + axis] * share);
        put(point, x, y, ["x", "y"]);
        if (means.length) [x, y, 1].forEach((value, k) => { means[data.labels[n]][k] += value; });
      });
      means.forEach(([x, y, size], k) => {
        put(spokes[k], x / size, y / size, ["x2", "y2"]);
        put(rings[k], x / size, y / size, ["cx", "cy"]);
      });
    }
  }

  function draw() {
    const frame = Math.round(time);
    paint(calm.matches ? frame : time);
    if (frame === told) return;
    told = frame;
    input.value = frame;
    say(input, data.ticks[frame]);
    readout.textContent = data.frames[frame];
  }

  function play(on) {
    before = on ? performance.now() : null;
    button.querySelector("span").textContent = on ? "Pause" : "Play";
    root.classList.toggle("playing", on);
    readout.setAttribute("aria-live", on ? "off" : "polite"); // nobody can listen to every frame
    cancelAnimationFrame(request);
    if (on) request = requestAnimationFrame(advance);
  }

  function advance(now) {
    // A tab that was hidden goes on where it stopped.
    time = Math.min(last, time + Math.min(100, Math.max(0, now - before)) / pause);
    before = now;
    draw();
    if (time === last) play(false);
    else request = requestAnimationFrame(advance);
  }

  button.addEventListener("click", () => {
    if (before === null && time === last) time = 0;
    play(before === null);
  });
  input.addEventListener("input", () => {
    time = +input.value;
    play(false);
    draw();
  });
  find(".controls").hidden = !last;
  draw();
