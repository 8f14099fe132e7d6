// Lists that MyAnimeList exported, read in the browser.

const PLANNED = ["plan to watch", "6"]

/** Return the text of a file, unpacked if it is packed by gzip. */
export async function textOf(file) {
  const magic = new Uint8Array(await file.slice(0, 2).arrayBuffer())
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return file.text()
  try {
    return await new Response(file.stream().pipeThrough(new DecompressionStream("gzip"))).text()
  } catch {
    throw new Error(`${file.name} cannot be unpacked: export the list again.`)
  }
}

/** Return the ratings of an export; what is planned is left out. Throws an Error with a sentence if it is none. */
export function parseExport(text) {
  const tree = new DOMParser().parseFromString(text, "application/xml")
  if (tree.querySelector("parsererror")) throw new Error("This is no XML: export the list again, and give all of it.")
  const ratings = []
  for (const anime of tree.querySelectorAll("anime")) {
    const value = (name) => anime.getElementsByTagName(name)[0]?.textContent.trim() ?? ""
    const itemId = Number(value("series_animedb_id"))
    const score = Number(value("my_score"))
    if (!Number.isSafeInteger(itemId) || itemId <= 0) continue
    if (!score && PLANNED.includes(value("my_status").toLowerCase())) continue
    ratings.push({ item_id: itemId, title: value("series_title"), rating: score || null })
  }
  if (!ratings.length) throw new Error("No anime is in it: export the list of anime from MyAnimeList.")
  return ratings
}
