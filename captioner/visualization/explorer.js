"use strict";

// Explorer.mount(root, pictures) shows picture records (see explorer.py) inside an element.
const Explorer = (() => {
  const WORD_MILLISECONDS = 1000;
  // Of the bundled model's captions of the validation pictures, 35 % are below the first and 31 %
  // from the second on; their CIDEr is 0.44 and 1.01 (docs/serving.md). Answers are
  // unsure where `captioner ask` says so.
  const CAPTION_BOUNDS = [0.65, 0.7], ANSWER_BOUNDS = [0.5, 0.65];
  // What a caption is not about: the first word that is none of these is shown first.
  const FUNCTION_WORDS = new Set((
    "a an the this that these those some any his her their its one two three four five six seven " +
    "eight nine ten several many few of in on at to from by for with and or as up off out over " +
    "under there is are was were be being it he she they who which large small big little close " +
    "group couple pair bunch piece top front"
  ).split(" "));
  let count = 0; // of mounted explorers, so that each has its own radio button names

  const location = (looked) => looked === "everywhere alike" ? looked : `at the ${looked}`;

  function sureness(probability, [fairly, sure]) {
    return probability >= sure ? "Sure" : probability >= fairly ? "Fairly sure" : "Unsure";
  }

  // Captions and answers in one form: a text, and steps with a map each, which are the words of a
  // caption or the looks of an answer. An answer has a question.
  function sentences(picture) {
    const captions = picture.captions.map(({ text, confidence, words, attention }) => ({
      text,
      probability: confidence,
      bounds: CAPTION_BOUNDS,
      unit: " of the words are expected to be right",
      heading: "Other words it considered",
      steps: words.map((word, index) => ({
        label: word.word,
        probability: word.probability,
        looked: word.looked,
        map: attention[index],
        others: word.runners_up.map((other) => ({
          text: other.word === "<end>" ? "(end of the sentence)" : other.word,
          probability: other.probability,
        })),
      })),
    }));
    const answers = picture.answers.map((answer) => ({
      question: answer.question,
      text: answer.text,
      probability: answer.probability,
      bounds: ANSWER_BOUNDS,
      unit: "",
      heading: "Other answers it considered",
      steps: (answer.attention.length ? answer.attention : [null]).map((map, index) => ({
        label: !map ? "no look" : answer.attention.length > 1 ? `${ordinal(index + 1)} look` : "look",
        looked: map && answer.looked[index],
        map,
        others: answer.top.filter((choice) => choice.text !== answer.text),
      })),
    }));
    return [...captions, ...answers];
  }

  function ordinal(number) {
    return `${number}${["th", "st", "nd", "rd"][number] ?? "th"}`;
  }

  function firstContentWord(steps) {
    const found = steps.findIndex((step) => !FUNCTION_WORDS.has(step.label.toLowerCase()));
    return steps.length ? Math.max(0, found) : -1;
  }

  // Copies a text; pages from other machines without TLS may not use the clipboard directly.
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = element("textarea", { value: text, className: "unseen" });
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }

  function copyButton(text) {
    const button = element("button", {
      type: "button",
      onclick: async () => {
        const done = await copy(text);
        button.textContent = done ? "Copied" : "Not allowed here";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      },
    }, "Copy");
    button.setAttribute("aria-live", "polite");
    return button;
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
      return element("li", {},
        element("span", {}, choice.text), bar, element("span", {}, percent(choice.probability)));
    });
  }

  // beside: an element that is shown beside each picture, below its caption; onPicture is called
  // with the index of the picture that is shown. Returns add(picture), which adds one to the
  // gallery, and show(index, sentence), which shows what its record holds now.
  function mount(root, pictures, { beside = "", onPicture = () => {} } = {}) {
    const id = `explorer${++count}`;
    const stage = makeStage();
    const name = element("p", { className: "name" });
    const panel = element("div", { className: "panel" });
    const gallery = element("div", { className: "gallery", role: "group", "aria-label": "Pictures" });
    let steps = [], words = [], current = -1, timer = 0, started = false, play, spoken, list, others;

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
      list.replaceChildren(...bars(step.others));
      others.hidden = !step.others.length;
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      play.textContent = "▶ Play";
    }
    function pick(index) {
      stop();
      started = true;
      select(index);
    }
    function toggle() {
      if (timer) { stop(); return; }
      if (!steps.length) return;
      play.textContent = "❚❚ Pause";
      select(started && current + 1 < steps.length ? current + 1 : 0);
      started = true;
      timer = setInterval(() => {
        if (current + 1 < steps.length) select(current + 1);
        else stop();
      }, WORD_MILLISECONDS);
    }
    function go(index) {
      pick(Math.min(Math.max(index, 0), steps.length - 1));
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
        onpointerenter: (event) => { if (event.pointerType === "mouse") pick(index); },
        onfocus: () => { if (current !== index) pick(index); },
        onclick: () => pick(index),
      }, step.label, bar);
    }
    function makeStrip(sentence) {
      const strip = element("div", {
        className: sentence.question ? "words looks" : "words", role: "toolbar", onkeydown: press,
        // Firefox clicks the button when the space bar is released.
        onkeyup: (event) => { if (event.key === " ") event.preventDefault(); },
      }, ...words);
      strip.setAttribute("aria-label", sentence.question ? "Looks" : "Words of the caption");
      return strip;
    }
    function showSentence(sentence) {
      if (play) stop();
      started = false;
      steps = sentence.steps;
      words = steps.map(makeWord);
      play = element("button", { type: "button", className: "play", onclick: toggle }, "▶ Play");
      spoken = element("p", { className: "spoken", "aria-live": "polite", "aria-atomic": "true" });
      list = element("ol");
      others = element("section", { className: "others" },
        element("h2", {}, sentence.heading), list);
      const strip = makeStrip(sentence);
      const top = sentence.question
        ? [element("p", { className: "question" }, sentence.question),
          element("p", { className: "answer" }, sentence.text)]
        : [];
      body.replaceChildren(
        ...top, strip, spoken,
        element("div", { className: "verdict" },
          element("span", {}, element("strong", {}, sureness(sentence.probability, sentence.bounds)),
            `: ${percent(sentence.probability)}${sentence.unit}`),
          play, copyButton(sentence.text)),
        beside, others, views);
      select(sentence.question ? 0 : firstContentWord(steps));
    }
    function showNothing() {
      if (play) stop();
      steps = [];
      body.replaceChildren(beside);
      stage.show(null);
    }
    function showPicture(index, sentence = 0) {
      const picture = pictures[index], texts = sentences(picture);
      [...gallery.children].forEach((button, number) =>
        button.setAttribute("aria-current", String(number === index)));
      stage.setPicture(picture.picture, texts.length ? texts[0].text : picture.name);
      name.textContent = picture.name;
      const choices = texts.map(({ question, text, probability }, number) => ({
        value: String(number),
        parts: [
          element("span", {}, question ? `${question} ${text}` : text),
          element("small", {}, percent(probability)),
        ],
      }));
      const choice = radios(`${id}-sentence`, "Captions and answers", "sentences", choices,
        String(sentence), (value) => showSentence(texts[Number(value)]));
      choice.hidden = texts.length < 2;
      if (texts.length) showSentence(texts[sentence]);
      else showNothing();
      panel.replaceChildren(body, choice);
      onPicture(index);
    }
    function addThumbnail(picture, index) {
      gallery.append(element("button", {
        type: "button", title: picture.name, onclick: () => showPicture(index),
      }, element("img", { src: picture.picture, alt: picture.name })));
      gallery.hidden = gallery.children.length < 2;
    }

    const body = element("div", { className: "panel" });
    const views = radios(`${id}-view`, "", "views",
      [["smooth", "Smooth"], ["cells", "Cells"], ["none", "Picture"]].map(
        ([value, text]) => ({ value, parts: [text] })), stage.getView(), stage.setView);
    gallery.hidden = true;
    pictures.forEach(addThumbnail);
    root.className = "";
    root.replaceChildren(gallery, element("div", { className: "viewer" },
      element("div", {}, ...stage.parts, name), panel));
    if (pictures.length) showPicture(0);
    // Without a focused element, the up and down arrows still scroll the page.
    document.onkeydown = (event) => {
      const handled = ["ArrowLeft", "ArrowRight", " "].includes(event.key);
      if (handled && event.target === document.body) press(event);
    };
    return {
      add(picture) {
        pictures.push(picture);
        addThumbnail(picture, pictures.length - 1);
      },
      show: showPicture,
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
