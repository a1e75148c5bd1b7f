// How much has been sent, and what is too large before any of it is. All of it works without.
"use strict";

const $ = (id) => document.getElementById(id);
const [form, choose, progress, state, problem, cancel] = ["form", "choose", "progress", "state", "problem", "cancel"].map($);
const send = form.querySelector("button");

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[data-date]")) {
  time.dateTime = new Date(time.dataset.date).toISOString();
  time.textContent = day.format(new Date(time.dataset.date));
}
for (const utc of document.querySelectorAll(".utc")) utc.remove();

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1000 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function fail(why) {
  problem.textContent = why;
  problem.hidden = false;
  busy(false);
}

function busy(now) {
  send.disabled = choose.disabled = now;
  progress.hidden = cancel.hidden = !now;
  if (!now) state.textContent = "";
}

function tooLarge() {
  const total = [...choose.files].reduce((sum, file) => sum + file.size, 0);
  if (total <= Number(form.dataset.max)) return false;
  fail(`That is too large: ${size(total)}, and at most ${form.dataset.maxText} can be sent at once. Nothing was sent.`);
  return true;
}

choose.addEventListener("change", () => {
  problem.hidden = true;
  tooLarge();
});
for (const [name, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
  choose.addEventListener(name, () => choose.classList.toggle("over", over));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (tooLarge()) return;
  problem.hidden = true;
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json, application/problem+json");
  request.responseType = "json";
  request.upload.onprogress = ({ loaded, total }) => {
    progress.value = loaded / total;
    state.textContent = `${Math.floor((loaded / total) * 100)} % of ${size(total)}`;
  };
  request.onload = () => {
    if (request.status === 201) location = `${form.dataset.page}?added=${request.response.length}`;
    else fail(request.response?.detail ?? `That did not work: ${request.status}.`);
  };
  request.onerror = () => fail("The connection was lost. Nothing was stored; try again.");
  request.onabort = () => busy(false);
  cancel.onclick = () => request.abort();
  // The data before the field is disabled: a field that is has none.
  request.send(new FormData(form));
  progress.value = 0;
  busy(true);
});
