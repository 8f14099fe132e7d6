// The person's ratings, kept in this browser: {item_id, title, rating}; a rating of null means seen, but not rated.

const KEY = "widedeep.ratings"

function load() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "[]")
    return stored.filter((one) => one && one.item_id !== undefined && typeof one.title === "string")
  } catch {
    return [] // something else is stored, or the browser keeps nothing
  }
}

let ratings = load()
const listeners = []

export const all = () => ratings
export const ratingOf = (itemId) => ratings.find((one) => one.item_id === itemId)?.rating
export const isRated = (itemId) => ratings.some((one) => one.item_id === itemId)
export const onChange = (listener) => listeners.push(listener)

function replace(newer) {
  ratings = newer
  try {
    localStorage.setItem(KEY, JSON.stringify(ratings))
  } catch {
    // the browser keeps nothing: the ratings last as long as the page
  }
  listeners.forEach((listener) => listener())
}

/** Add ratings, the newest first; one of the same item takes the place of an older one. */
export function add(newer) {
  const ids = new Set(newer.map((one) => one.item_id))
  replace([...newer, ...ratings.filter((one) => !ids.has(one.item_id))])
}

/** Change a rating where it stands. */
export function change(itemId, rating) {
  replace(ratings.map((one) => (one.item_id === itemId ? { ...one, rating } : one)))
}

export const remove = (itemId) => replace(ratings.filter((one) => one.item_id !== itemId))
export const clear = () => replace([])
