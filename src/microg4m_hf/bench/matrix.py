"""Every system against every other: differences of one score with paired p-values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..metrics.bootstrap import holm, interval, paired_p_value
from .scoring import Scored

MAIN_SCORE = {"har": "map", "caption": "cider", "vqa": "cider"}
SIGNIFICANT = 0.05


def comparison_matrix(systems: Sequence[Scored], score: str) -> list[dict[str, Any]]:
    """One entry for each pair: difference, interval, p and p corrected for the number of pairs (Holm).

    All systems were drawn with the same films in every resample; pairs whose items differ are said to be
    incomparable instead of being compared.
    """
    pairs: list[dict[str, Any]] = []
    for place, first in enumerate(systems):
        for second in systems[place + 1 :]:
            entry: dict[str, Any] = {"first": first.system.name, "second": second.system.name}
            one, two = first.samples.get(score), second.samples.get(score)
            if one is None or two is None:
                entry["why_not"] = "not resampled"
            elif _items(first) != _items(second):
                entry["why_not"] = "scored on other items"
            else:
                difference = first.result["scores"][score] - second.result["scores"][score]
                drawn = one - two
                entry |= {
                    "difference": difference,
                    "interval": list(interval(drawn)),
                    "p": paired_p_value(drawn, difference),
                }
            pairs.append(entry)
    tested = [pair for pair in pairs if "p" in pair]
    for pair, corrected in zip(tested, holm([pair["p"] for pair in tested]), strict=True):
        pair["p_corrected"] = corrected
        pair["real"] = bool(corrected < SIGNIFICANT)
    return pairs


def _items(scored: Scored) -> Any:
    if scored.har is not None:
        statistics = scored.har.statistics
        return statistics.sources, statistics.label_counts.tolist()
    return sorted(map(str, scored.result["ids"]))
