"""METEOR as nltk computes it: exact, stem and WordNet matches with nltk's weights; the score is the mean of the items.

It is another metric than ``meteor_1_5`` and gives other values (one identical word scores 0.5 here and 1 there), so
the two never share a name. Words are the protocol's, compared in lower case.
"""

from __future__ import annotations

import functools
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

_FILES = [f"{kind}.{part}" for kind in ("index", "data") for part in ("noun", "verb", "adj", "adv")]
_EXTRA_FILES = ["noun.exc", "verb.exc", "adj.exc", "adv.exc", "cntlist.rev"]
_LEXICOGRAPHER_FILES = 45


def compute_meteor_nltk(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> MetricResult:
    """Score and items of nltk's METEOR."""
    wordnet, origin = wordnet_reader()
    score = functools.cache(functools.partial(_score, wordnet))
    items = [score(said, tuple(several)) for said, several in zip(predictions, references, strict=True)]
    part = MetricResult(settings={"meteor_nltk": require("nltk", "meteor_nltk").__version__, "wordnet": origin})
    part.add_mean("meteor_nltk", np.array(items))
    return part


def _score(wordnet: Any, said: str, several: tuple[str, ...]) -> float:
    from nltk.translate.meteor_score import meteor_score

    words = said.split()
    if not words:
        return 0.0
    return float(meteor_score([one.split() for one in several], words, wordnet=wordnet))


@functools.lru_cache(maxsize=1)
def wordnet_reader() -> tuple[Any, str]:
    """WordNet for nltk, and where it came from: nltk's own download, else the files of a WordNet installation."""
    nltk = require("nltk", "meteor_nltk")
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
        return wordnet, "nltk"
    except LookupError:
        pass
    for folder in _installations():
        if all((folder / name).is_file() for name in _FILES):
            return _reader(nltk, folder), "3.0" if folder == _DEBIAN else "local"
    raise MissingExtraError(
        "meteor_nltk needs WordNet, which is neither among nltk's data nor in "
        f"{', '.join(map(str, _installations()))}; get it once with: python -m nltk.downloader wordnet "
        "(or Debian: apt install wordnet-base; elsewhere point WNSEARCHDIR at the folder that holds data.noun)"
    )


_DEBIAN = Path("/usr/share/wordnet")


def _installations() -> list[Path]:
    folders = [os.environ.get("WNSEARCHDIR", ""), os.environ.get("WNHOME", "") and os.environ["WNHOME"] + "/dict"]
    return [Path(folder) for folder in folders if folder] + [_DEBIAN]


def _reader(nltk: Any, folder: Path) -> Any:
    """A reader over a copy of the files: nltk opens only what lies inside its data path, links excluded."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):
        def map_wn(self, version: str = "wordnet") -> None:
            """No mapping to other WordNet versions; it would ask for a second corpus."""

    target = cache_home() / "wordnet" / _fingerprint(folder)
    if not target.is_dir():
        with atomic_folder(target) as scratch:
            for name in _FILES:
                shutil.copyfile(folder / name, scratch / name)
            for name in _EXTRA_FILES:
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, scratch / name)
                else:
                    (scratch / name).touch()
            # Debian leaves this list out; nltk wants a name per number, which no score uses.
            lines = [f"{number:02d}\tlex{number}\t1\n" for number in range(_LEXICOGRAPHER_FILES)]
            (scratch / "lexnames").write_text("".join(lines))
    if str(target) not in nltk.data.path:
        nltk.data.path.append(str(target))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that only English is there
        return Reader(str(target), omw_reader=None)


def _fingerprint(folder: Path) -> str:
    import hashlib

    sizes = [f"{name}:{(folder / name).stat().st_size}" for name in _FILES]
    return hashlib.sha256("|".join([str(folder), *sizes]).encode()).hexdigest()[:12]
