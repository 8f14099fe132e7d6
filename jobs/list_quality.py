"""How good recommended lists are. Pure DataFrame -> DataFrame.

`lists` is everywhere user, item, rank (1 is the best), at most DEPTH of each user; `relevant` is user, item.
"""

import math
from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from widedeep.evaluation import DEPTH, SHOWN

DISCOUNTS = [1.0 / math.log2(place + 2) for place in range(SHOWN)]
IDEALS = list(accumulate(DISCOUNTS))  # of 1, 2, … relevant items
# Figures of a user that are averaged over users.
ACCURACY = ("ndcg_at_10", "recall_at_20", "map_at_10", "mrr_at_10", "hit_rate_at_10")
CHARACTER = ("novelty_at_10", "diversity_at_10")


def placed_lists(recommendations: DataFrame, users: DataFrame, items: DataFrame) -> DataFrame:
    """The first DEPTH of each list with their positions: user_id, anime_id, user, item, rank.

    user or item is null where the prepared data does not know the id.

    Args:
        recommendations: user_id, anime_id, rank.
        users: user and user_id.
        items: item and anime_id.

    """
    head = recommendations.where(F.col("rank") <= DEPTH).select("user_id", "anime_id", "rank")
    known = head.join(F.broadcast(items.select("item", "anime_id")), on="anime_id", how="left")
    known = known.join(users.select("user", "user_id"), on="user_id", how="left")
    return known.select("user_id", "anime_id", "user", "item", "rank")


def broken_lists(placed: DataFrame) -> DataFrame:
    """user_id of lists that hold an anime twice or whose ranks are not 1, 2, 3 and so on."""
    whole = placed.groupBy("user_id").agg(
        F.count("*").alias("rows"),
        F.size(F.collect_set("item")).alias("items"),
        F.size(F.collect_set("rank")).alias("ranks"),
        F.min("rank").alias("first"),
        F.max("rank").alias("last"),
    )
    n = F.col("rows")
    sound = (F.col("items") == n) & (F.col("ranks") == n) & (F.col("first") == 1) & (F.col("last") == n)
    return whole.where(~sound).select("user_id")


def already_rated(placed: DataFrame, seen: DataFrame) -> DataFrame:
    """user_id, anime_id, split of recommended anime that the user has rated in the splits before test.

    Args:
        placed: as of `placed_lists`.
        seen: user, item, split of the train and valid ratings.

    """
    return placed.join(seen, on=["user", "item"], how="inner").select("user_id", "anime_id", "split")


def of_users(lists: DataFrame, relevant: DataFrame) -> DataFrame:
    """Lists of the users who have a relevant item."""
    wanted = relevant.select("user").distinct()
    return lists.join(wanted, on="user", how="left_semi").select("user", "item", "rank")


def user_figures(lists: DataFrame, relevant: DataFrame, items: DataFrame, train_users: int) -> DataFrame:
    """user, relevant, listed, and the figures ACCURACY and CHARACTER of each user with a relevant item.

    All follow from the ranks of the hits. CHARACTER is null where there is nothing to speak of.

    Args:
        lists: user, item, rank of these users.
        relevant: user, item.
        items: item, train_ratings, genres (array of codes).
        train_users: number of users with training ratings.

    """
    hits = lists.join(relevant, on=["user", "item"], how="inner").groupBy("user")
    hits = hits.agg(F.sort_array(F.collect_list("rank")).alias("_hits"))
    figures = (
        relevant.groupBy("user")
        .agg(F.count("*").cast("int").alias("relevant"))
        .join(hits, on="user", how="left")
        .join(novelty(lists, items, train_users), on="user", how="left")
        .join(diversity(lists, items), on="user", how="left")
        .withColumn("_hits", F.coalesce("_hits", F.array().cast("array<int>")))
        .withColumn("_top", F.filter("_hits", lambda rank: rank <= SHOWN))
    )
    n, first = F.col("relevant"), F.get("_top", F.lit(0))
    best = _element(IDEALS, F.least(n, F.lit(SHOWN)) - 1)
    precisions = F.transform("_top", lambda rank, number: (number + 1) / rank)
    return figures.select(
        "user",
        "relevant",
        F.coalesce("listed", F.lit(0)).alias("listed"),
        (_sum(F.transform("_top", lambda rank: _element(DISCOUNTS, rank - 1))) / best).alias("ndcg_at_10"),
        (F.size("_hits") / n).alias("recall_at_20"),
        (_sum(precisions) / F.least(n, F.lit(SHOWN))).alias("map_at_10"),
        F.coalesce(F.lit(1.0) / first, F.lit(0.0)).alias("mrr_at_10"),
        first.isNotNull().cast("double").alias("hit_rate_at_10"),
        *CHARACTER,
    )


def _element(values: list[float], place: Column) -> Column:
    return F.get(F.array(*map(F.lit, values)), place)


def _sum(values: Column) -> Column:
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)


def novelty(lists: DataFrame, items: DataFrame, train_users: int) -> DataFrame:
    """user, listed (items of the whole list) and novelty_at_10: mean self-information of the first ten, in bits.

    The information of an item is -log2 of the share of the training users who rated it (Vargas & Castells, 2011);
    an item without training ratings counts as one with a single one.
    """
    share = F.greatest("train_ratings", F.lit(1)) / F.lit(max(1, train_users))
    bits = items.select("item", (-F.log2(share)).alias("_bits"))
    shown = F.when(F.col("rank") <= SHOWN, F.col("_bits"))
    known = lists.join(F.broadcast(bits), on="item", how="inner")
    return known.groupBy("user").agg(F.count("*").cast("int").alias("listed"), F.avg(shown).alias("novelty_at_10"))


def diversity(lists: DataFrame, items: DataFrame) -> DataFrame:
    """user, diversity_at_10: 1 - the mean cosine of the genres of two of the first ten (Smyth & McClave, 2001).

    Anime without genres have no direction and are left out; of fewer than two others there is no diversity.
    With unit vectors, the cosines of all ordered pairs add up to |sum of the vectors|^2 - their number.
    """
    weight = 1.0 / F.sqrt(F.size("genres"))
    weighted = items.where(F.size("genres") > 0).select("item", "genres", weight.alias("_weight"))
    shown = lists.where(F.col("rank") <= SHOWN).join(F.broadcast(weighted), on="item", how="inner")
    entries = shown.select("user", F.explode("genres").alias("_genre"), "_weight")
    sums = entries.groupBy("user", "_genre").agg(
        F.sum("_weight").alias("_entry"), F.sum(F.col("_weight") * F.col("_weight")).alias("_own")
    )
    # The squared entries of a unit vector add up to 1: so those of all items do to their number.
    n = F.round(F.sum("_own"))
    lengths = sums.groupBy("user").agg(F.sum(F.col("_entry") * F.col("_entry")).alias("_squared"), n.alias("_n"))
    some = lengths.where(F.col("_n") > 1)
    cosine = (F.col("_squared") - F.col("_n")) / (F.col("_n") * (F.col("_n") - 1))
    return some.select("user", (1.0 - cosine).alias("diversity_at_10"))


def exposures(lists: DataFrame) -> DataFrame:
    """times, items: how many items are shown so many times among the first ten; those never shown are not in it."""
    shown = lists.where(F.col("rank") <= SHOWN).groupBy("item").agg(F.count("*").alias("times"))
    return shown.groupBy("times").agg(F.count("*").alias("items"))


def means(figures: DataFrame) -> DataFrame:
    """One row: for each figure NAME its NAME_mean, NAME_sd (of the sample) and NAME_users, those where it is not null.

    And users, users_with_list, longest_list.
    """
    columns = [
        form(name).alias(f"{name}_{suffix}")
        for name in (*ACCURACY, *CHARACTER)
        for suffix, form in (("mean", F.avg), ("sd", F.stddev_samp), ("users", F.count))
    ]
    return figures.agg(
        F.count("*").alias("users"),
        F.count_if(F.col("listed") > 0).alias("users_with_list"),
        F.max("listed").alias("longest_list"),
        *columns,
    )
