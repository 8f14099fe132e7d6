"""Prefetching in a background thread."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Generator[T, None, None]) -> Iterator[T]:
    """Yield the items in order, computing the next one in a background thread while the caller uses the current one."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        try:
            while (item := coming.result()) is not None:
                coming = thread.submit(next, items, None)
                yield item
        finally:
            coming.exception()  # waits: a running generator cannot be closed
            items.close()
