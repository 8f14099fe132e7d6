// The search for titles: a combobox as the ARIA authoring practices describe it.

import * as api from "./api.js"
import { $, debounced, element } from "./dom.js"

/** Let people search; `onChoice` gets each item that is chosen, `onError` the sentences of errors. */
export function startSearch(onChoice, onError) {
  const [input, list] = [$("#query"), $("#matches")]
  let found = []
  let active = -1
  let request = null

  function close() {
    request?.abort()
    found = []
    active = -1
    list.replaceChildren()
    list.hidden = true
    input.setAttribute("aria-expanded", "false")
    input.removeAttribute("aria-activedescendant")
  }

  function choose(item) {
    close()
    input.value = ""
    onChoice(item)
  }

  function mark(number) {
    active = number
    list.childNodes.forEach((option, place) => option.setAttribute("aria-selected", place === active))
    list.childNodes[active].scrollIntoView({ block: "nearest" })
    input.setAttribute("aria-activedescendant", list.childNodes[active].id)
  }

  function option(item, place) {
    const more = [item.numbers.year, item.facts.type?.[0], item.titles.english].filter(Boolean).join(" · ")
    const made = element("li", { id: `match-${place}` }, item.title, element("span", { className: "hint", textContent: more }))
    made.setAttribute("role", "option")
    made.setAttribute("aria-selected", "false")
    made.addEventListener("pointerdown", (event) => event.preventDefault()) // the input keeps the focus
    made.addEventListener("click", () => choose(item))
    return made
  }

  const look = debounced(async () => {
    const text = input.value.trim()
    if (!text) return close()
    request?.abort()
    request = new AbortController()
    try {
      const answer = await api.search(text, request.signal)
      if (input.value.trim() !== text) return
      found = answer.items
      active = -1
      input.removeAttribute("aria-activedescendant")
      const none = element("li", { className: "hint", textContent: "No title is like this." })
      none.setAttribute("role", "option")
      none.setAttribute("aria-disabled", "true")
      list.replaceChildren(...(found.length ? found.map(option) : [none]))
      list.hidden = false
      input.setAttribute("aria-expanded", "true")
      onError("")
    } catch (error) {
      if (error.name !== "AbortError") onError(error.message)
    }
  }, 150)

  input.addEventListener("input", look)
  input.addEventListener("blur", close)
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step && found.length) {
      event.preventDefault()
      mark((active + step + found.length + (active < 0 && step < 0 ? 1 : 0)) % found.length)
    } else if (event.key === "Enter" && found.length) {
      event.preventDefault()
      choose(found[Math.max(active, 0)])
    } else if (event.key === "Escape") {
      close()
    }
  })
  if (input.value) look() // of somebody who typed before the page was ready
}
