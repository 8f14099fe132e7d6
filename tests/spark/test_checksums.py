"""Flipped bits in Parquet files that Spark has written: no reader of ours takes them for values."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from widedeep.common.errors import DamagedFileError
from widedeep.data.parquet import CHECKED_FORMAT
from widedeep.data.readers import reader_named

RATING_COLUMNS = ("user", "item", "rating")


@pytest.fixture(scope="module")
def written(spark, tmp_path_factory):
    """A shard as jobs/prepare.py writes it, in one file of one row group."""
    path = tmp_path_factory.mktemp("checksums") / "shard"
    ratings = spark.range(20_000).select(
        F.pmod(F.hash("id"), F.lit(500)).alias("user"),
        F.pmod(F.hash("id", F.lit(1)), F.lit(300)).alias("item"),
        (F.pmod(F.hash("id", F.lit(2)), F.lit(10)) + 1).cast("float").alias("rating"),
    )
    ratings.coalesce(1).write.option("compression", "zstd").parquet(str(path))
    (file,) = path.glob("*.parquet")
    return file


@pytest.fixture(params=range(6))
def flipped(request, written, tmp_path):
    """A copy with one bit flipped in the middle of the compressed data of one of its columns."""
    row_group = pq.ParquetFile(written).metadata.row_group(0)
    chunk = row_group.column(request.param % row_group.num_columns)
    start = chunk.data_page_offset
    end = chunk.total_compressed_size + (chunk.dictionary_page_offset or start)
    content = bytearray(written.read_bytes())
    place = int(np.random.default_rng(request.param).integers((start + end) // 2, end))
    content[place] ^= 1 << request.param
    file = tmp_path / "flipped.parquet"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("reader", ["petastorm", "pyarrow"])
def test_a_reader_of_shards_refuses_it(flipped, written, reader):
    assert sum(len(group[0]) for group in reader_named(reader)([written], RATING_COLUMNS, 0)) == 20_000
    with pytest.raises(DamagedFileError, match=r"flipped\.parquet.*CRC checksum verification failed"):
        list(reader_named(reader)([flipped], RATING_COLUMNS, 0))


def test_spark_refuses_it(spark, flipped, written):
    assert spark.read.parquet(str(written)).agg(F.sum("user"), F.sum("item"), F.sum("rating")).first()
    with pytest.raises((PySparkException, Py4JJavaError), match=r"(?i)crc|checksum"):
        spark.read.parquet(str(flipped)).agg(F.sum("user"), F.sum("item"), F.sum("rating")).collect()


def test_a_look_up_refuses_it(flipped, written):
    def rows(file):
        return ds.dataset([str(file)], format=CHECKED_FORMAT).to_table(filter=pc.field("user") >= 0).num_rows

    assert rows(written) == 20_000
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        rows(flipped)
