// What the model is and how good it is.

import { element } from "./dom.js"

const shown = (value) => (typeof value === "number" ? value.toFixed(3) : "–")

function table(caption, columns, rows) {
  const cells = (kind, row) => row.map((textContent, place) => {
    const isHeader = kind === "th" ? place > 0 : place === 0 // the corner heads nothing
    const cell = element(isHeader ? "th" : "td", { textContent })
    if (isHeader) cell.scope = kind === "th" ? "col" : "row"
    return cell
  })
  return element("table", {},
    element("caption", { textContent: caption }),
    element("thead", {}, element("tr", {}, ...cells("th", columns))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells("td", row)))))
}

/** Return the elements that tell about a model, as GET /model describes it. */
export function aboutModel(model) {
  const { metrics } = model
  const paragraph = (textContent) => element("p", { textContent })
  const told = [
    paragraph(`${model.name}, trained on ${model.train_ratings.toLocaleString("en")} ratings of ${model.items.toLocaleString("en")} `
      + `titles by ${model.users.toLocaleString("en")} people (${model.dataset}).`),
  ]
  if (metrics.test?.rmse !== undefined && metrics.reference_models) {
    const rows = [["this model", metrics.test], ["biases of users and titles", metrics.reference_models.bias], ["the mean of all ratings", metrics.reference_models.global_mean]]
    told.push(table("How far predicted ratings are off, on ratings never seen (lower is better)", ["", "RMSE", "MAE"],
      rows.filter(([, one]) => one).map(([name, one]) => [name, shown(one.rmse), shown(one.mae)])))
  }
  if (metrics.ranking?.model) {
    const rows = [["this model", metrics.ranking.model], ["the most rated titles", metrics.ranking.popularity]]
    told.push(table("How good lists are, on likes never seen (higher is better)", ["", "NDCG@10", "Recall@20"],
      rows.filter(([, one]) => one).map(([name, one]) => [name, shown(one.ndcg_at_10), shown(one.recall_at_20)])))
  }
  told.push(paragraph("A predicted rating is a guess of yours. A list is not sorted by it, but by what the model expects you to watch and like."))
  if (!model.lists_of_this_model) told.push(paragraph("The stored lists of users come from another model than this one."))
  return told
}
