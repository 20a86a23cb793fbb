  "use strict";
  const find = (selector) => root.querySelector(selector), all = (selector) => [...root.querySelectorAll(selector)];
  const place = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const chosen = (axis) => +find(`[data-axis=${axis}] :checked`).value;

  function nearest(places, x) {
    const away = places.map((at) => Math.abs(at - x));
    return away.indexOf(Math.min(...away));
  }

  function say(input, words) { // what a slider stands for
    input.setAttribute("aria-valuetext", words);
    input.parentElement.querySelector("output").textContent = words;
  }

  function pointed(drawing, move) { // calls move(x, y) where somebody points into it or drags
    ["pointerdown", "pointermove"].forEach((kind) => drawing.addEventListener(kind, (event) => {
      if (kind === "pointermove" && !event.buttons) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
      move(at.x, at.y);
    }));
  }
