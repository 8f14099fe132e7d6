// Questions to the server. Each returns what the API answers, or throws an Error with a sentence to show.

async function ask(path, options = {}) {
  let response
  try {
    response = await fetch(path, options)
  } catch (error) {
    if (error.name === "AbortError") throw error
    throw new Error("The server does not answer. Is it still running?")
  }
  const answer = await response.json().catch(() => null)
  if (!response.ok) throw new Error(answer?.detail ?? `The server answered with status ${response.status}.`)
  return answer
}

export const search = (text, signal) => ask(`items/search?${new URLSearchParams({ q: text, n: 8 })}`, { signal })
export const similar = (itemId) => ask(`items/${encodeURIComponent(itemId)}/similar?n=10`)
export const filters = () => ask("items/filters")
export const model = () => ask("model")
export const listOfUser = (userId, wishes, signal) =>
  ask(`users/${encodeURIComponent(userId)}/recommendations?${wishes}`, { signal })

export const listByRatings = (ratings, wishes, signal) =>
  ask(`recommendations?${wishes}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ratings: ratings.map(({ item_id, rating }) => ({ item_id, rating })) }),
    signal,
  })
