"""What tests of faults draw at random, such as the moment of a kill. The same seed draws the same again."""

import os
import random

SEED = int(os.environ.get("WIDEDEEP_FAULT_SEED", "0"))


def drawn(name: str) -> random.Random:
    """Return a generator of a test's own, whatever other tests draw."""
    return random.Random(f"{SEED} {name}")
