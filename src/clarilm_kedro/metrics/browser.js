"use strict";
// Every text of a user or a model reaches the page through textContent, never as markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const FOLD = 700; // characters of a text that are shown at first
const OUTCOMES = {
  tp: "asked, as needed", fp: "asked needlessly", fn: "missed: should have asked", tn: "answered, as it should",
  dropped: "not counted: unreadable",
};
const SHORT = {tp: "TP", fp: "FP", fn: "FN", tn: "TN", dropped: "dropped"};
const VERDICTS = {win: "win", tie: "tie", lose: "loss", invalid: "unreadable"};
const FIELDS = ["search", "benchmark", "category", "subclass", "system", "outcome", "disagrees", "verdict", "against"];
const ANY_MODEL = "any other model";

const byId = (id) => document.getElementById(id);
const control = Object.fromEntries(FIELDS.map((name) => [name, byId(name)]));
const titleOf = Object.fromEntries(DATA.benchmarks.map((each) => [each.name, each.title]));
const narrow = window.matchMedia("(max-width: 48rem)");
let found = DATA.items; // what fits the filters
let chosen = null;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

function named(item) {
  return [titleOf[item.benchmark], item.category, item.subclass].filter(Boolean).join(" / ");
}

// ---- filters

function options(select, pairs, value) {
  select.replaceChildren(...pairs.map(([key, label]) => element("option", {value: key, textContent: label})));
  select.value = pairs.some(([key]) => key === value) ? value : pairs[0][0];
}

function distinct(values) {
  return [...new Set(values)].filter(Boolean).sort();
}

function fillFixedOptions() {
  options(control.benchmark, [["", "all"], ...DATA.benchmarks.map((each) => [each.name, each.title])], "");
  options(control.system, DATA.systems.length ? DATA.systems.map((name) => [name, name]) : [["", "none"]], DATA.system);
  const outcomes = Object.entries(OUTCOMES).map(([key, label]) => [key, `${SHORT[key]}: ${label}`]);
  options(control.outcome, [["", "any"], ["right", "right"], ["wrong", "wrong"], ...outcomes], "");
  const others = distinct(DATA.items.flatMap((item) => item.verdicts.map((each) => each.other)));
  options(control.verdict, [["", "any"], ["judged", "judged at all"], ["flip", "changed with the order"],
    ...Object.entries(VERDICTS)], "");
  options(control.against, [["", "any"], ...others.map((name) => [name, name])], "");
  for (const each of document.querySelectorAll(".judged")) each.hidden = !others.length;
}

function fillDependentOptions(wanted = {}) {
  const inBenchmark = DATA.items.filter((item) => !control.benchmark.value || item.benchmark === control.benchmark.value);
  const keep = (name) => wanted[name] ?? control[name].value;
  const choices = (select, name, items) =>
    options(select, [["", "all"], ...distinct(items.map((item) => item[name])).map((value) => [value, value])], keep(name));
  choices(control.category, "category", inBenchmark);
  const category = control.category.value;
  choices(control.subclass, "subclass", inBenchmark.filter((item) => !category || item.category === category));
  const others = DATA.systems.filter((name) => name !== control.system.value).map((name) => [name, name]);
  options(control.disagrees, [["", "(no matter)"], [ANY_MODEL, ANY_MODEL], ...others], keep("disagrees"));
}

function haystack(item) {
  item.haystack ??= [item.id, item.question, item.context, item.thought, ...item.references, ...item.facets,
    ...item.replies.map((reply) => reply?.text ?? "")].join("\n").toLowerCase();
  return item.haystack;
}

function disagrees(item, mine, withWhom) {
  const reply = item.replies[mine];
  if (!reply) return false;
  const others = withWhom === ANY_MODEL ? item.replies.slice(0, DATA.models) : [item.replies[DATA.systems.indexOf(withWhom)]];
  return others.some((other) => other && other.asked !== reply.asked);
}

function isRight(outcome) {
  return outcome === "tp" || outcome === "tn";
}

function hasOutcome(reply, wanted) {
  if (!reply) return false;
  if (wanted === "right" || wanted === "wrong") return Boolean(reply.outcome) && isRight(reply.outcome) === (wanted === "right");
  return reply.outcome === wanted;
}

function isJudged(item, verdict, against) {
  return item.verdicts.some((each) => (!against || each.other === against) && (
    !verdict || verdict === "judged" || each.verdict === verdict ||
    (verdict === "flip" && new Set(each.orders.map((order) => order.verdict)).size > 1)));
}

function fits(item) {
  const value = Object.fromEntries(FIELDS.map((name) => [name, control[name].value]));
  const mine = DATA.systems.indexOf(value.system);
  const words = value.search.toLowerCase().split(/\s+/).filter(Boolean);
  return (!value.benchmark || item.benchmark === value.benchmark)
    && (!value.category || item.category === value.category)
    && (!value.subclass || item.subclass === value.subclass)
    && (!value.outcome || hasOutcome(item.replies[mine], value.outcome))
    && (!value.disagrees || disagrees(item, mine, value.disagrees))
    && (!(value.verdict || value.against) || isJudged(item, value.verdict, value.against))
    && words.every((word) => haystack(item).includes(word));
}

function applyFilters() {
  found = DATA.items.filter(fits);
  if (!found.includes(chosen)) chosen = found[0] ?? null;
  byId("count").textContent = `${found.length.toLocaleString("en")} of ${DATA.items.length.toLocaleString("en")} items.`;
  show();
}

// ---- list

function page() {
  return Math.max(Math.floor(found.indexOf(chosen) / DATA.pageSize), 0);
}

function outcomeTag(reply, long = false) {
  const label = (long ? OUTCOMES : SHORT)[reply.outcome] ?? (reply.asked ? "asked" : "answered");
  return element("span", {className: `tag ${isRight(reply.outcome) ? "right" : "wrong"}`, textContent: label});
}

function entry(item) {
  const reply = item.replies[DATA.systems.indexOf(control.system.value)];
  const about = element("span", {className: "meta", textContent: `${named(item)} `});
  if (reply) about.append(outcomeTag(reply));
  const question = element("span", {className: "question", dir: "auto", textContent: item.question.slice(0, 300)});
  const button = element("button", {type: "button", onclick: () => choose(item, true)}, question, about);
  if (item === chosen) button.setAttribute("aria-current", "true");
  return element("li", {}, button);
}

function showList() {
  const first = page() * DATA.pageSize;
  const rows = found.slice(first, first + DATA.pageSize);
  byId("list").replaceChildren(...rows.map(entry));
  byId("none").hidden = found.length > 0;
  byId("pager").hidden = found.length <= DATA.pageSize;
  byId("page").textContent = `${first + 1} to ${first + rows.length} of ${found.length.toLocaleString("en")}`;
  byId("previous-page").disabled = first === 0;
  byId("next-page").disabled = first + DATA.pageSize >= found.length;
  byId("list").querySelector("[aria-current]")?.scrollIntoView({block: "nearest"});
}

// ---- one item

function textBlock(text, tag = "p", className = "text") {
  if (!text) return element("p", {className: "empty", textContent: "(empty)"});
  const shown = element(tag, {className, dir: "auto", textContent: text});
  if (text.length <= FOLD) return shown;
  // Cut between characters, not within one.
  const cut = (length) => Array.from(text.slice(0, length + 1)).slice(0, -1).join("");
  shown.textContent = `${cut(FOLD)}…`;
  const unfold = element("button", {
    type: "button",
    className: "fold",
    textContent: `Show all ${text.length.toLocaleString("en")} characters`,
    onclick: () => {
      shown.textContent = text;
      unfold.remove();
    },
  });
  return element("div", {}, shown, unfold);
}

function listBlock(title, texts, note = () => "") {
  if (!texts.length) return [];
  const rows = texts.map((text, i) => element("li", {},
    element("bdi", {textContent: text}), element("span", {className: "meta", textContent: note(i)})));
  return [element("h3", {textContent: title}), element("ul", {}, ...rows)];
}

function replyCard(item, system, reply) {
  const heading = element("h3", {}, element("span", {textContent: system}), outcomeTag(reply, true));
  const facts = [];
  if (reply.pAsk !== null) facts.push(`P(ask) ${percent(reply.pAsk)}`);
  if (reply.threshold !== null) facts.push(`threshold ${percent(reply.threshold)}`);
  if (!reply.parsed) facts.push("no decision could be read");
  const scores = Object.entries(reply.scores).map(([name, value]) => `${DATA.scores[name] ?? name} ${percent(value)}`);
  const card = element("section", {className: "reply"}, heading, textBlock(reply.text));
  for (const line of [facts, scores]) {
    if (line.length) card.append(element("p", {className: "meta", textContent: line.join(" · ")}));
  }
  if (system === control.system.value) card.classList.add("chosen");
  return card;
}

function verdictBlock(verdicts) {
  if (!verdicts.length) return [];
  const rows = verdicts.map((each) => {
    const head = `${each.system} against ${each.other}, ${each.judge}: ${VERDICTS[each.verdict] ?? each.verdict}`;
    const orders = each.orders.map((order) => element("li", {},
      element("span", {className: "meta", textContent: `order ${order.order}, ${VERDICTS[order.verdict] ?? order.verdict}: `}),
      element("bdi", {textContent: order.reason})));
    return element("li", {}, element("span", {textContent: head}), element("ul", {}, ...orders));
  });
  return [element("h3", {textContent: "Verdicts (a win or a loss where both orders agree)"}), element("ul", {}, ...rows)];
}

function showItem() {
  const pane = byId("item");
  if (!chosen) {
    pane.replaceChildren();
    return;
  }
  const item = chosen;
  const label = item.needs ? "Needs a clarification." : "Needs none.";
  const replies = DATA.systems.map((system, i) => [system, item.replies[i]]).filter(([, reply]) => reply);
  const mine = control.system.value;
  replies.sort(([a], [b]) => (b === mine) - (a === mine)); // stable: the chosen system first, the others in order
  const thought = item.thought
    ? [element("details", {}, element("summary", {textContent: "Thought of the reasoning model that labelled it"}), textBlock(item.thought))]
    : [];
  pane.replaceChildren(
    element("button", {type: "button", id: "back", textContent: "← Back to the list", onclick: leaveItem}),
    element("p", {className: "meta text", textContent: `${named(item)} · ${item.id} · ${label}`}),
    ...(item.context ? [element("h3", {textContent: "Said before"}), textBlock(item.context)] : []),
    textBlock(item.question, "h2"),
    ...listBlock(item.references.length > 1 ? "References" : "Reference", item.references,
      (i) => (item.importances[i] ? `, importance ${item.importances[i]}` : "")),
    ...listBlock("Facets", item.facets),
    ...thought,
    element("div", {className: "replies"}, ...replies.map(([system, reply]) => replyCard(item, system, reply))),
    ...verdictBlock(item.verdicts),
  );
  pane.scrollTop = 0;
}

function show() {
  showList();
  showItem();
  writeAddress();
}

function choose(item, open = false) {
  chosen = item;
  if (open) document.body.dataset.view = "item";
  show();
  if (open && narrow.matches) {
    window.scrollTo(0, 0);
    byId("item").focus({preventScroll: true});
  } else {
    byId("list").querySelector("[aria-current]")?.focus({preventScroll: true});
  }
}

function leaveItem() {
  delete document.body.dataset.view;
  byId("list").querySelector("[aria-current]")?.focus();
}

function step(by) {
  const next = found[found.indexOf(chosen) + by];
  if (next) choose(next, document.body.dataset.view === "item");
}

function turn(by) {
  const next = found[(page() + by) * DATA.pageSize];
  if (page() + by >= 0 && next) choose(next);
}

// ---- the address holds the state

function writeAddress() {
  const state = new URLSearchParams();
  for (const name of FIELDS) {
    if (control[name].value && !(name === "system" && control[name].value === DATA.system)) state.set(name, control[name].value);
  }
  // On a phone an item is open only after it was chosen, and a reload must not open one.
  if (chosen && (!narrow.matches || document.body.dataset.view === "item")) state.set("item", `${chosen.benchmark}:${chosen.id}`);
  try {
    history.replaceState(null, "", `#${state}`);
  } catch {
    // A viewer that frames the page may forbid it; the page works without.
  }
}

function readAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  control.search.value = state.get("search") ?? "";
  for (const name of ["benchmark", "outcome", "verdict", "against", "system"]) {
    const value = state.get(name) ?? (name === "system" ? DATA.system : "");
    if ([...control[name].options].some((option) => option.value === value)) control[name].value = value;
  }
  fillDependentOptions({
    category: state.get("category") ?? "", subclass: state.get("subclass") ?? "", disagrees: state.get("disagrees") ?? "",
  });
  chosen = DATA.items.find((item) => `${item.benchmark}:${item.id}` === state.get("item")) ?? null;
  if (chosen) document.body.dataset.view = "item";
  applyFilters();
}

// ---- keys

const KEYS = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
  "]": () => turn(1), "[": () => turn(-1),
  "/": () => {
    byId("filters").open = true;
    leaveItem();
    control.search.focus();
  },
  "?": () => byId("keys").showModal(),
  Escape: leaveItem,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (Object.hasOwn(KEYS, event.key)) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

byId("form").addEventListener("input", () => {
  fillDependentOptions();
  applyFilters();
});
byId("form").addEventListener("reset", (event) => {
  event.preventDefault(); // to the first choices, not to what the markup says
  for (const name of FIELDS) control[name].value = name === "system" ? DATA.system : "";
  fillDependentOptions();
  applyFilters();
});
byId("form").addEventListener("submit", (event) => event.preventDefault());
byId("previous-page").addEventListener("click", () => turn(-1));
byId("next-page").addEventListener("click", () => turn(1));
byId("show-keys").addEventListener("click", KEYS["?"]);
window.addEventListener("hashchange", readAddress);

byId("filters").open = !narrow.matches;
byId("held").textContent = DATA.benchmarks.filter((each) => each.held < each.all)
  .map((each) => `${each.title}: ${each.held.toLocaleString("en")} of ${each.all.toLocaleString("en")} items, drawn by hash.`).join(" ");
fillFixedOptions();
readAddress();
