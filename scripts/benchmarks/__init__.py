"""The stages' benchmarks: what is ours, beside a yardstick measured in the same run."""
