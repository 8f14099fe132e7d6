"""Benchmarks of the stages: each measures ours and a yardstick in the same run."""
