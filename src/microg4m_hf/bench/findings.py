"""The first screen of a report: the best run and by how much, agreement with the paper, significance, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..clip_ids import source_of
from ..metrics.jackknife import MIN_SOURCES
from ..metrics.significance import ALPHA
from .published import PublishedRow, PublishedTable, nearest_table
from .render.charts import FEW_LABELS, Series
from .render.document import Tile, Tiles
from .render.formatting import SCORE_NAMES, interval_text, p_text, percent, signed
from .scoring import RunScores

AGREES = 0.011  # points: released scores are rounded, and one printed value differs from its log in the last digit
MAIN_SCORE = {"har": "map", "caption": "cider", "vqa": "cider"}


class Twin(NamedTuple):
    """The published row of a run, and the run's scores minus the printed ones, in points."""

    row: PublishedRow
    differences: dict[str, float]

    @property
    def agrees(self) -> bool:
        """Whether every printed score is reproduced."""
        return all(abs(value) <= AGREES for value in self.differences.values())


def best_first(runs: Sequence[RunScores], main: str) -> list[RunScores]:
    """Return runs by their main score; a score that is not a number comes last."""
    return sorted(runs, key=lambda run: -value if (value := run.result["scores"][main]) == value else 1.0)


def series_of(runs: Sequence[RunScores], main: str) -> dict[str, Series]:
    """Return what charts need to know of each run, by name: one color and marker in all charts, the best run first."""
    order = enumerate(best_first(runs, main))
    return {run.name: Series(run.name, run.info.file_name, place) for place, run in order}


def find_twin(run: RunScores, tables: Mapping[str, PublishedTable]) -> Twin | None:
    """Return the published row of the run's model, or else the row whose printed scores the run reproduces."""
    assert run.info.task is not None
    table = nearest_table(run.info.task, run.result, dict(tables))
    names = {_plain(str(name)) for name in (run.name, run.info.path.name, run.info.about.get("model")) if name}
    found = None
    for row in table.rows:
        scores = {name: run.result["scores"].get(name) for name in row.scores}
        differences = {name: 100 * value - row.scores[name] for name, value in scores.items() if value is not None}
        twin = Twin(row, differences)
        if names & {_plain(row.name), _plain(f"{row.name} {row.setting}"), _plain(row.model or row.name)}:
            return twin
        if len(differences) == len(row.scores) and twin.agrees:
            found = found or twin
    return found


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower().replace("×", "x") if letter.isalnum())


def sizes(runs: Sequence[RunScores]) -> dict[str, int]:
    """Return how much was scored: boxes and labels or items, clips, films."""
    first = runs[0].result
    if runs[0].har is not None:
        counts = first["counts"]
        return {
            "labeled boxes": counts["labelled_boxes"],
            "labels": counts["labels"],
            "clips": counts["clips"],
            "films": counts["sources"],
        }
    clips = {key[0] if isinstance(key, (tuple, list)) else key for key in first["ids"]}
    items = "captions" if runs[0].info.task == "caption" else "questions"
    return {items: len(first["ids"]), "clips": len(clips), "films": len({source_of(clip) for clip in clips})}


def sizes_text(found: Mapping[str, int]) -> str:
    """Write sizes as words.

    >>> sizes_text({"labels": 2656, "films": 47})
    '2,656 labels, 47 films'
    """
    return ", ".join(f"{count:,} {noun.removesuffix('s') if count == 1 else noun}" for noun, count in found.items())


def tiles(
    runs: Sequence[RunScores],
    pairs: Sequence[dict[str, Any]],
    twins: Mapping[str, Twin],
    verdicts: Mapping[str, Sequence[str]],
    main: str,
) -> Tiles:
    """Return the findings of a section."""
    models = best_first([run for run in runs if not run.info.is_baseline] or runs, main)
    items = [_best(models, pairs, main)]
    if twins:
        items.append(_agreement(twins))
    items.append(_significance(models, pairs))
    (noun, count), *others = sizes(runs).items()
    items.append(Tile("Scored on", sizes_text({noun: count}), [sizes_text(dict(others))]))
    items.append(_warnings(runs, verdicts))
    return Tiles(items)


def _pair(first: str, second: str, pairs: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], int] | None:
    for pair in pairs:
        if {pair["first"], pair["second"]} == {first, second} and "difference" in pair:
            return pair, 1 if pair["first"] == first else -1
    return None


def _best(models: Sequence[RunScores], pairs: Sequence[dict[str, Any]], main: str) -> Tile:
    best = models[0]
    value, interval = best.result["scores"][main], best.result.get("intervals", {}).get(main)
    spread = f" ({interval_text(interval)})" if interval else ""
    details = [f"{SCORE_NAMES[main]} {percent(value)}{spread}"]
    if len(models) > 1:
        found = _pair(best.name, models[1].name, pairs)
        lead = value - models[1].result["scores"][main]
        text = f"{signed(lead)} before {models[1].name}"
        if found is not None and found[0]["p"] is not None:
            pair, sign = found
            edges = interval_text(sorted(sign * edge for edge in pair["interval"]), is_signed=True)
            verdict = "significant" if pair["real"] else "not significant"
            text += f" ({edges}), {verdict}: corrected p {p_text(pair['p_corrected'])}"
        details.append(text)
    return Tile("Best system" if len(models) > 1 else "The system", best.name, details)


def _agreement(twins: Mapping[str, Twin]) -> Tile:
    agreeing = sum(twin.agrees for twin in twins.values())
    details = [f"within {AGREES:.2f} points in every printed score"]
    main = {name: next(iter(twin.differences.values()), 0.0) for name, twin in twins.items() if not twin.agrees}
    if main:
        others = sorted(main.items(), key=lambda one: -abs(one[1]))
        text = "; ".join(f"{name} {signed(value / 100)} mAP" for name, value in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        details.append(f"different: {text}{more}")
    return Tile("Agreement with the published rows", f"{agreeing} of {len(twins)}", details)


def _significance(models: Sequence[RunScores], pairs: Sequence[dict[str, Any]]) -> Tile:
    tested = [pair for pair in pairs if pair.get("p") is not None]
    if not tested:
        why = next((pair["why_not"] for pair in pairs if "why_not" in pair), "there is one run")
        return Tile("Significant differences", "none tested", [why])
    real = [pair for pair in tested if pair["real"]]
    details = [f"corrected p < {ALPHA} (Holm), jackknife over films"]
    best = models[0].name
    alike = [
        run.name
        for run in models[1:]
        if (found := _pair(best, run.name, pairs)) is not None and found[0]["p"] is not None and not found[0]["real"]
    ]
    if alike:
        more = f" and {len(alike) - 3} more" if len(alike) > 3 else ""
        details.append(f"not separable from {best}: {', '.join(alike[:3])}{more}")
    return Tile("Significant differences", f"{len(real)} of {len(tested)} pair{'s' * (len(tested) != 1)}", details)


def _warnings(runs: Sequence[RunScores], verdicts: Mapping[str, Sequence[str]]) -> Tile:
    found = []
    ties = [run.name for run in runs if run.result.get("ties", {}).get("matters")]
    missing = [run.name for run in runs if run.result["counts"].get("missing")]
    other = [name for name, differs in verdicts.items() if differs]
    for names, text in (
        (ties, "the order of equal scores alone moves the mAP of"),
        (missing, "predictions are missing in"),
        (other, "another protocol than the published one in"),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            found.append(f"{text} {', '.join(names[:3])}{more}")
    films = sizes(runs)["films"]
    if films < MIN_SOURCES:
        found.append(f"{films} films: below {MIN_SOURCES} there are no intervals and no tests")
    if runs[0].har is not None:
        labels = [entry["labels"] for entry in runs[0].result["per_class"].values()]
        absent, few = sum(not count for count in labels), sum(0 < count < FEW_LABELS for count in labels)
        if absent or few:
            found.append(f"{absent} actions have no label and {few} fewer than {FEW_LABELS}")
    return Tile("Warnings", str(len(found)) if found else "none", found, is_warning=bool(found))


def ceiling_note(runs: Sequence[RunScores]) -> str:
    """Say how high F1 can be at most, where actions without labels count 0; empty where they do not."""
    run = runs[0]
    if run.har is None or run.result["recipe"].get("protocol") != "paper":
        return ""
    positive = [entry["positive_boxes"] for entry in run.result["per_class"].values()]
    present = sum(count > 0 for count in positive)
    if present == len(positive):
        return ""
    ceiling = 100 * present / len(positive)
    return (
        f"F1, recall and precision are means over {len(positive)} actions, and the {len(positive) - present} without a "
        f"label count 0: they cannot exceed {ceiling:.1f}. mAP and AUROC leave these actions out."
    )
