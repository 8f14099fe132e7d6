// Small helpers to write the page. Texts are always set as text, never as markup: titles are other people's.

export const $ = (selector, within = document) => within.querySelector(selector)

/** Return a new element with properties and children. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

export const show = (target, text) => {
  target.textContent = text
  target.hidden = !text
}

/** Return a function that calls another one when it has not been called for some milliseconds. */
export function debounced(call, milliseconds) {
  let timer
  return (...args) => {
    clearTimeout(timer)
    timer = setTimeout(() => call(...args), milliseconds)
  }
}

/** Return a menu to rate an item: nothing, seen, and the ratings of the scale, the best first. */
export function fillRatingMenu(menu, scale, rating, empty) {
  const option = (value, text) => element("option", { value, textContent: text })
  const steps = Math.round((scale.highest - scale.lowest) / scale.step)
  const values = Array.from({ length: steps + 1 }, (_, number) => scale.highest - number * scale.step)
  menu.replaceChildren(...(empty ? [option("", empty)] : []), ...values.map((value) => option(value, `${value}`)), option("seen", "seen"))
  return setRating(menu, rating)
}

/** Let a menu say a rating: undefined for nothing, null for seen. */
export function setRating(menu, rating) {
  menu.value = rating === undefined ? "" : rating === null ? "seen" : `${rating}`
  return menu
}

/** Return what a menu says: undefined for nothing, null for seen, or the rating. */
export function ratingIn(menu) {
  return menu.value === "" ? undefined : menu.value === "seen" ? null : Number(menu.value)
}
