"use strict";

const MOST_AT_ONCE = 50;
const at = (id) => document.getElementById(id);
const about = fetch("/api/about").then((answer) => answer.json());
const records = []; // of the pictures shown, each with its file
const waiting = []; // files that are still to be captioned
let working = false;
let shown = -1; // the index of the record on show
let asked = 0; // captionings of a shown picture so far: the answer to an older one comes too late

const viewer = Explorer.mount(at("explorer"), records, {
  beside: at("ask"),
  onPicture: (index) => { shown = index; },
});

// What is seen on the page anyway is only read aloud.
function report(text, seen = true) {
  at("status").textContent = text;
  at("status").className = seen ? "" : "unseen";
  at("problem").hidden = true;
}
function complain(text) {
  at("status").textContent = "";
  at("problem").textContent = text;
  at("problem").hidden = false;
}

function settings() {
  const sample = at("sample").checked;
  const fields = { num_captions: at("num-captions").value };
  if (sample) Object.assign(fields, { temperature: at("temperature").value, seed: at("seed").value });
  else fields.beam_size = Math.max(at("beam-size").value, at("num-captions").value);
  return Object.entries(fields);
}

// The answer to a form; what the server complains of is thrown.
async function post(path, fields, file) {
  const form = new FormData();
  if (file) form.append("image", file, file.name || "pasted picture");
  for (const [name, value] of fields) form.append(name, value);
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body: form });
  } catch {
    throw new Error("The server cannot be reached; is it still running?");
  }
  if (!answer.ok) {
    const { error } = await answer.json().catch(() => ({}));
    throw new Error(error || `The server answered with ${answer.status}.`);
  }
  return answer;
}

// {picture, captions}: the picture to show and what the model says of it.
async function caption(file) {
  const { max_bytes: most, writes } = await about;
  if (file.size > most - 4096) {
    throw new Error(`The picture is larger than ${Math.floor(most / 2 ** 20)} MiB; make it smaller.`);
  }
  if (!writes) return { picture: URL.createObjectURL(file), captions: [] };
  const seen = ["attention", "runners_up", "preview"].map((name) => [name, "true"]);
  return (await post("/api/caption", [...settings(), ...seen], file)).json();
}

const say = ({ captions }) => captions.length
  ? report(`It says: ${captions[0].text}`, false) : report("Ask about the picture.");

// Captions the waiting pictures one after the other and shows the first of them.
async function work() {
  working = true;
  let total = waiting.length, done = 0, first = true, last = null;
  const problems = [];
  while (waiting.length) {
    total = Math.max(total, done + waiting.length);
    report(total > 1 ? `Looking at picture ${done + 1} of ${total} …` : "Looking …");
    const file = waiting.shift();
    try {
      last = { file, name: file.name || "", ...(await caption(file)), answers: [] };
      viewer.add(last);
      document.body.classList.add("filled");
      at("result").hidden = false;
      if (first) viewer.show(records.length - 1);
      first = false;
    } catch (error) {
      problems.push(total > 1 ? `${file.name}: ${error.message}` : error.message);
    }
    done += 1;
  }
  working = false;
  if (problems.length) complain(problems.join("\n"));
  else if (total > 1) report(`Captioned ${total} pictures.`);
  else say(last);
}

function take(files) {
  const chosen = [...files];
  if (chosen.length > MOST_AT_ONCE) {
    complain(`${chosen.length} pictures are too many for this page; choose up to ${MOST_AT_ONCE}, ` +
      "or caption a folder with captioner caption FOLDER.");
    return;
  }
  if (!chosen.length || !at("settings").reportValidity()) return;
  waiting.push(...chosen);
  if (!working) work();
}

// Captions the picture on show again, as the options now say.
async function captionAgain() {
  if (shown < 0 || !at("settings").reportValidity()) return;
  const record = records[shown], mine = ++asked;
  report("Looking …");
  at("result").classList.add("waiting");
  try {
    const found = await caption(record.file);
    if (mine !== asked) return;
    Object.assign(record, found);
    if (record === records[shown]) viewer.show(shown);
    say(record);
  } catch (error) {
    if (mine === asked) complain(error.message);
  } finally {
    if (mine === asked) at("result").classList.remove("waiting");
  }
}

for (const id of ["file", "camera"]) {
  at(id).addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
}
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) at("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));

async function takeSample(address) {
  const answer = await fetch(address).catch(() => null);
  if (!answer || !answer.ok) complain("The server cannot be reached; is it still running?");
  else take([new File([await answer.blob()], address.split("/").pop())]);
}

at("fetch").addEventListener("submit", async (event) => {
  event.preventDefault();
  const address = at("address").value.trim();
  report("Fetching …");
  try {
    const content = await (await post("/api/fetch", [["address", address]])).blob();
    take([new File([content], address)]);
    at("address").value = "";
  } catch (error) {
    complain(error.message);
  }
});

at("settings").addEventListener("change", () => {
  const sample = at("sample").checked;
  for (const [id, needed] of [["beam-size", !sample], ["temperature", sample], ["seed", sample]]) {
    at(id).disabled = !needed;
    at(id).parentElement.hidden = !needed;
  }
  captionAgain();
});
at("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  captionAgain();
});

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const index = shown, record = records[index], question = at("question").value.trim();
  if (!question || !record) return;
  report("Looking …");
  try {
    const answer = await (await post("/api/answer", [["question", question]], record.file)).json();
    record.answers.push(answer);
    if (index === shown) viewer.show(index, record.captions.length + record.answers.length - 1);
    report(`${question} ${answer.text}`, false);
    at("question").value = "";
    at("question").focus();
  } catch (error) {
    complain(error.message);
  }
});

at("download").addEventListener("click", async () => {
  const record = records[shown];
  report("Writing the file …");
  try {
    const questions = record.answers.map((answer) => ["question", answer.question]);
    const answer = await post("/api/explorer", [...settings(), ...questions], record.file);
    const address = URL.createObjectURL(await answer.blob());
    const link = element("a", { href: address, download: "explorer.html" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    report("Downloaded explorer.html.");
  } catch (error) {
    complain(error.message);
  }
});

about.then(({ answers, writes, decoding, fetches, samples }) => {
  at("options").hidden = !writes;
  at("ask").hidden = !answers;
  at("fetch").hidden = !fetches;
  at("beam-size").value = decoding.beam_size;
  at("num-captions").value = decoding.num_captions;
  at("samples").hidden = !samples.length;
  at("sample-buttons").append(...samples.map(({ address, text }) =>
    element("button", { type: "button", title: text, onclick: () => takeSample(address) },
      element("img", { src: address, alt: text }))));
}).catch(() => complain("The server cannot be reached; is it still running?"));
