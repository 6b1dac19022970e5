"""The most of something that still holds, in as few tries as it takes."""

from __future__ import annotations

from collections.abc import Callable


def most_that(holds: Callable[[int], bool], first: int, limit: int) -> int:
    """The most, up to `limit`, for which `holds` is true; 0 for none. Each number is tried once at most.

    Twice as many as `first`, and so on, as long as they hold; then halfway between what does and what does not.
    """
    known, too_many, trying = 0, limit + 1, min(first, limit)
    while known + 1 < too_many:
        if holds(trying):
            known = trying
        else:
            too_many = trying
        trying = min(2 * known, limit) if too_many > limit else (known + too_many) // 2
    return known
