// Puts the page together: whose list, what may be in it, and the list.

import { aboutModel } from "./about.js"
import * as api from "./api.js"
import { $, debounced, element, fillRatingMenu, ratingIn, setRating, show } from "./dom.js"
import { startFilters, wishes } from "./filters.js"
import { parseExport, textOf } from "./imports.js"
import { itemElement } from "./list.js"
import * as ratings from "./ratings.js"
import { startSearch } from "./search.js"

const PAGE_LENGTH = 20
const MOST_SHOWN = 100 // titles in a list, and rated ones on the page

let model // undefined until start() has the server's answer; until then nothing is shown that depends on it
let length = PAGE_LENGTH
let request = null

const mode = () => $("input[name=mode]:checked").value
const showError = (text) => show($("#error"), text)

// --- the list ------------------------------------------------------------------------------------

function sentence(answer) {
  const count = answer.recommendations.length
  const titles = `${count} title${count === 1 ? "" : "s"}`
  if (answer.source === "most_rated") return `The data does not know this user, so these are the ${titles} that most people rated.`
  if (!answer.known) return `Nothing is known of what this user likes, so these are the ${titles} that most people rated.`
  if (answer.used_ratings === null) return `${titles} for user ${answer.user_id}.`
  return `${titles}, by ${answer.used_ratings} rating${answer.used_ratings === 1 ? "" : "s"} of yours.`
}

function showList(answer) {
  const made = answer.recommendations.map((row) => itemElement(row, { scale: model, onSimilar: showSimilar }))
  $("#items").replaceChildren(...made)
  $("#status").textContent = sentence(answer)
  $("#more").hidden = made.length < length || length >= MOST_SHOWN
  const told = [...answer.remarks, ...answer.not_found]
  $("#remarks").hidden = !told.length
  $("#remarks summary").textContent = `${told.length} remark${told.length === 1 ? "" : "s"} on your ratings`
  $("#remarks ul").replaceChildren(...told.slice(0, MOST_SHOWN).map((textContent) => element("li", { textContent })))
}

function showNothing(text) {
  $("#items").replaceChildren()
  $("#status").textContent = text
  $("#more").hidden = $("#remarks").hidden = true
}

// From the moment that something changes until its list is there.
const setBusy = (busy) => $("#list").setAttribute("aria-busy", busy)

async function refresh() {
  request?.abort()
  const mine = (request = new AbortController())
  setBusy(true)
  try {
    await fetchList(mine.signal)
  } finally {
    if (mine === request) setBusy(false)
  }
}

async function fetchList(signal) {
  if (!model) return // here, so that the list does not stay busy if the model's answer never comes
  const user = $("#user-id").value.trim()
  showError("")
  if (mode() === "user" && !user) return showNothing("Give a user id to see the list.")
  if (mode() === "mine" && !ratings.all().some((one) => one.rating !== null)) return showNothing("Rate a title to see the list.")
  try {
    const asked = mode() === "user" ? api.listOfUser(user, wishes(length), signal) : api.listByRatings(ratings.all(), wishes(length), signal)
    showList(await asked)
  } catch (error) {
    if (error.name === "AbortError") return
    showNothing("")
    showError(error.message)
  }
}

const refreshAfterPause = debounced(refresh, 250)

function refreshSoon() {
  request?.abort()
  request = null // the one that goes on must not say that the list is there
  setBusy(true)
  refreshAfterPause()
}

async function showSimilar(item) {
  const dialog = $("#similar")
  try {
    const answer = await api.similar(item.item_id)
    $("h2", dialog).textContent = `Similar to ${item.title}`
    $("ol", dialog).replaceChildren(...answer.similar.map((row) => itemElement(row, { scale: model, onSimilar: showSimilar })))
    if (!dialog.open) dialog.showModal()
    dialog.scrollTop = 0
  } catch (error) {
    dialog.close()
    showError(error.message)
  }
}

// --- my ratings ----------------------------------------------------------------------------------

function ratingElement({ item_id, title, rating }) {
  const menu = fillRatingMenu(element("select"), model, rating)
  menu.setAttribute("aria-label", `My rating of ${title}`)
  menu.dataset.item = item_id
  menu.addEventListener("change", () => ratings.change(item_id, ratingIn(menu)))
  const button = element("button", { type: "button", className: "quiet", textContent: "×" })
  button.setAttribute("aria-label", `Remove ${title}`)
  button.addEventListener("click", () => {
    ratings.remove(item_id)
    $("#query").focus()
  })
  return element("li", {}, element("span", { textContent: title }), menu, button)
}

function showRatings() {
  if (!model) return
  const all = ratings.all()
  const menus = [...document.querySelectorAll("#ratings select")]
  const shown = all.slice(0, MOST_SHOWN)
  if (shown.length && menus.length === shown.length && menus.every((menu, place) => menu.dataset.item === `${shown[place].item_id}`)) {
    // The same items: a menu in which somebody types must stay.
    menus.forEach((menu, place) => setRating(menu, shown[place].rating))
    return
  }
  const focused = document.activeElement?.dataset?.item
  $("#ratings").replaceChildren(...shown.map(ratingElement))
  if (all.length > MOST_SHOWN) $("#ratings").append(element("li", { className: "hint", textContent: `and ${all.length - MOST_SHOWN} more` }))
  if (focused !== undefined) $(`#ratings [data-item="${CSS.escape(focused)}"]`)?.focus()
  $("#none-rated").hidden = all.length > 0
  $("#forget").hidden = !all.length
}

function addItem(item) {
  if (!ratings.isRated(item.item_id)) ratings.add([{ item_id: item.item_id, title: item.title, rating: model.liked }])
  $(`#ratings [data-item="${CSS.escape(item.item_id)}"]`)?.focus()
}

async function importFrom(text) {
  try {
    ratings.add(parseExport(await text))
    showError("")
    $("#import").open = false
    $("#file").value = $("#pasted").value = ""
  } catch (error) {
    showError(error.message)
  }
}

// --- whose list ----------------------------------------------------------------------------------

function showMode() {
  $("#mine").hidden = mode() !== "mine"
  $("#user").hidden = mode() !== "user"
}

// --- start ---------------------------------------------------------------------------------------

function listen() {
  ratings.onChange(() => {
    showRatings()
    length = PAGE_LENGTH
    if (mode() === "mine") refreshSoon()
  })
  document.querySelectorAll("input[name=mode]").forEach((choice) => choice.addEventListener("change", () => {
    showMode()
    refresh()
  }))
  $("#user").addEventListener("submit", (event) => {
    event.preventDefault()
    length = PAGE_LENGTH
    refresh()
  })
  $("#forget").addEventListener("click", () => {
    ratings.clear()
    $("#query").focus()
  })
  $("#file").addEventListener("change", ({ target }) => target.files.length && importFrom(textOf(target.files[0])))
  $("#take-pasted").addEventListener("click", () => importFrom($("#pasted").value))
  $("#more").addEventListener("click", async () => {
    const before = length
    length = Math.min(length + PAGE_LENGTH, MOST_SHOWN)
    await refresh()
    $(`#items > :nth-child(${before + 1}) select`)?.focus()
  })
  $("#about").addEventListener("click", () => $("#model").showModal())
}

async function start() {
  listen() // before the answers: what somebody chooses meanwhile counts
  try {
    const [about, filters] = await Promise.all([api.model(), api.filters()])
    model = about
    $("#model-text").replaceChildren(...aboutModel(about))
    if (!about.answers_ratings) {
      $("input[value=user]").checked = true
      $("input[value=mine]").disabled = true
    }
    showMode()
    startFilters(filters, () => {
      length = PAGE_LENGTH
      refreshSoon()
    })
    startSearch(addItem, showError)
    showRatings()
    refresh()
  } catch (error) {
    showError(error.message)
  }
}

start()
