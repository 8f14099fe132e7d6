"""`--dry-run` of prepare: it refuses what prepare would refuse, and writes nothing."""

import pytest

from tests.spark.dumps import write_dump
from widedeep.common.errors import InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.spark.preparation.prepare import plan, prepare


def config_of(tmp_path, **settings) -> PrepareConfig:
    return PrepareConfig(input=str(tmp_path / "raw"), output=str(tmp_path / "out"), dry_run=True, **settings)


def test_it_names_the_files_and_writes_nothing(spark, tmp_path, capsys):
    raw = write_dump(tmp_path / "raw")
    plan(spark, config_of(tmp_path))
    said = capsys.readouterr().out
    assert f"{(raw / 'users-score-2023.csv').stat().st_size:,} bytes" in said
    assert "random, seed 0" in said
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["raw"]


def test_it_refuses_a_file_without_a_column(spark, tmp_path):
    raw = write_dump(tmp_path / "raw")
    (raw / "users-score-2023.csv").write_text("user_id,anime_id\n1,5\n")
    with pytest.raises(InputError, match=r"users-score-2023\.csv: column\(s\) \['rating'\] missing"):
        plan(spark, config_of(tmp_path))


def test_it_refuses_an_output_that_is_there(spark, tmp_path):
    write_dump(tmp_path / "raw")
    prepare(spark, config_of(tmp_path, max_bad_share=1.0))
    with pytest.raises(InputError, match="give --overwrite"):
        plan(spark, config_of(tmp_path))
    plan(spark, config_of(tmp_path, overwrite=True))


def test_it_refuses_an_input_that_the_disk_has_no_space_for(spark, tmp_path):
    raw = write_dump(tmp_path / "raw")
    with (raw / "users-score-2023.csv").open("ab") as file:
        file.truncate(1 << 43)  # a hole of 8 TB
    with pytest.raises(InputError, match=r"out: [\d.]+ GB are free and about \d+\.\d+ GB are needed"):
        plan(spark, config_of(tmp_path))
