"""METEOR 1.5, the Java program of the published numbers (``-l en -norm``), found in the optional package pycocoevalcap.

The program aligns texts and prints 23 counts per item; score and intervals are computed here from (sums of) these
counts, by the formula of the program: precision and recall weigh content words 0.75 and function words 0.25, exact,
stem, synonym and paraphrase matches 1, 0.6, 0.8 and 0.6; F has alpha 0.85, and fragmentation costs
0.6·(chunks/matches)^0.2. The corpus score comes from the summed counts; it is not the mean of the items.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import MicroG4MError, MissingExtraError
from ...extras import require
from .base import MetricResult

_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
_COUNTS = 23
_OPTIONS = ["-", "-", "-stdio", "-l", "en", "-norm"]
_START_SECONDS, _SECONDS_PER_ITEM = 300, 0.5  # far above the 15 s and 2 ms that a busy machine needs


def compute_meteor_1_5(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> MetricResult:
    """Return corpus score, items and counts of METEOR 1.5."""
    counts = meteor_counts(predictions, references)
    return MetricResult(
        scores={"meteor_1_5": float(meteor_from_statistics(counts.sum(0)))},
        items={"meteor_1_5": meteor_from_statistics(counts)},
        statistics={"meteor_1_5": counts},
        settings={"meteor": "1.5 en norm"},
    )


def meteor_counts(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Return the 23 counts of every item, from one run of the program."""
    # A newline inside a text would make two lines of one item, and the program would wait forever.
    items = [(*several, text.replace("|||", "")) for text, several in zip(predictions, references, strict=True)]
    lines = [" ||| ".join(["SCORE", *(" ".join(text.split()) for text in texts)]) for texts in items]
    jar = _find_jar()
    command = [_find_java(), "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", jar.name, *_OPTIONS]
    text, limit = "\n".join(lines).encode("utf-8", "replace") + b"\n", _START_SECONDS + _SECONDS_PER_ITEM * len(lines)
    try:
        done = subprocess.run(command, input=text, cwd=jar.parent, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise MicroG4MError(
            f"METEOR 1.5 did not answer within {limit:.0f} s for {len(lines)} items; free 2 GB of memory"
        ) from None
    answers = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode or len(answers) != len(lines):
        messages = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        raise MicroG4MError(
            f"METEOR 1.5 answered {len(answers)} of {len(lines)} items (exit code {done.returncode}): {messages[0]}; "
            f"try it by hand: cd {jar.parent} && {' '.join(command)}"
        )
    rows = np.array([line.split() for line in answers], dtype=np.float64)
    if rows.shape != (len(lines), _COUNTS):
        raise MicroG4MError(
            f"METEOR 1.5 printed {rows.shape[1]} counts per item instead of {_COUNTS}; "
            "install the version that is known to work: pip install 'pycocoevalcap>=1.2'"
        )
    counts = np.rint(rows).astype(np.int64)
    # A prediction that equals its reference is one chunk, but the program counts it as unbroken, also in sums.
    equal = (counts[:, 21] == counts[:, 0]) & (counts[:, 22] == counts[:, 1]) & (counts[:, 20] == 1)
    counts[equal, 20] = 0
    return counts


def meteor_from_statistics(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Compute METEOR along the last axis of (sums of) counts: shape (…, 23) gives (…).

    Example:
        >>> identical = [2, 2, 0, 0, 2, 2, 0, 0, *[0] * 13, 2, 2]
        >>> float(meteor_from_statistics(np.array(identical)))
        1.0
    """
    rows = np.asarray(counts, np.float64)
    matches = rows[..., 4:20].reshape(*rows.shape[:-1], 4, 4)  # per module: content and function words, text by text
    chunks, predicted_matches, referenced_matches = rows[..., 20], rows[..., 21], rows[..., 22]
    shares = []
    for side in (0, 1):  # 0 the prediction, 1 the reference
        length, function = rows[..., side], rows[..., 2 + side]
        matched = _DELTA * matches[..., side] + (1 - _DELTA) * matches[..., 2 + side]
        weight = _DELTA * (length - function) + (1 - _DELTA) * function
        shares.append(_divide(matched @ _MODULE_WEIGHTS, weight))
    precision, recall = shares
    score = _divide(precision * recall, _ALPHA * precision + (1 - _ALPHA) * recall)
    fragments = _divide(chunks, (predicted_matches + referenced_matches) / 2)
    return score * (1 - _GAMMA * fragments**_BETA)


def _divide(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    zeros = np.zeros(np.shape(denominator))
    return np.divide(numerator, denominator, out=zeros, where=np.asarray(denominator) > 0)


def _find_jar() -> Path:
    package = require("pycocoevalcap", "meteor_1_5")
    for folder in map(Path, package.__path__):
        jar = folder / "meteor" / "meteor-1.5.jar"
        if jar.is_file():
            return jar
    raise MissingExtraError(
        "meteor_1_5 needs meteor-1.5.jar, which this pycocoevalcap does not include; pip install 'pycocoevalcap>=1.2'"
    )


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = (shutil.which("java", path=f"{home}/bin") if home else None) or shutil.which("java")
    if java is None:
        raise MissingExtraError(
            "meteor_1_5 runs a Java program, but there is no java on the PATH nor in JAVA_HOME; install Java "
            "(Debian: apt install default-jre-headless), or ask for meteor_nltk, which is another metric"
        )
    return java
