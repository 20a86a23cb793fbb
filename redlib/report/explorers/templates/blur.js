  // The data hold sharp images and the matrix of each blur; images are blurred here.
  const { side } = data, input = find("[type=range]"), rates = all(".rate"), dots = all(".curves .dot"), values = all(".values b"), cards = all("ol li");

  function unpacked(text, count) { // 0 stands for as many zeros as the byte behind it says
    const packed = bytes(text), found = new Uint8Array(count);
    for (let from = 0, to = 0; from < packed.length; from++) {
      if (packed[from]) found[to++] = packed[from];
      else to += packed[++from];
    }
    return found;
  }

  const size = side * side, count = data.sigmas.length * size;
  const pixels = unpacked(data.pixels, data.images * size), halves = unpacked(data.matrices, 2 * count);
  const matrices = Float64Array.from({ length: count }, (_, n) => (halves[n] << 8 | halves[count + n]) / 65535);

  function across(image, blur) { // blur @ image, transposed: twice, this is blur @ image @ blur.T
    const made = new Float64Array(size);
    for (let row = 0; row < side; row++) {
      for (let n = 0; n < side; n++) {
        const share = blur[row * side + n];
        for (let column = 0; share && column < side; column++) made[column * side + row] += share * image[n * side + column];
      }
    }
    return made;
  }

  function paint(canvas, image, blur) {
    const context = canvas.getContext("2d"), shown = context.createImageData(side, side);
    across(across(image, blur), blur).forEach((grey, n) => shown.data.set([grey, grey, grey, 255], 4 * n));
    context.putImageData(shown, 0, 0);
  }

  const outcome = (said, told, real) => said === told ? "told" : said === real ? "true" : "else";

  function show(card, rate, sigma, n) {
    const told = data.told[rate][n], real = data.true[rate][n], decided = data.predicted[rate][sigma][n], canvas = card.querySelector("canvas");
    const place = data.image[rate][n] * size;
    paint(canvas, pixels.subarray(place, place + size), matrices.subarray(sigma * size, (sigma + 1) * size));
    card.className = outcome(decided, told, real);
    card.querySelector("use").setAttribute("href", `#${root.id}-${card.className}`);
    card.querySelector("b").textContent = decided;
    [`told ${told},`, `true ${real}`].forEach((words, k) => { card.querySelectorAll(".labels span")[k].textContent = words; });
    canvas.setAttribute("aria-label", `told ${told}, true ${real}, decision ${decided}`);
  }

  function draw() {
    const rate = chosen("rate"), sigma = +input.value, label = data.sigmas[sigma], x = data.x[sigma];
    say(input, label);
    cards.forEach((card, n) => show(card, rate, sigma, n));
    rates.forEach((group, k) => group.classList.toggle("shown", k === rate));
    place(find(".cursor"), { x1: x, x2: x });
    data.y[rate].forEach((heights, group) => {
      place(dots[group], { cx: x, cy: heights[sigma] });
      values[group].textContent = data.words[rate][group][sigma];
    });
    const [wrong, right] = values.map((value) => value.textContent);
    return `${data.rates[rate]} mislabelled, σ ${label}. Changed decisions: mislabelled ${wrong}, correctly labelled ${right}.`;
  }

  const redraw = () => { find(".said").textContent = draw(); };

  all("input").forEach((control) => control.addEventListener("input", redraw));
  pointed(find(".curves"), (x) => {
    input.value = nearest(data.x, x);
    redraw();
  });
  draw();
