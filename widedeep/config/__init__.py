"""The settings of every command: a module a command, and the only place where defaults stand.

The settings stand apart from the classes that they configure, for two reasons. Spark's driver reads the settings of a
model and must not import torch; and `--help` must list all settings without loading Spark or torch, which take seconds.
The settings of a baseline are the exception: they are fields of its class in widedeep/baselines or
widedeep/spark/baseline_fits, so that a baseline is one file.
Modules import nothing but pydantic, `widedeep.common` and `widedeep.schema`.

`widedeep.common.command.load_config` fills them from the defaults, then a TOML file, then flags.
"""
