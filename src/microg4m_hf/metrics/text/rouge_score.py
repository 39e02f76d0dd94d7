"""ROUGE-1, ROUGE-2 and ROUGE-Lsum as the package ``rouge-score`` computes them, which other papers report.

They are other metrics than ``rouge_l``, the published one, and share no name with it: words are lower-cased runs of
ASCII letters and digits in both protocols, F has β = 1 (``rouge_l``: 1.2), and ``rouge_lsum`` splits texts at line
breaks. The score is the mean of the items; the ``rouge`` of ``evaluate`` gives the median of bootstrap means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...extras import package_versions, require
from .base import MetricResult

ROUGE_SCORE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_lsum": "rougeLsum"}


def compute_rouge_score(name: str, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> MetricResult:
    """Return the mean and the items of one of these metrics; of several references, the best one counts.

    Example:
        >>> compute_rouge_score("rouge_1", ["The cat sat."], [["a cat sat", "the dog"]]).scores
        {'rouge_1': 0.6666666666666666}
    """
    key = ROUGE_SCORE[name]
    scorer = require("rouge_score.rouge_scorer", name).RougeScorer([key])
    items = [
        scorer.score_multi(several, text)[key].fmeasure for text, several in zip(predictions, references, strict=True)
    ]
    result = MetricResult(settings={"rouge_score": package_versions("rouge-score")["rouge-score"]})
    result.add_mean(name, np.array(items))
    return result
