"""What of a checkpoint fits a model and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field

Shaped = tuple[str, tuple[int, ...], tuple[int, ...]]  # key, shape in the file, shape in the model
_SHOWN = 20


@dataclass
class KeyReport:
    """Keys by fate.

    >>> print(KeyReport(missing=["s1.bn.weight"]))
    1 missing: s1.bn.weight
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: list[Shaped] = field(default_factory=list)
    dropped: list[Shaped] = field(default_factory=list)  # a head for other classes; a new one stands in for it
    resized: list[Shaped] = field(default_factory=list)  # positions, inflated kernels
    ignored: list[str] = field(default_factory=list)  # layers of a Kinetics head

    @property
    def fits(self) -> bool:
        """Whether all weights but those of a head for other classes found their place."""
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        parts = []
        for title in ("missing", "unexpected", "misshapen", "dropped"):
            entries = getattr(self, title)
            if entries:
                shown = ", ".join(_show(entry) for entry in entries[:_SHOWN])
                rest = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
                parts.append(f"{len(entries)} {title}: {shown}{rest}")
        return "; ".join(parts) or f"all {len(self.loaded)} weights fit"


def _show(entry: str | Shaped) -> str:
    return entry if isinstance(entry, str) else f"{entry[0]} {list(entry[1])} instead of {list(entry[2])}"
