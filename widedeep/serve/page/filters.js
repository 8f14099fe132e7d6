// What a list may hold: the form is made of what the server says can be filtered by.

import { $, element } from "./dom.js"

const FIRST = ["type", "genres", "year", "status", "age_rating"] // shown before the others, if the data has them
const MOST_BOXES = 9 // values that are shown as boxes; more are a menu
const KEY = "widedeep.filters"
const NAMES = { ratings: "number of ratings", dump_popularity: "popularity rank" }

const readable = (name) => NAMES[name] ?? name.replaceAll("_", " ")

function choice(filter) {
  if (filter.values.length <= MOST_BOXES) {
    const boxes = filter.values.map(({ value }) =>
      element("label", {}, element("input", { type: "checkbox", name: filter.name, value }), ` ${value}`))
    return element("fieldset", {}, element("legend", { textContent: readable(filter.name) }), ...boxes)
  }
  const options = filter.values.map(({ value, items }) => element("option", { value, textContent: `${value} (${items})` }))
  const menu = element("select", { name: filter.name }, element("option", { value: "", textContent: "any" }), ...options)
  const not = element("select", { name: `not_${filter.name}` }, element("option", { value: "", textContent: "none" }), ...options.map((one) => one.cloneNode(true)))
  return element("div", { className: "pair" },
    element("label", {}, readable(filter.name), menu), element("label", {}, `without ${readable(filter.name)}`, not))
}

function range(filter) {
  const bound = (suffix, word) => {
    const input = element("input", { type: "number", name: filter.name + suffix, step: "any", inputMode: "numeric" })
    input.placeholder = suffix === "_min" ? filter.lowest : filter.highest
    return element("label", {}, `${readable(filter.name)} ${word}`, input)
  }
  return element("div", { className: "pair" }, bound("_min", "from"), bound("_max", "to"))
}

const box = (name, text, checked) =>
  element("label", { className: "switch" }, element("input", { type: "checkbox", name, value: "true", checked }), ` ${text}`)

function store(form) {
  try {
    localStorage.setItem(KEY, JSON.stringify([...new FormData(form)]))
  } catch {
    // the browser keeps nothing
  }
}

function restore(form) {
  let stored
  try {
    stored = JSON.parse(localStorage.getItem(KEY))
  } catch {
    stored = null
  }
  if (!Array.isArray(stored)) return
  form.querySelectorAll("input[type=checkbox]").forEach((one) => (one.checked = false))
  for (const [name, value] of stored) {
    for (const field of form.querySelectorAll(`[name="${CSS.escape(name)}"]`)) {
      if (field.type !== "checkbox") field.value = value
      else if (field.value === value) field.checked = true
    }
  }
}

/** Fill the form, and call `onChange` when something in it changes. */
export function startFilters(answer, onChange) {
  const form = $("#filters")
  const kinds = answer.filters.filter((one) => one.kind === "range" || one.values.length > 1)
  const make = (filter) => (filter.kind === "choice" ? choice(filter) : range(filter))
  const first = FIRST.flatMap((name) => kinds.filter((one) => one.name === name))
  const others = kinds.filter((one) => !FIRST.includes(one.name))
  const most = element("select", { name: "franchise_most" },
    ...[["", "any number"], ["1", "one"], ["2", "two"], ["3", "three"]].map(([value, textContent]) => element("option", { value, textContent })))
  form.append(
    box("next_part_only", "Only next parts: nothing that continues what I have not seen", true),
    element("label", {}, "From one franchise", most),
    ...first.map(make),
    element("details", {}, element("summary", { textContent: "More filters" }), ...others.map(make)),
    ...(answer.hidden.length ? [box("include_hidden", `Show also: ${answer.hidden.map((one) => one.split("=").pop()).join(", ")}`, false)] : []),
    element("button", { type: "reset", className: "quiet", textContent: "Reset" }),
  )
  restore(form)
  const changed = () => {
    store(form)
    count(form)
    onChange()
  }
  form.addEventListener("change", changed)
  form.addEventListener("reset", () => setTimeout(changed)) // the fields change after the event
  form.addEventListener("submit", (event) => event.preventDefault())
  count(form)
}

function count(form) {
  const set = [...new FormData(form)].filter(([name, value]) => value && name !== "next_part_only").length
  $("#filter-count").textContent = set ? `${set} set` : ""
}

/** Return the parameters of a list of n items. */
export function wishes(n) {
  const given = [...new FormData($("#filters"))].filter(([, value]) => value !== "")
  return new URLSearchParams([["n", n], ...given])
}
