"""`evaluate` module for human action recognition on MicroG-4M; the scores are `microg4m_hf.metrics.har_scores`."""

import datasets
import evaluate

from microg4m_hf.citation import BIBTEX
from microg4m_hf.metrics import har_scores
from microg4m_hf.metrics.har.inputs import split_persons
from microg4m_hf.taxonomy import ACTION_IDS

_DESCRIPTION = """
Frame-mAP at IoU 0.5 (AVA), macro F1, recall, precision and AUROC of persons' actions in microgravity (MicroG-4M).
protocol="paper" gives the published numbers, protocol="instance" scores each person against that person's own labels.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: one dictionary per key frame: `video_id`, `frame`, `boxes` (n x 4, fractions x1 y1 x2 y2) and
        `scores` (n x 50, or n x 80 for AVA's classes); or the path of a prediction file (CSV, Parquet).
    references: rows of the `har` config, whole (`load_dataset("microg4m", "har", split="test")`) or one by one; or one
        dictionary per key frame: `video_id`, `frame`, `boxes` and `action_ids` (n lists of released ids); or the path
        of a key-frame file (`ava_test_gt.csv`). Their order need not be that of the predictions.
        Loaded as `evaluate.load(path, "persons")`, dictionaries also hold `person_id` (n numbers) on both sides.
    Both sides also take tables, columns and rows, as `har_scores` does.
    details: also return the scores per class, counts, recipe and tie range.
    Everything else is passed to `har_scores`: protocol, threshold, scores_are, missing, by, resamples, ...
Returns:
    map, f1, recall, precision, auroc: fractions; signature: how they were made;
    map_range: lowest and highest mAP that an order of equal scores could give.
Examples:
    >>> metric = evaluate.load("microg4m_har")
    >>> metric.compute(predictions="detections_test.csv", references="ava_test_gt.csv")["map"]
"""


def _features(persons):
    boxes = datasets.Sequence(datasets.Sequence(datasets.Value("float64"), length=4))
    common = {"video_id": datasets.Value("string"), "boxes": boxes}
    if persons:
        common["person_id"] = datasets.Sequence(datasets.Value("int64"))
    scores = {**common, "frame": datasets.Value("int64")}
    scores["scores"] = datasets.Sequence(datasets.Sequence(datasets.Value("float64")))
    # A row of the dataset has persons in several frames, so references are stored with one frame per box.
    labels = {**common, "frame": datasets.Sequence(datasets.Value("int64"))}
    labels["action_ids"] = datasets.Sequence(datasets.Sequence(datasets.Value("int64")))
    return datasets.Features({"predictions": scores, "references": labels})


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class Microg4mHar(evaluate.Metric):
    def _info(self):
        if self.config_name not in {"default", "persons"}:
            raise ValueError(f"config_name={self.config_name!r} is not known; use 'persons', or leave it out")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=BIBTEX,
            inputs_description=_KWARGS_DESCRIPTION,
            features=_features(self._persons()),
            homepage="https://huggingface.co/datasets/LEI-QI-233/MicroG-4M",
        )

    def _persons(self):
        return self.config_name == "persons"

    def add(self, *, prediction=None, reference=None, **kwargs):
        """Add one frame, or one row of the config `har` with the predictions for it."""
        prediction, reference = _singular(prediction, reference, kwargs)
        return super().add(prediction=prediction, reference=_stored(reference, self._persons()), **kwargs)

    def add_batch(self, *, predictions=None, references=None, **kwargs):
        """Add several frames, or several rows of the config `har` with one prediction each."""
        if isinstance(references, dict):  # the columns of a batch, as `Dataset.iter` gives them
            references = [dict(zip(references, row, strict=True)) for row in zip(*references.values(), strict=True)]
        references = [_stored(reference, self._persons()) for reference in references]
        return super().add_batch(predictions=predictions, references=references, **kwargs)

    def compute(self, *, predictions=None, references=None, **kwargs):
        """Compute the scores from what was added, from lists, or from two files."""
        added = predictions is None and references is None
        if not (added or _are_pairs(predictions, references)):  # files, tables, datasets: they keep their own order
            return self._compute(predictions, references, **kwargs)
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(self, predictions, references, details=False, **settings):
        if _are_pairs(predictions, references):
            # Sorted, so that equal scores rank alike with any number of processes.
            predictions = sorted(predictions, key=_sort_key)
            references = sorted(references, key=_sort_key)
        result = har_scores(predictions, references, **settings)
        short = {**result["scores"], "map_range": result["ties"]["map_range"], "signature": result["signature"]}
        return {**short, **result} if details else short


def _singular(prediction, reference, kwargs):
    """Return both, also where `evaluate.combine` passes them under the names of batches."""
    return kwargs.pop("predictions", prediction), kwargs.pop("references", reference)


def _stored(reference, persons):
    """Return a reference as it is stored: what is scored, with one frame per box."""
    if "persons" not in reference:
        return {**reference, "frame": [reference["frame"]] * len(reference["boxes"])}
    scored = split_persons([reference])
    stored = {
        "video_id": reference["video_id"],
        "frame": [one["frame"] for one in scored],
        "boxes": [one["box"] for one in scored],
        "action_ids": [[ACTION_IDS[label] for label in one["labels"]] for one in scored],
    }
    return {**stored, "person_id": [one["person_id"] for one in scored]} if persons else stored


def _are_pairs(predictions, references):
    """Return whether both are lists of equally many dictionaries of frames, which `evaluate` can store."""
    lists = isinstance(predictions, list) and isinstance(references, list) and len(predictions) == len(references)
    return lists and all(isinstance(entry, dict) and "boxes" in entry for entry in predictions)


def _sort_key(entry):
    return entry["video_id"], entry["frame"], [list(box) for box in entry["boxes"]]
