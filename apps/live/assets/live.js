// What is said comes by itself, and what is sent leaves the page where it is. All of it works without, by loading again.
"use strict";

const $ = (id) => document.getElementById(id);
const [log, form, text, problem, state, clock] = ["log", "say", "text", "problem", "state", "clock"].map($);

const two = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const three = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function element(tag, content, className) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...[content].flat());
  return made;
}

// Adds a line, and stays at the end if the end was in sight.
function add(item) {
  const page = document.documentElement;
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 80;
  $("empty").hidden = true;
  log.append(item);
  while (log.children.length > 500) log.firstChild.remove();
  if (atEnd) page.scrollTop = page.scrollHeight;
}

function said({ name, text, time }) {
  const when = element("time", two.format(new Date(time)));
  when.dateTime = when.title = time;
  // Text, never markup.
  return element("li", [element("p", [element("b", name), " ", when], "who"), element("p", text, "text")]);
}

function tell(words, on) {
  if (state.textContent !== words) state.textContent = words;
  state.classList.toggle("on", on);
}

for (const when of log.querySelectorAll("time")) when.textContent = two.format(new Date(when.dateTime));
document.documentElement.scrollTop = document.documentElement.scrollHeight;

// One stream for both: browsers open few connections to a host, and each tab needs one.
const events = new EventSource(document.body.dataset.events);
events.onopen = () => tell("connected", true);
events.onerror = () => {
  tell(events.readyState === EventSource.CLOSED ? "not connected: load the page again" : "connecting again …", false);
};
events.onmessage = ({ data }) => add(said(JSON.parse(data)));
events.addEventListener("lagged", ({ data }) => {
  const { missed } = JSON.parse(data);
  add(element("li", missed === 1 ? "One message is missing here." : `${missed} messages are missing here.`, "note"));
});
events.addEventListener("clock", ({ data }) => {
  const { time, listeners } = JSON.parse(data);
  clock.textContent = three.format(new Date(time));
  clock.dateTime = time;
  // 0: counted before this page came.
  tell(listeners <= 1 ? "only you are here" : `${listeners} are here`, true);
});

const remembered = sessionStorage.getItem("live-name");
if (remembered && !$("name").value) $("name").value = remembered;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fail = (why) => {
    problem.textContent = why;
    problem.hidden = false;
    text.focus();
  };
  sessionStorage.setItem("live-name", $("name").value);
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/problem+json" } });
    if (!answer.ok) return fail((await answer.json().catch(() => ({}))).detail || `That did not work: ${answer.status}.`);
    problem.hidden = true;
    text.value = "";
    text.focus();
  } catch {
    fail("The server could not be reached. Nothing was said; try again.");
  }
});

// Enter says it, with Shift it is a new line.
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
