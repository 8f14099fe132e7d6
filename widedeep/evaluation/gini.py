"""The Gini coefficient."""

from collections.abc import Mapping


def gini(counts: Mapping[int, int]) -> float | None:
    """Gini coefficient of how often things occur: 0 if all occur equally often, near 1 if few take almost all.

    With the n things in increasing order of their number of occurrences x: the sum of (2 place - n - 1) * x, divided
    by n times the sum of x.

    Args:
        counts: number of occurrences -> number of things that occur so often, those that never do included. It holds
            as many numbers as there are different counts, not as there are things.

    Returns:
        None if nothing occurs.

    """
    things = sum(counts.values())
    occurrences = sum(times * count for times, count in counts.items())
    if not occurrences:
        return None
    # Things of equal counts have neighbouring places, so the sum of their places is enough.
    below = weighted = 0
    for times, count in sorted(counts.items()):
        places = count * below + count * (count + 1) // 2
        weighted += times * (2 * places - count * (things + 1))
        below += count
    return weighted / (things * occurrences)
