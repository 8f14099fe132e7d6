"""Compare jobs/prepare.py with DuckDB doing the same to the same files with the same number of threads."""

import shutil
from pathlib import Path

import duckdb

from benchmarks.measure import CORES, Round, seconds_of
from benchmarks.workspace import Workspace
from widedeep.schema.manifest import read_manifest

# What prepare does except quarantine and most features: parse with types, number users and anime, drop repeated pairs,
# split by hash, compute statistics of the training split, write ratings in random order by split and shard.
STEPS = """
CREATE TABLE read AS SELECT user_id, anime_id, rating FROM read_csv('{raw}/users-score-2023.csv', header = true,
  columns = {{'user_id': 'BIGINT', 'Username': 'VARCHAR', 'anime_id': 'BIGINT', 'Anime Title': 'VARCHAR',
              'rating': 'FLOAT'}}, quote = '"', escape = '"', ignore_errors = true, store_rejects = true);
CREATE TABLE anime AS SELECT * FROM read_csv('{raw}/anime-dataset-2023.csv', header = true, all_varchar = true,
  quote = '"', escape = '"');
CREATE TABLE people AS SELECT * FROM read_csv('{raw}/users-details-2023.csv', header = true, all_varchar = true,
  quote = '"', escape = '"');
CREATE TABLE repeated AS SELECT user_id, anime_id FROM read GROUP BY ALL HAVING count(*) > 1;
CREATE TABLE items AS SELECT anime_id, (row_number() OVER (ORDER BY anime_id) - 1)::INT AS item
  FROM (SELECT anime_id::BIGINT AS anime_id FROM anime);
CREATE TABLE users AS SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INT AS "user"
  FROM (SELECT user_id FROM read UNION SELECT "Mal ID"::BIGINT FROM people);
CREATE TABLE dealt AS SELECT "user", item, rating, hash(user_id, anime_id) AS key,
  CASE WHEN hash(user_id, anime_id, 1) % 10 < 8 THEN 'train' WHEN hash(user_id, anime_id, 1) % 10 = 8 THEN 'valid'
       ELSE 'test' END AS split
  FROM read JOIN users USING (user_id) JOIN items USING (anime_id) ANTI JOIN repeated USING (user_id, anime_id);
COPY (SELECT "user", item, rating, split, key >> 60 AS shard FROM dealt WHERE rating BETWEEN 1 AND 10 ORDER BY key)
  TO '{out}/ratings' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (split, shard));
COPY (SELECT * FROM users LEFT JOIN people ON user_id = "Mal ID"::BIGINT LEFT JOIN (SELECT "user", count(*) AS n,
  avg(rating) AS mean FROM dealt WHERE split = 'train' GROUP BY "user") USING ("user") ORDER BY "user")
  TO '{out}/users.parquet' (FORMAT parquet, COMPRESSION zstd);
COPY (SELECT * FROM items LEFT JOIN (SELECT item, count(*) AS n, avg(rating) AS mean FROM dealt
  WHERE split = 'train' GROUP BY item) USING (item) ORDER BY item)
  TO '{out}/items.parquet' (FORMAT parquet, COMPRESSION zstd);
"""


def duckdb_prepare(raw: Path, out: Path) -> None:
    """Prepare the dump with DuckDB: the yardstick."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {CORES}; SET preserve_insertion_order = false")
        connection.execute(STEPS.format(raw=raw, out=out))


def bench(workspace: Workspace, repeats: int) -> list[Round]:
    """Time whole runs of both, in turn. A first DuckDB run is not counted; every run of ours starts a JVM."""
    yardstick = workspace.path / "duckdb"
    duckdb_prepare(workspace.raw, yardstick)
    rounds: list[Round] = []
    for _ in range(repeats):
        theirs = seconds_of(lambda: duckdb_prepare(workspace.raw, yardstick))
        ours = workspace.prepare()
        rounds.append(
            {
                "vs_duckdb": theirs / ours.seconds,
                "seconds": ours.seconds,
                "duckdb_seconds": theirs,
                "peak_bytes": ours.peak_bytes,
            }
        )
    shutil.rmtree(yardstick)
    read = read_manifest(workspace.prepared).ratings.read
    return [one | {"ratings_per_second": read / one["seconds"]} for one in rounds]
