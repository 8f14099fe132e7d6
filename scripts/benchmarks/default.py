"""Time the training of the default model, in one process and in one for each core."""

from benchmarks.measure import CORES, Round
from benchmarks.workspace import Workspace


def bench(workspace: Workspace, repeats: int) -> list[Round]:
    """Time rounds of steps; the closed forms are fitted once for each number of processes."""
    one, many = (
        workspace.time_steps(name, repeats, ranks) for name, ranks in (("default", 1), ("default-ranks", CORES))
    )
    return [
        {"samples_per_second": speed, "vs_gemm": share, "rank_per_core_vs_one": of_many / speed}
        for speed, share, of_many in zip(*one.values(), many["samples_per_second"], strict=True)
    ]
