"use strict";

// Explorer.mount(root, pictures) shows picture records (see explorer.py) inside an element.
const Explorer = (() => {
  // Nine colours of matplotlib's "inferno", from dark (no weight) to bright (the heaviest cell).
  const COLOURS = [
    [0, 0, 4], [33, 12, 74], [87, 16, 110], [138, 34, 106], [188, 55, 84],
    [228, 90, 49], [249, 140, 10], [249, 201, 50], [252, 255, 164],
  ];
  const MIN_OPACITY = 0.25, MAX_OPACITY = 0.72; // without weight, at the heaviest cell
  const SMOOTH_PIXELS = 256, FADE_MILLISECONDS = 180, WORD_MILLISECONDS = 1000;
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  let count = 0; // of mounted explorers, so that each has its own radio button names
  let view = "smooth"; // or "cells" or "none"; kept when another picture is shown

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

  const location = (looked) => looked === "everywhere alike" ? looked : `at the ${looked}`;

  // Captions and answers in one form: a text and steps, each with a map.
  function sentences(picture) {
    const captions = picture.captions.map((caption) => ({
      text: caption.text,
      score: `log p ${caption.log_probability.toFixed(2).replace("-", "−")}`,
      heading: "Words considered",
      steps: caption.words.map((word, index) => ({
        label: word.word,
        probability: word.probability,
        looked: word.looked,
        map: caption.attention[index],
        choices: [
          { text: word.word, probability: word.probability, written: true },
          ...word.runners_up.map((other) => ({
            text: other.word === "<end>" ? "(end)" : other.word, probability: other.probability,
          })),
        ].sort((a, b) => b.probability - a.probability),
      })),
    }));
    const answers = picture.answers.map((answer) => ({
      question: answer.question,
      text: answer.text,
      score: percent(answer.probability),
      heading: "Answers",
      steps: (answer.attention.length ? answer.attention : [null]).map((map, index) => ({
        label: !map ? "no look" : answer.attention.length > 1 ? `${ordinal(index + 1)} look` : "look",
        looked: map && answer.looked[index],
        map,
        choices: answer.top.map((choice) => ({ ...choice, written: choice.text === answer.text })),
      })),
    }));
    return [...captions, ...answers];
  }

  function ordinal(number) {
    return `${number}${["th", "st", "nd", "rd"][number] ?? "th"}`;
  }

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
  function makeStage() {
    const image = element("img"), canvas = element("canvas", { "aria-hidden": "true" });
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
      draw,
      setPicture(source, text) { image.src = source; image.alt = text; },
    };
  }

  function radios(name, legend, className, choices, chosen, choose) {
    return element("fieldset", { className },
      element("legend", { className: legend ? "" : "unseen" }, legend || "View"),
      ...choices.map(({ value, parts }) => element("label", {},
        element("input", {
          type: "radio", name, value, checked: value === chosen, onchange: () => choose(value),
        }), ...parts)));
  }

  function bars(choices) {
    return choices.map((choice) => {
      const bar = element("span", { className: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--sure", choice.probability);
      const text = element("span", {}, choice.text);
      if (choice.written) text.append(element("span", { className: "unseen" }, " (chosen)"));
      return element("li", { className: choice.written ? "written" : "" },
        text, bar, element("span", {}, percent(choice.probability)));
    });
  }

  function mount(root, pictures, { first = 0 } = {}) {
    const id = `explorer${++count}`;
    const stage = makeStage();
    const name = element("p", { className: "name" });
    const panel = element("div", { className: "panel" });
    const gallery = element("div", { className: "gallery", role: "group", "aria-label": "Pictures" });
    let steps = [], words = [], current = -1, timer = 0, play, spoken, list;

    function select(index) {
      current = index;
      words.forEach((word, number) => {
        word.setAttribute("aria-current", String(number === index));
        word.tabIndex = number === Math.max(0, index) ? 0 : -1;
      });
      const step = steps[index];
      stage.show(step);
      if (!step) return;
      const probability = step.probability === undefined ? "" : `${percent(step.probability)}, `;
      spoken.replaceChildren(element("strong", {}, step.label),
        `: ${probability}looked ${step.looked ? location(step.looked) : "at nothing"}`);
      list.replaceChildren(...bars(step.choices));
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      play.textContent = "▶ Play";
    }
    function toggle() {
      if (timer) { stop(); return; }
      if (!steps.length) return;
      play.textContent = "❚❚ Pause";
      select(current + 1 < steps.length ? current + 1 : 0);
      timer = setInterval(() => {
        if (current + 1 < steps.length) select(current + 1);
        else stop();
      }, WORD_MILLISECONDS);
    }
    function go(index) {
      stop();
      select(Math.min(Math.max(index, 0), steps.length - 1));
      if (words[current]) words[current].focus();
    }
    function press(event) {
      const move = {
        ArrowRight: current + 1, ArrowDown: current + 1, ArrowLeft: current - 1,
        ArrowUp: current - 1, Home: 0, End: steps.length - 1,
      }[event.key];
      if (event.altKey || event.ctrlKey || event.metaKey || !steps.length) return;
      if (move !== undefined) go(move);
      else if (event.key === " ") toggle();
      else return;
      event.preventDefault();
    }
    function makeWord(step, index) {
      const bar = element("span", { className: "sure", "aria-hidden": "true" });
      bar.style.setProperty("--sure", step.probability ?? 0);
      bar.hidden = step.probability === undefined;
      return element("button", {
        type: "button",
        onpointerenter: (event) => { if (event.pointerType === "mouse") { stop(); select(index); } },
        onfocus: () => { if (current !== index) { stop(); select(index); } },
        onclick: () => { stop(); select(index); },
      }, step.label, bar);
    }
    function showSentence(sentence) {
      if (play) stop();
      steps = sentence.steps;
      words = steps.map(makeWord);
      play = element("button", { type: "button", className: "play", onclick: toggle }, "▶ Play");
      spoken = element("p", { className: "spoken", "aria-live": "polite", "aria-atomic": "true" });
      list = element("ol");
      const strip = element("div", {
        className: "words", role: "toolbar", onkeydown: press,
        // Firefox clicks the button when the space bar is released.
        onkeyup: (event) => { if (event.key === " ") event.preventDefault(); },
      }, ...words);
      strip.setAttribute("aria-label", sentence.question ? "Looks" : "Words of the caption");
      body.replaceChildren(
        element("p", { className: "question", hidden: !sentence.question },
          sentence.question
            ? `${sentence.question} ${sentence.text} (${sentence.score})` : ""),
        strip,
        element("div", { className: "controls" }, play, views),
        spoken,
        element("section", { className: "others" }, element("h2", {}, sentence.heading), list),
      );
      select(steps.length ? 0 : -1);
    }
    function showPicture(index, sentence = 0) {
      const picture = pictures[index], texts = sentences(picture);
      [...gallery.children].forEach((button, number) =>
        button.setAttribute("aria-current", String(number === index)));
      stage.setPicture(picture.picture, texts.length ? texts[0].text : picture.name);
      name.textContent = picture.name;
      const choices = texts.map(({ question, text, score }, number) => ({
        value: String(number),
        parts: [
          element("span", {}, question ? `${question} ${text}` : text),
          element("small", {}, score),
        ],
      }));
      const choice = radios(`${id}-sentence`, "Captions and answers", "sentences", choices,
        String(sentence), (value) => showSentence(texts[Number(value)]));
      choice.hidden = texts.length < 2;
      panel.replaceChildren(choice, body);
      showSentence(texts[sentence] || { steps: [], heading: "" });
    }

    const body = element("div", { className: "panel" });
    const views = radios(`${id}-view`, "", "views",
      [["smooth", "Smooth"], ["cells", "Cells"], ["none", "Picture"]].map(
        ([value, text]) => ({ value, parts: [text] })),
      view, (chosen) => { view = chosen; stage.draw(); });
    gallery.append(...pictures.map((picture, index) => element("button", {
      type: "button", title: picture.name, onclick: () => showPicture(index),
    }, element("img", { src: picture.picture, alt: picture.name }))));
    gallery.hidden = pictures.length < 2;
    root.className = "";
    root.replaceChildren(gallery, element("div", { className: "viewer" },
      element("div", {}, ...stage.parts, name), panel));
    if (pictures.length) showPicture(0, first);
    // Without a focused element, the up and down arrows still scroll the page.
    document.onkeydown = (event) => {
      const handled = ["ArrowLeft", "ArrowRight", " "].includes(event.key);
      if (handled && event.target === document.body) press(event);
    };
  }

  return { mount };
})();

(() => {
  const data = document.getElementById("explorer-data");
  if (!data) return;
  const root = document.getElementById("explorer"), images = root.querySelectorAll("img");
  Explorer.mount(root, JSON.parse(data.textContent).map(
    (picture, index) => ({ ...picture, picture: images[index].src })));
})();
