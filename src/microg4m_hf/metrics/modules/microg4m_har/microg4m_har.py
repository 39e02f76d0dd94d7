"""`evaluate` module for human action recognition on MicroG-4M; the scores are `microg4m_hf.metrics.har_scores`."""

import os

import datasets
import evaluate

from microg4m_hf.citation import BIBTEX
from microg4m_hf.metrics import har_scores

_DESCRIPTION = """
Frame-mAP at IoU 0.5 (AVA), macro F1, recall, precision and AUROC of persons' actions in microgravity (MicroG-4M).
protocol="paper" gives the published numbers, protocol="instance" scores each person against that person's own labels.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: one dictionary per key frame: `video_id`, `frame`, `boxes` (n x 4, fractions x1 y1 x2 y2) and
        `scores` (n x 50, or n x 80 for AVA's classes); or the path of a prediction file (CSV, Parquet).
    references: one dictionary per key frame: `video_id`, `frame`, `boxes` and `action_ids` (n lists of released ids);
        or the path of a key-frame file (`ava_test_gt.csv`). Their order need not be that of the predictions.
        Loaded as `evaluate.load(path, "persons")`, both sides also hold `person_id` (n numbers).
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
    common = {
        "video_id": datasets.Value("string"),
        "frame": datasets.Value("int64"),
        "boxes": datasets.Sequence(datasets.Sequence(datasets.Value("float64"), length=4)),
    }
    if persons:
        common["person_id"] = datasets.Sequence(datasets.Value("int64"))
    scores = {**common, "scores": datasets.Sequence(datasets.Sequence(datasets.Value("float64")))}
    labels = {**common, "action_ids": datasets.Sequence(datasets.Sequence(datasets.Value("int64")))}
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
            features=_features(persons=self.config_name == "persons"),
            homepage="https://huggingface.co/datasets/LEI-QI-233/MicroG-4M",
        )

    def compute(self, *, predictions=None, references=None, **kwargs):
        """Compute the scores from what was added, from lists, or from two files."""
        if isinstance(predictions, (str, os.PathLike)):  # files keep their own order
            return self._compute(predictions, references, **kwargs)
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(self, predictions, references, details=False, **settings):
        if not isinstance(predictions, (str, os.PathLike)):
            # Sorted, so that equal scores rank alike with any number of processes.
            predictions = sorted(predictions, key=_sort_key)
            references = sorted(references, key=_sort_key)
        result = har_scores(predictions, references, **settings)
        short = {**result["scores"], "map_range": result["ties"]["map_range"], "signature": result["signature"]}
        return {**short, **result} if details else short


def _sort_key(entry):
    return entry["video_id"], entry["frame"], [list(box) for box in entry["boxes"]]
