"use strict";

const at = (id) => document.getElementById(id);
const about = fetch("/api/about").then((answer) => answer.json());
let picture = null; // the file as chosen
let record = null; // what is shown of it
let asked = 0; // requests so far: the answer to an older one comes too late

function report(text) {
  at("status").textContent = text;
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

// The answer to a form with the picture in it; what the server complains of is thrown.
async function send(path, fields) {
  const form = new FormData();
  form.append("image", picture, picture.name || "pasted picture");
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

function show(found) {
  const answers = record && record.file === picture ? record.answers : [];
  record = { file: picture, name: picture.name || "", ...found, answers };
  at("result").hidden = false;
  Explorer.mount(at("explorer"), [record]);
}

async function caption() {
  if (!picture || !at("settings").reportValidity()) return;
  const mine = ++asked;
  report("Looking …");
  at("result").classList.add("waiting");
  try {
    const { max_bytes: most, writes } = await about;
    if (picture.size > most - 4096) {
      throw new Error(`The picture is larger than ${Math.floor(most / 2 ** 20)} MiB; make it smaller.`);
    }
    if (!writes) {
      show({ picture: URL.createObjectURL(picture), captions: [] });
      report("Ask about the picture.");
      return;
    }
    const answer = await send("/api/caption", [...settings(), ["preview", "true"]]);
    const found = await answer.json();
    if (mine !== asked) return;
    show(found);
    report(`It says: ${found.captions[0].text}`);
  } catch (error) {
    if (mine !== asked) return;
    if (!record || record.file !== picture) at("result").hidden = true;
    complain(error.message);
  } finally {
    if (mine === asked) at("result").classList.remove("waiting");
  }
}

function take(file) {
  if (!file) return;
  picture = file;
  caption();
}

at("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
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
  take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));

at("settings").addEventListener("change", () => {
  const sample = at("sample").checked;
  for (const [id, needed] of [["beam-size", !sample], ["temperature", sample], ["seed", sample]]) {
    at(id).disabled = !needed;
    at(id).parentElement.hidden = !needed;
  }
  caption();
});
at("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  caption();
});

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const shown = record, question = at("question").value.trim();
  if (!question || !shown) return;
  report("Looking …");
  try {
    const answer = await (await send("/api/answer", [["question", question]])).json();
    if (record !== shown) return;
    record.answers.push(answer);
    Explorer.mount(at("explorer"), [record], {
      first: record.captions.length + record.answers.length - 1,
    });
    report(`${question} ${answer.text}`);
    at("question").value = "";
  } catch (error) {
    complain(error.message);
  }
});

at("download").addEventListener("click", async () => {
  if (!record) return;
  report("Writing the file …");
  try {
    const questions = record.answers.map((answer) => ["question", answer.question]);
    const answer = await send("/api/explorer", [...settings(), ...questions]);
    const address = URL.createObjectURL(await answer.blob());
    const link = document.createElement("a");
    link.href = address;
    link.download = "explorer.html";
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    report("Downloaded explorer.html.");
  } catch (error) {
    complain(error.message);
  }
});

about.then(({ answers, writes, decoding }) => {
  at("settings").hidden = !writes;
  at("ask").hidden = !answers;
  at("beam-size").value = decoding.beam_size;
  at("num-captions").value = decoding.num_captions;
}).catch(() => complain("The server cannot be reached; is it still running?"));
