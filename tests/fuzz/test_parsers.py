"""Generated texts for the parsers of the columns of a dump: none of them may end the job.

WIDEDEEP_FUZZ_EXAMPLES=100000 makes it many.
"""

import os

import numpy as np
from pyspark.sql import functions as F

from widedeep.spark.preparation import text_parsers as parsers

TEXTS = max(2000, int(os.environ.get("WIDEDEEP_FUZZ_EXAMPLES", "0")))
# Pieces of what parsers look for, and of what they do not expect.
PIECES = (
    *"0123456789 +-.,eEdfx:/'\"\\()[]{}%_\0\t\n\r",
    *("Oct ", "Feb 30, ", "1999", "2004-11-05", "T00:00:00", "+00:00", "Z", " hr ", " min", " per ep", " sec"),
    *("Spring ", "UNKNOWN", "null", "NaN", "Infinity", "(1995)", "99999999999999999999", "1e308", "\u00a0", "\u0661"),
    *("\ufffd", "\U0001f600", "é", "\u202e"),
)
OF_TEXT = {
    "number": parsers.number,
    "identifier": parsers.identifier,
    "calendar_year": parsers.calendar_year,
    "timestamp_year": parsers.timestamp_year,
    "minutes": parsers.minutes,
    "category": parsers.category,
    "text": parsers.text,
    "without_year": parsers.without_year,
    "year": parsers.year,
    "season": parsers.season,
    "text_identifier": parsers.text_identifier,
    "value_list": parsers.value_list,
}


def test_no_text_ends_the_job(spark):
    seed = 2023
    print("seed", seed)
    random = np.random.default_rng(seed)
    pieces = np.array(PIECES, object)
    texts = ["".join(random.choice(pieces, random.integers(0, 7))) for _ in range(TEXTS)]
    frame = spark.createDataFrame([(text,) for text in (*texts, None)], "given string")
    parsed = frame.select("given", *(parse(F.col("given")).alias(name) for name, parse in OF_TEXT.items())).toPandas()
    assert len(parsed) == TEXTS + 1
    numbers = parsed["number"].dropna()
    assert len(numbers) > TEXTS / 100
    assert np.isfinite(numbers).all()
    identifiers = parsed["identifier"].dropna()
    assert ((identifiers >= 0) & (identifiers < 2**53)).all()
    assert all(values is not None for values in parsed["value_list"])
