"""The order in which the published evaluation ranked equal scores, on any machine and with any numpy.

The evaluation sorted with ``numpy.argsort`` and reversed the result. The order of equal values depends on the
algorithm, and newer numpy sorts with other (SIMD) code, so this module repeats the scalar algorithm: introsort with a
median-of-three pivot, the smaller part first and the larger one later, insertion sort for parts of at most 16, heapsort
where the recursion gets too deep.

Two facts make it fast. A partition only swaps the k-th element >= pivot from the left with the k-th element <= pivot
from the right, which is one array operation. And insertion sort is stable, so once every part is small, one stable sort
of the whole finishes all of them.
"""

from __future__ import annotations

import numpy as np

SMALL = 16  # longest part that insertion sort finishes


def published_order(scores: np.ndarray, matters: np.ndarray | None = None) -> np.ndarray:
    """Return indices that sort ``scores`` ascending, equal scores in the order of numpy's scalar ``argsort``.

    ``matters`` marks the elements whose order affects the result. Parts with fewer than two marked elements are not
    partitioned, which is faster and keeps the order of marked elements exact.

    >>> published_order(np.zeros(20)).tolist()
    [0, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 18, 19]
    """
    values = np.ascontiguousarray(scores, dtype=np.float64)
    order = np.arange(values.size)
    if values.size > SMALL:
        _partition_all(values, order, None if matters is None else np.asarray(matters, dtype=bool))
    return order[np.argsort(values[order], kind="stable")]


def _partition_all(values: np.ndarray, order: np.ndarray, matters: np.ndarray | None) -> None:
    first, last = 0, values.size - 1
    depth = 2 * (values.size.bit_length() - 1)
    waiting: list[tuple[int, int, int]] = []
    while True:
        if depth < 0:
            order[first : last + 1] = _heapsorted(values, order[first : last + 1].tolist())
        else:
            while last - first >= SMALL and (matters is None or matters[order[first : last + 1]].sum() > 1):
                cut = _partition(values, order, first, last)
                depth -= 1
                if cut - first < last - cut:
                    waiting.append((cut + 1, last, depth))
                    last = cut - 1
                else:
                    waiting.append((first, cut - 1, depth))
                    first = cut + 1
        if not waiting:
            return
        first, last, depth = waiting.pop()


def _partition(values: np.ndarray, order: np.ndarray, first: int, last: int) -> int:
    """Partition ``order[first:last + 1]`` around the median of its ends and middle; return the pivot's final place."""
    part = order[first : last + 1]  # a view: writes go to `order`
    end = last - first
    middle = end >> 1
    for low, high in ((0, middle), (middle, end), (0, middle)):
        if values[part[high]] < values[part[low]]:
            part[low], part[high] = part[high], part[low]
    pivot = values[part[middle]]
    part[middle], part[end - 1] = part[end - 1], part[middle]

    held = values[part]
    # The left scan stops at the latest at the pivot, stored near the right end; the right scan at the first element.
    from_left = np.flatnonzero(held[1:end] >= pivot) + 1
    from_right = np.flatnonzero(held[: end - 1] <= pivot)[::-1]
    pairs = min(from_left.size, from_right.size)
    crossed = from_left[:pairs] >= from_right[:pairs]
    swaps = int(crossed.argmax()) if crossed.any() else pairs
    left, right = from_left[:swaps], from_right[:swaps]
    part[left], part[right] = part[right], part[left]
    cut = int(from_left[swaps])
    if swaps and right[-1] < cut:  # the left scan stops at the element of the last swap
        cut = int(right[-1])
    part[cut], part[end - 1] = part[end - 1], part[cut]
    return first + cut


def _heapsorted(values: np.ndarray, order: list[int]) -> list[int]:
    """Sort the indices by heapsort, as the scalar code does (equal values keep no particular order)."""
    size = len(order)
    heap = [-1, *order]  # children of i are 2i and 2i + 1

    def sift(moving: int, place: int, size: int) -> None:
        child = 2 * place
        while child <= size:
            if child < size and values[heap[child]] < values[heap[child + 1]]:
                child += 1
            if not values[moving] < values[heap[child]]:
                break
            heap[place] = heap[child]
            place, child = child, 2 * child
        heap[place] = moving

    for root in range(size // 2, 0, -1):
        sift(heap[root], root, size)
    while size > 1:
        moving = heap[size]
        heap[size] = heap[1]
        size -= 1
        sift(moving, 1, size)
    return heap[1:]
