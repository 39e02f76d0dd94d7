"""METEOR as nltk computes it: exact, stem and WordNet matches with nltk's weights; the score is the mean of the items.

This is another metric than ``meteor_1_5`` and gives other values (one identical word scores 0.5 here and 1 there), so
the two never share a name. Words are those of the protocol, compared in lower case.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MissingExtraError
from ...extras import require
from ...storage import atomic_folder, cache_home
from .base import MetricResult

_DEBIAN = Path("/usr/share/wordnet")
_FILES = [f"{kind}.{part}" for kind in ("index", "data") for part in ("noun", "verb", "adj", "adv")]
_OPTIONAL_FILES = ["noun.exc", "verb.exc", "adj.exc", "adv.exc", "cntlist.rev"]
_LEXICOGRAPHER_FILES = 45


def compute_meteor_nltk(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> MetricResult:
    """Return the mean and the items of nltk's METEOR."""
    nltk = require("nltk", "meteor_nltk")
    wordnet, origin = load_wordnet()
    from nltk.translate.meteor_score import meteor_score

    @functools.cache
    def score(prediction: str, several: tuple[str, ...]) -> float:
        words = prediction.split()
        return float(meteor_score([one.split() for one in several], words, wordnet=wordnet)) if words else 0.0

    items = [score(text, tuple(several)) for text, several in zip(predictions, references, strict=True)]
    result = MetricResult(settings={"meteor_nltk": nltk.__version__, "wordnet": origin})
    result.add_mean("meteor_nltk", np.array(items))
    return result


@functools.lru_cache(maxsize=1)
def load_wordnet() -> tuple[Any, str]:
    """Return WordNet for nltk and its origin: nltk's own download, else the files of a WordNet installation."""
    nltk = require("nltk", "meteor_nltk")
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
        return wordnet, "nltk"
    except LookupError:
        pass
    home = os.environ.get("WNHOME")
    folders = [os.environ.get("WNSEARCHDIR"), home and f"{home}/dict", str(_DEBIAN)]
    for folder in map(Path, filter(None, folders)):
        if all((folder / name).is_file() for name in _FILES):
            return _read_installation(nltk, folder), "3.0" if folder == _DEBIAN else "local"
    raise MissingExtraError(
        f"meteor_nltk needs WordNet, which is neither among nltk's data nor in {', '.join(filter(None, folders))}; "
        "get it once with: python -m nltk.downloader wordnet "
        "(or Debian: apt install wordnet-base; elsewhere point WNSEARCHDIR at the folder that holds data.noun)"
    )


def _read_installation(nltk: Any, folder: Path) -> Any:
    """Read a copy of the files: nltk only opens what is inside its data path, and follows no links out of it."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):
        def map_wn(self, version: str = "wordnet") -> None:
            """Map nothing to other WordNet versions, which would need a second corpus."""

    sizes = [f"{name}:{(folder / name).stat().st_size}" for name in _FILES]
    fingerprint = hashlib.sha256("|".join([str(folder), *sizes]).encode()).hexdigest()[:12]
    target = cache_home() / "wordnet" / fingerprint
    if not target.is_dir():
        with atomic_folder(target) as scratch:
            for name in _FILES + _OPTIONAL_FILES:
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, scratch / name)
                else:
                    (scratch / name).touch()
            # Debian leaves this list out; nltk needs a name per number, which no score uses.
            lines = [f"{number:02d}\tlex{number}\t1\n" for number in range(_LEXICOGRAPHER_FILES)]
            (scratch / "lexnames").write_text("".join(lines))
    if str(target) not in nltk.data.path:
        nltk.data.path.append(str(target))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that only English is there
        return Reader(str(target), omw_reader=None)
