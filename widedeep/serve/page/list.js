// Items on the page: of a list, or similar to one.

import { $, element, fillRatingMenu, ratingIn } from "./dom.js"
import * as ratings from "./ratings.js"

function factsOf(item) {
  const { year, episodes } = item.numbers
  const words = [item.facts.type?.[0], year, episodes > 1 ? `${episodes} episodes` : ""]
  return words.filter(Boolean).join(" · ")
}

/** Return the sentence that says why an item is in a list. */
function because(reasons) {
  if (!reasons?.length) return ""
  return `because you rated ${reasons.map(({ title, rating }) => `${title} ${rating}`).join(", ")}`
}

/** Return an item as an element of a list.
 *
 * row: {item, predicted_rating, reasons} or {item, cosine}; actions: {scale, onSimilar}.
 */
export function itemElement(row, { scale, onSimilar }) {
  const made = $("#item-template").content.cloneNode(true).firstElementChild
  const { item } = row
  $("h3", made).textContent = item.title
  const others = Object.values(item.titles).filter((title) => title !== item.title)
  $(".other-titles", made).textContent = others.join(" · ")
  const genres = (item.facts.genres ?? []).map((textContent) => element("span", { className: "tag", textContent }))
  $(".facts", made).append(factsOf(item), " ", ...genres)
  $(".because", made).textContent = because(row.reasons)
  if (item.image_url) {
    const image = $("img", made)
    image.referrerPolicy = "no-referrer"
    image.src = item.image_url
    image.hidden = false
  }
  if (item.url) Object.assign($(".page", made), { href: item.url, hidden: false, textContent: new URL(item.url).hostname.replace("www.", "") })
  $(".page", made).setAttribute("aria-label", `${item.title}, its page elsewhere`)
  showValue($(".predicted", made), row, scale)
  const menu = fillRatingMenu($("select", made), scale, ratings.ratingOf(item.item_id), "–")
  menu.setAttribute("aria-label", `My rating of ${item.title}`)
  menu.addEventListener("change", () => rate(item, ratingIn(menu)))
  const button = $(".similar", made)
  button.setAttribute("aria-label", `Similar to ${item.title}`)
  button.addEventListener("click", () => onSimilar(item))
  return made
}

function showValue(place, { predicted_rating: rating, cosine }, scale) {
  if (rating !== null && rating !== undefined) {
    $(".value", place).textContent = rating.toFixed(1)
    $(".of", place).textContent = `of ${scale.highest}, predicted`
  } else if (cosine !== undefined) {
    $(".value", place).textContent = `${Math.round(cosine * 100)}%`
    $(".of", place).textContent = "alike"
  } else {
    place.hidden = true
  }
}

function rate(item, rating) {
  if (rating === undefined) ratings.remove(item.item_id)
  else if (ratings.isRated(item.item_id)) ratings.change(item.item_id, rating)
  else ratings.add([{ item_id: item.item_id, title: item.title, rating }])
}
