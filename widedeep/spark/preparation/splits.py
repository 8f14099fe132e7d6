"""The split of each rating (train, valid or test), by a hash of (user, item, seed) or by time.

Pure DataFrame -> DataFrame; the same answer on any cluster.
"""

from datetime import UTC, datetime, time

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from widedeep.common.errors import InputError
from widedeep.config.prepare import SplitConfig
from widedeep.spark.partitioning import Salt, bucket_counts, few_rows, hash_key, order_statistics, uniform

# Rules that depend on one rating alone: applying them again is cheaper than storing the result.
ROW_WISE = ("random", "cold_item", "cold_user", "date")
# Rules that divide each user's ratings.
BY_USER = ("per_user", "time")
MOST_STRATA = 1000  # the driver holds some numbers of each


def assign_split(ratings: DataFrame, config: SplitConfig, seed: int) -> DataFrame:
    """Add `split`: train, valid or test; null for ratings that are not sampled.

    Args:
        ratings: user_id, item_id, for `time` and `date` time:double (seconds since 1970), and for `stratified` the
            columns of `config.strata`.
        config: the rule and its shares.
        seed: of the hashes.

    """
    pair = (F.col("user_id"), F.col("item_id"))
    if config.kind == "stratified":
        return _stratified(ratings, config, seed)
    if config.kind == "date":
        return ratings.withColumn("split", F.when(_sampled(ratings, config, seed), _by_date(config)))
    if config.kind in BY_USER:
        chance = [hash_key(*pair, seed, Salt.SPLIT), F.col("item_id")]
        by_time = [F.col("time")] if config.kind == "time" else []
        order = Window.partitionBy("user_id").orderBy(*by_time, *chance)
        size = F.count("*").over(Window.partitionBy("user_id"))
        share = (F.row_number().over(order) - F.lit(0.5)) / size
    elif config.kind == "cold_item":
        share = uniform(F.col("item_id"), seed, Salt.SPLIT)
    elif config.kind == "cold_user":
        share = uniform(F.col("user_id"), seed, Salt.SPLIT)
    else:
        share = uniform(*pair, seed, Salt.SPLIT)
    # Sampling comes first: each user's shares are shares of what is kept.
    kept = ratings.withColumn("_kept", _sampled(ratings, config, seed))
    if config.kind in BY_USER and (config.sample < 1 or config.sample_rows is not None):
        left_out = kept.where(~F.col("_kept")).withColumn("split", F.lit(None).cast("string"))
        return kept.where("_kept").withColumn("split", _by_share(share, config)).unionByName(left_out).drop("_kept")
    return kept.withColumn("split", F.when(F.col("_kept"), _by_share(share, config))).drop("_kept")


def _sampled(ratings: DataFrame, config: SplitConfig, seed: int) -> Column:
    """Whether a rating is kept: its hash is below the share, or among the `sample_rows` lowest of all hashes."""
    pair = (F.col("user_id"), F.col("item_id"))
    if config.sample_rows is None:
        return uniform(*pair, seed, Salt.RATING_SAMPLE) < config.sample
    # The order of `uniform`, as a signed number: a sample by rows is a sample by some share.
    key = hash_key(*pair, seed, Salt.RATING_SAMPLE).bitwiseXOR(F.lit(-(1 << 63)))
    keyed = ratings.select(F.lit("all").alias("_group"), key.alias("_key"))
    counts = bucket_counts(keyed, "_group", "_key")
    if sum(counts.get("all", {}).values()) <= config.sample_rows:
        return F.lit(True)
    bound = order_statistics(keyed, "_group", "_key", counts, {"all": [config.sample_rows]})["all"][0]
    return key < F.lit(bound)


def _by_date(config: SplitConfig) -> Column:
    """The split of a rating by the day of its time."""
    split = F.lit("train")
    for name, first in (("valid", config.valid_from), ("test", config.test_from)):
        if first is not None:
            begin = datetime.combine(first, time(), UTC).timestamp()
            split = F.when(F.col("time") >= begin, name).otherwise(split)
    return split


def _by_share(share: Column, config: SplitConfig) -> Column:
    """A number in [0, 1) -> the split whose part of [0, 1) contains it."""
    return (
        F.when(share < config.train, "train")
        .when(share < config.train + config.valid, "valid")
        .when(F.lit(config.test) > 0, "test")
        .otherwise("valid" if config.valid else "train")
    )


def _stratified(ratings: DataFrame, config: SplitConfig, seed: int) -> DataFrame:
    """Sample and split each stratum in exact proportion: cut it at order statistics of its hashes.

    Raises:
        InputError: there are more than MOST_STRATA.

    """
    pair = (F.col("user_id"), F.col("item_id"))
    names = [F.coalesce(F.col(name), F.lit("")) for name in config.strata]
    frame = ratings.withColumn("_stratum", F.concat_ws("\u0001", *names))
    frame = frame.withColumn("_key", hash_key(*pair, seed, Salt.SPLIT))
    if frame.select("_stratum").distinct().limit(MOST_STRATA + 1).count() > MOST_STRATA:
        raise InputError(
            f"split.strata: {', '.join(config.strata)} have more than {MOST_STRATA} combinations: name columns of "
            "fewer values"
        )
    counts = bucket_counts(frame, "_stratum", "_key")
    sample = config.sample
    if config.sample_rows is not None:
        sample = min(1.0, config.sample_rows / max(sum(sum(buckets.values()) for buckets in counts.values()), 1))
    cuts = {}
    for stratum, buckets in counts.items():
        total = sum(buckets.values())
        kept = round(total * sample)
        cuts[stratum] = [round(kept * config.train), round(kept * (config.train + config.valid)), kept]
    ranks = {s: [c for c in points if c < sum(counts[s].values())] for s, points in cuts.items()}
    keys = order_statistics(frame, "_stratum", "_key", counts, ranks)
    rows = [(s, *(keys[s] + [None] * 3)[:3]) for s in counts]
    columns = {"_stratum": pa.string(), **dict.fromkeys(("_train", "_valid", "_test"), pa.int64())}
    table = few_rows(frame.sparkSession, pa.schema(columns), rows)

    def before(bound: str) -> Column:
        return F.col(bound).isNull() | (F.col("_key") < F.col(bound))

    split = F.when(before("_train"), "train").when(before("_valid"), "valid").when(before("_test"), "test")
    looked_up = frame.join(F.broadcast(table), on="_stratum", how="inner").withColumn("split", split)
    return looked_up.drop("_stratum", "_key", "_train", "_valid", "_test")
