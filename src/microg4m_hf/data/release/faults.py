"""Report what is wrong with a release, with file, line and value: raise the first fault, or count and list all."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

from ...errors import DataError

OnError = Literal["raise", "skip"]
ON_ERROR: tuple[OnError, ...] = ("raise", "skip")
FAULT_HINT = "correct or download the file again; `microg4m data check` lists all faults"
READ_HINT = "check that you may read it"

# All faults are counted, but a file of junk must not fill the memory with the list of its faults.
LISTED_PER_REASON = 1000


class Fault(NamedTuple):
    """One thing that is wrong in a file.

    Example:
        >>> print(Fault("actions.csv", 7, "81", "unknown action id"))
        actions.csv, line 7: unknown action id: '81'
    """

    file: str
    line: int | None
    value: object
    reason: str

    def __str__(self) -> str:
        return str(DataError(self.reason, file=self.file, line=self.line, value=self.value))


class ErrorPolicy:
    """What happens with faults: the first is raised (``"raise"``), or all are counted and listed (``"skip"``).

    Example:
        >>> policy = ErrorPolicy("skip")
        >>> policy.report("actions.csv", 7, "81", "unknown action id")
        >>> policy.total, policy.faults[0].line
        (1, 7)
    """

    def __init__(self, on_error: OnError = "raise") -> None:
        if on_error not in ON_ERROR:
            raise DataError("on_error is not one of the two policies", value=on_error, hint='use "raise" or "skip"')
        self.on_error = on_error
        self.faults: list[Fault] = []
        self.by_reason: Counter[tuple[str, str]] = Counter()

    @property
    def total(self) -> int:
        """The number of faults, whether they are listed or not."""
        return sum(self.by_reason.values())

    def report(self, file: str, line: int | None, value: object, reason: str, hint: str | None = None) -> None:
        """Raise a ``DataError``, or count the fault and go on."""
        if self.on_error == "raise":
            raise DataError(reason, file=file, line=line, value=value, hint=hint or FAULT_HINT)
        self.by_reason[file, reason] += 1
        if self.by_reason[file, reason] <= LISTED_PER_REASON:
            self.faults.append(Fault(file, line, value, reason))
