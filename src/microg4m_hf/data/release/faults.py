"""What is wrong with a release: each fault with its file, line and value; raised at once, or counted and listed."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

from ...errors import DataError

OnError = Literal["raise", "skip"]

# A file of pure junk must not fill the memory with its own faults: so many are listed, all are counted.
LISTED_PER_REASON = 1000


class Problem(NamedTuple):
    """One fault.

    >>> print(Problem("actions.csv", 7, "81", "unknown action id"))
    actions.csv, line 7: unknown action id: '81'
    """

    file: str
    line: int | None
    value: object
    reason: str

    def __str__(self) -> str:
        return str(DataError(self.reason, file=self.file, line=self.line, value=self.value))


class Faults:
    """Raises the first fault (``on_error="raise"``) or counts and lists all of them (``"skip"``).

    >>> faults = Faults("skip")
    >>> faults.add("actions.csv", 7, "81", "unknown action id")
    >>> faults.total, faults.problems[0].line
    (1, 7)
    """

    def __init__(self, on_error: OnError = "raise") -> None:
        if on_error not in ("raise", "skip"):
            raise DataError("on_error is not one of the two policies", value=on_error, hint='use "raise" or "skip"')
        self.on_error = on_error
        self.problems: list[Problem] = []
        self.by_reason: Counter[tuple[str, str]] = Counter()

    @property
    def total(self) -> int:
        return sum(self.by_reason.values())

    def add(self, file: str, line: int | None, value: object, reason: str, hint: str | None = None) -> None:
        if self.on_error == "raise":
            raise DataError(reason, file=file, line=line, value=value, hint=hint)
        self.by_reason[file, reason] += 1
        if self.by_reason[file, reason] <= LISTED_PER_REASON:
            self.problems.append(Problem(file, line, value, reason))
