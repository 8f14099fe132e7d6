"""A tiny dump written by hand, whose every row has a known fate."""

from pathlib import Path

ANIME_HEADER = (
    "anime_id,Name,English name,Other name,Score,Genres,Synopsis,Type,Episodes,Aired,Premiered,Status,Producers,"
    "Licensors,Studios,Source,Duration,Rating,Rank,Popularity,Favorites,Scored By,Members,Image URL"
)
USERS_HEADER = (
    "Mal ID,Username,Gender,Birthday,Location,Joined,Days Watched,Mean Score,Watching,Completed,On Hold,Dropped,"
    "Plan to Watch,Total Entries,Rewatched,Episodes Watched"
)
RATINGS_HEADER = "user_id,Username,anime_id,Anime Title,rating"

ANIME = [
    '1,"Bebop, Cowboy",e,o,8.75,"Action, Sci-Fi","Line one.\n\nHe said ""go"", so they went.",TV,26.0,'
    '"Apr 3, 1998 to Apr 24, 1999",spring 1998,Finished Airing,"Bandai Visual, Victor",Funimation,Sunrise,Original,'
    "24 min per ep,R - 17+,41.0,43,78525,914193.0,1771505,u",
    "5,Movie,e,o,UNKNOWN,Drama,s,Movie,1.0,2001,UNKNOWN,Finished Airing,UNKNOWN,UNKNOWN,Bones,Manga,1 hr 55 min,"
    "PG-13,UNKNOWN,100,10,UNKNOWN,50,u",
    "6,Odd,e,o,UNKNOWN,UNKNOWN,s,TV,many,Oct 2000 to ?,UNKNOWN,Finished Airing,UNKNOWN,UNKNOWN,UNKNOWN,Unknown,"
    "Unknown,UNKNOWN,UNKNOWN,200,0,UNKNOWN,5,u",
    "6,Again,e,o,UNKNOWN,UNKNOWN,s,TV,1.0,Not available,UNKNOWN,x,UNKNOWN,UNKNOWN,UNKNOWN,Unknown,Unknown,x,UNKNOWN,"
    "200,0,UNKNOWN,5,u",
    "x7,NoId,e,o,UNKNOWN,UNKNOWN,s,TV,1.0,Not available,UNKNOWN,x,UNKNOWN,UNKNOWN,UNKNOWN,Unknown,Unknown,x,UNKNOWN,"
    "200,0,UNKNOWN,5,u",
]
USERS = [
    "1,Xinil,Male,1985-03-04T00:00:00+00:00,California,2004-11-05T00:00:00+00:00,142.3,7.37,1,233,8,93,64,399,60,8458",
    '2,null,,,"Paris, ""France""",2005-01-01T00:00:00+00:00,10,8,1,2,3,4,5,15,0,100',
    "9,silent,Female,,,,,0.0,,,,,,,,",
]
GOOD = [
    '1,Xinil,1,"Bebop, Cowboy",9',
    "1,Xinil,5,Movie,7",
    "2,null,1,b,10",
    "2,null,6,Odd,3",
    "3,unlisted,5,Movie,8",
    "3,unlisted,1,b,8.0",
]
BAD = {
    "1,Xinil,6,Odd": "wrong_arity",
    "1,Xinil,6,Odd,5,extra": "wrong_arity",
    "one,Xinil,6,Odd,5": "user_id_not_a_number",
    "-4,Xinil,6,Odd,5": "user_id_not_a_number",
    "1,Xinil,6.5,Odd,5": "item_id_not_a_number",
    "1,Xinil,6,Odd,": "rating_not_a_number",
    "1,Xinil,6,Odd,good": "rating_not_a_number",
    "1,Xinil,6,Odd,0": "unscored",
    "1,Xinil,6,Odd,-1": "unscored",
    "1,Xinil,6,Odd,11": "rating_out_of_range",
    "1,Xinil,6,Odd,NaN": "rating_not_a_number",
    "1,Xinil,6,Odd,7.5": "rating_between_steps",
    "1,Xinil,777,Nowhere,5": "unknown_item",
}
DUPLICATE = '1,Xinil,1,"Bebop, Cowboy",2'


def write_dump(path: Path, ratings: list[str] | None = None, anime: list[str] | None = None) -> Path:
    """The three files; by default all good rows, then all bad ones, then a second rating of a pair."""
    path.mkdir(parents=True, exist_ok=True)
    rows = [*GOOD, *BAD, DUPLICATE] if ratings is None else ratings
    (path / "users-score-2023.csv").write_text("\n".join([RATINGS_HEADER, *rows]) + "\n")
    (path / "users-details-2023.csv").write_text("\n".join([USERS_HEADER, *USERS]) + "\n")
    (path / "anime-dataset-2023.csv").write_text("\n".join([ANIME_HEADER, *(ANIME if anime is None else anime)]) + "\n")
    return path
