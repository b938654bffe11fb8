"use strict";

// Text is added as text nodes and properties are set directly, never as markup.
function element(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function percent(probability) {
  const share = 100 * probability;
  return share >= 9.95 || share === 0 ? `${Math.round(share)} %`
    : share >= 0.095 ? `${share.toFixed(1)} %` : "< 0.1 %";
}

// makeStage(): a picture with an attention map over it.
const makeStage = (() => {
  // Nine colours of matplotlib's "inferno", from dark (no weight) to bright (the heaviest cell).
  const COLOURS = [
    [0, 0, 4], [33, 12, 74], [87, 16, 110], [138, 34, 106], [188, 55, 84],
    [228, 90, 49], [249, 140, 10], [249, 201, 50], [252, 255, 164],
  ];
  const MIN_OPACITY = 0.25, MAX_OPACITY = 0.72; // without weight, at the heaviest cell
  const SMOOTH_PIXELS = 256, FADE_MILLISECONDS = 180;
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  let view = "smooth"; // or "cells" or "none"; kept when another picture is shown

  function colour(heat) {
    const position = Math.min(Math.max(heat, 0), 1) * (COLOURS.length - 1);
    const below = Math.min(Math.floor(position), COLOURS.length - 2), share = position - below;
    return COLOURS[below].map((c, i) => Math.round(c + share * (COLOURS[below + 1][i] - c)));
  }
  const opacity = (heat) => MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * heat;

  // heat: rows of cells, 1 at the heaviest; interpolated between the centres of cells.
  function drawSmooth(canvas, heat) {
    const rows = heat.length, columns = heat[0].length;
    const ratio = canvas.clientHeight / canvas.clientWidth || 1;
    canvas.width = Math.round(SMOOTH_PIXELS / Math.max(1, ratio));
    canvas.height = Math.max(1, Math.round(canvas.width * ratio));
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const between = (share, cells) => {
      const position = Math.min(Math.max(share * cells - 0.5, 0), cells - 1);
      return [Math.floor(position), Math.min(Math.floor(position) + 1, cells - 1), position % 1];
    };
    for (let y = 0, byte = 0; y < canvas.height; y++) {
      const [top, bottom, down] = between((y + 0.5) / canvas.height, rows);
      for (let x = 0; x < canvas.width; x++, byte += 4) {
        const [left, right, across] = between((x + 0.5) / canvas.width, columns);
        const upper = heat[top][left] + across * (heat[top][right] - heat[top][left]);
        const lower = heat[bottom][left] + across * (heat[bottom][right] - heat[bottom][left]);
        const value = upper + down * (lower - upper);
        image.data.set([...colour(value), 255 * opacity(value)], byte);
      }
    }
    context.putImageData(image, 0, 0);
  }

  function drawCells(canvas, heat, map) {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * scale) || 1;
    canvas.height = Math.round(canvas.clientHeight * scale) || 1;
    const width = canvas.width / heat[0].length, height = canvas.height / heat.length;
    const context = canvas.getContext("2d");
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `600 ${Math.min(12 * scale, width / 3)}px system-ui, sans-serif`;
    heat.forEach((row, y) => row.forEach((value, x) => {
      context.fillStyle = `rgb(${colour(value).join(" ")} / ${opacity(value)})`;
      context.fillRect(x * width, y * height, width - scale, height - scale);
      if (map[y][x] >= 0.01 && width >= 24 * scale) {
        context.lineWidth = 3 * scale;
        context.strokeStyle = "#000c";
        context.fillStyle = "#fff";
        const text = Math.round(100 * map[y][x]);
        context.strokeText(text, (x + 0.5) * width, (y + 0.5) * height);
        context.fillText(text, (x + 0.5) * width, (y + 0.5) * height);
      }
    }));
  }

  // The picture with its attention map; show(step or null) fades from one map to the next.
  return function makeStage() {
    // The height of a picture is bounded, so its width follows from the shape (see explorer.css).
    const image = element("img", {
      onload: () => stage.style.setProperty("--shape", image.naturalWidth / image.naturalHeight),
    });
    const canvas = element("canvas", { "aria-hidden": "true" });
    const stage = element("div", { className: "stage" }, image, canvas);
    const maximum = element("span");
    const scale = element("div", { className: "scale" },
      element("span", {}, "no attention"), element("span", { "aria-hidden": "true" }), maximum);
    let map = null, heat = null, frame = 0;

    function draw() {
      const visible = heat !== null && view !== "none";
      stage.classList.toggle("looking", visible);
      canvas.hidden = !visible;
      scale.hidden = !visible;
      if (!visible || !canvas.clientWidth) return;
      if (view === "cells") drawCells(canvas, heat, map);
      else drawSmooth(canvas, heat);
    }
    function show(step) {
      cancelAnimationFrame(frame);
      map = step ? step.map : null;
      if (!map) { heat = null; draw(); return; }
      const heaviest = Math.max(...map.flat()) || 1;
      const target = map.map((row) => row.map((weight) => weight / heaviest));
      maximum.textContent = `${percent(heaviest)} in one cell`;
      const from = heat, start = performance.now();
      const same = from && from.length === target.length && from[0].length === target[0].length;
      if (!same || reducedMotion.matches) { heat = target; draw(); return; }
      const fade = (now) => {
        const share = Math.min(1, Math.max(0, now - start) / FADE_MILLISECONDS);
        heat = target.map((row, y) => row.map((t, x) => from[y][x] + share * (t - from[y][x])));
        draw();
        if (share < 1) frame = requestAnimationFrame(fade);
      };
      frame = requestAnimationFrame(fade);
    }
    new ResizeObserver(draw).observe(stage);
    return {
      parts: [stage, scale],
      show,
      getView: () => view,
      setView(chosen) { view = chosen; draw(); },
      setPicture(source, text) { image.src = source; image.alt = text; },
    };
  };
})();
