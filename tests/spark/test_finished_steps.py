"""Which steps of a killed job count as done."""

import os
from pathlib import Path

import pytest

from widedeep.spark import finished_steps
from widedeep.spark.filesystem import Files
from widedeep.spark.finished_steps import begin_again, finish_step, is_finished, resume_or_reset


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not say which file a descriptor is of")
def test_a_step_is_on_the_disk_before_it_counts_as_finished(spark, tmp_path, monkeypatch):
    files, step = Files(spark), tmp_path / "step"
    spark.range(10).repartition(3).write.parquet(str(step))
    assert not is_finished(files, str(step))  # whatever Spark says
    written, fsync, flushed = {step, *step.iterdir()}, os.fsync, []

    def watched(handle: int) -> None:
        if not is_finished(files, str(step)):
            flushed.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    finish_step(files, str(step))
    assert is_finished(files, str(step))
    assert written <= set(flushed)


def test_a_step_that_loses_its_files_no_longer_counts(spark, tmp_path):
    files, step = Files(spark), tmp_path / "step"
    step.mkdir()
    finish_step(files, str(step))
    begin_again(files, str(step))
    assert not is_finished(files, str(step))


def test_steps_of_other_settings_or_of_other_code_do_not_count(spark, tmp_path, monkeypatch):
    files, steps = Files(spark), str(tmp_path / "out.staging.work")

    def counts_after(*identity: object) -> bool:
        finish_step(files, f"{steps}/ratings")
        resume_or_reset(files, steps, *identity)
        return is_finished(files, f"{steps}/ratings")

    resume_or_reset(files, steps, "settings", 5)
    assert counts_after("settings", 5)
    assert not counts_after("settings", 6)
    assert counts_after("settings", 6)
    monkeypatch.setattr(finished_steps, "package_digest", lambda: "that of the next release")
    assert not counts_after("settings", 6)
