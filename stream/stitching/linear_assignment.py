"""Linear assignment: rows to columns, one to one, with the largest total score. NumPy only.

Rows are assigned one after another along shortest augmenting paths (Jonker & Volgenant, Computing 38, 1987). It is here
for its memory: importing a library for it took more than the weights of both networks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
NOBODY = -1


def best_pairs(score: NDArray[np.floating] | Ints) -> list[tuple[int, int]]:
    """(row, column) pairs with the largest total, each row and column at most once; only scores above 0.

    As many pairs as possible are made before those not above 0 are left out, so that one of them counts in the total.
    Shapes: (R, C) finite -> at most min(R, C) pairs in order of row
    """
    if score.shape[0] > score.shape[1]:
        return sorted((row, column) for column, row in best_pairs(score.T))
    columns = score.argmax(axis=1).tolist() if score.size else []
    if len(set(columns)) < len(columns):
        columns = _assigned(-score.astype(np.float64)).tolist()
    return [(row, column) for row, column in enumerate(columns) if score[row, column] > 0]


def _assigned(cost: Doubles) -> Ints:
    """The column of each row with the least total cost. Shapes: (R, C), R <= C -> (R,)"""
    of_row, of_column = np.full(cost.shape[0], NOBODY), np.full(cost.shape[1], NOBODY)
    row_prices, column_prices = np.zeros(cost.shape[0]), np.zeros(cost.shape[1])
    for row in range(len(cost)):
        length, came_from, reached, free = _paths(cost - row_prices[:, None] - column_prices, row, of_column)
        saved = length[free] - length[reached]
        row_prices[row] += length[free]
        row_prices[of_column[reached]] += saved
        column_prices[reached] -= saved
        while free != NOBODY:
            owner = came_from[free]
            of_column[free] = owner
            of_row[owner], free = free, of_row[owner]
    return of_row


def _paths(cost: Doubles, row: int, of_column: Ints) -> tuple[Doubles, Ints, Ints, int]:
    """Shortest alternating paths from `row` to the nearest column without an owner, over reduced costs (R, C).

    Returns each column's length so far (C,) and the row before it (C,), the columns with owners that were reached, in
    order, and the free one.
    """
    length, came_from = np.full(cost.shape[1], np.inf), np.full(cost.shape[1], NOBODY)
    is_open = np.ones(cost.shape[1], bool)
    reached: list[int] = []
    at, walked = row, 0.0
    while True:
        nearer = is_open & (walked + cost[at] < length)
        length[nearer], came_from[nearer] = walked + cost[at][nearer], at
        column = int(np.where(is_open, length, np.inf).argmin())
        if of_column[column] == NOBODY:
            return length, came_from, np.array(reached, np.int64), column
        reached.append(column)
        is_open[column] = False
        at, walked = int(of_column[column]), float(length[column])
