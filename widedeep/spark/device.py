"""Where a Spark task runs a model."""

import torch
from pyspark import TaskContext


def task_device() -> torch.device:
    """The GPU that Spark gave this task (spark.task.resource.gpu.amount), or the CPU."""
    context = TaskContext.get()
    given = context.resources().get("gpu") if context else None
    if given is None or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda", int(given.addresses[0]))
