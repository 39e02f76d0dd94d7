"""Compare the speed of text scoring with pycocoevalcap and sentence-transformers, on the same texts.

    python benchmarks/metrics_text.py                    # random texts of the size of the released ones
    python benchmarks/metrics_text.py --shared ../shared # the released captions and answers

Prints a table and writes ``benchmarks/results/metrics_text.json``. ``--skip-encoder`` skips the sentence encoder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from effort import best_time, peak_memory

Texts = tuple[list[str], list[str]]  # predictions, references


def draw_texts(count: int, words: int, seed: int = 0) -> Texts:
    """Return texts with word frequencies as in natural language; predictions share most words with their reference."""
    random = np.random.RandomState(seed)
    vocabulary = [f"word{number}" for number in range(6000)]
    frequency = 1 / np.arange(1, 6001)
    frequency /= frequency.sum()
    said, meant = [], []
    for _ in range(count):
        reference = random.choice(6000, max(1, random.poisson(words)), p=frequency)
        prediction = np.where(
            random.rand(len(reference)) < 0.3, random.choice(6000, len(reference), p=frequency), reference
        )
        meant.append(" ".join(vocabulary[word] for word in reference) + ".")
        said.append(" ".join(vocabulary[word] for word in prediction) + ".")
    return said, meant


def text_sets(shared: Path | None) -> dict[str, Texts]:
    """Return captions and answers: the released ones with two kinds of predictions, or random ones of the same size."""
    if shared is None:
        return {"captions": draw_texts(1238, 77), "answers": draw_texts(7528, 8)}
    cases = {case["name"]: case for case in json.loads((shared / "data" / "text_cases.json").read_text())["cases"]}
    return {name: (case["predictions"], case["references"]) for name, case in cases.items()}


def peer_scores(said: list[str], meant: list[str]) -> dict[str, tuple[float, list[float]]]:
    """Return BLEU, CIDEr and ROUGE-L of pycocoevalcap on raw strings, for the corpus and for items."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    predictions = {number: [text] for number, text in enumerate(said)}
    references = {number: [text] for number, text in enumerate(meant)}
    corpus, items = Bleu().compute_score(references, predictions, verbose=0)
    found = {f"bleu_{n + 1}": (corpus[n], items[n]) for n in range(4)}
    found["cider"] = Cider().compute_score(references, predictions)
    found["rouge_l"] = Rouge().compute_score(references, predictions)
    return found


def compare_with_peer(name: str, said: list[str], meant: list[str], repeats: int) -> dict[str, Any]:
    from microg4m_hf.metrics import text_scores

    ours, theirs = text_scores(said, meant, on_empty="score"), peer_scores(said, meant)
    worst = 0.0
    for key, (corpus, items) in theirs.items():
        for value, expected in ((ours["scores"][key], corpus), (ours["items"][key], items)):
            expected = np.asarray(expected, np.float64)
            difference = np.abs(np.asarray(value) - expected) / np.maximum(np.abs(expected), 1e-300)
            worst = max(worst, float(np.max(np.where(np.asarray(value) == expected, 0, difference))))
    assert worst < 1e-12, f"{name}: values differ by {worst} (relative)"
    slow = best_time(lambda: peer_scores(said, meant), 2)
    fast = best_time(lambda: text_scores(said, meant, on_empty="score"), repeats)
    return {
        "items": len(said),
        "pycocoevalcap [s]": slow,
        "text_scores [s]": fast,
        "times faster (wall, cpu)": [slow[i] / fast[i] for i in (0, 1)],
        "largest relative difference": worst,
    }


def growth(repeats: int) -> dict[int, Any]:
    """Measure time and memory for 1, 4 and 16 times the answers, with intervals."""
    from microg4m_hf.metrics import text_scores

    rows = {}
    for times in (1, 4, 16):
        said, meant = draw_texts(7528 * times, 8)
        sources = [f"film{number % 18}" for number in range(len(said))]
        rows[times] = {
            "text_scores [s] (wall, cpu)": best_time(lambda s=said, m=meant: text_scores(s, m), repeats),
            "with intervals [s]": best_time(lambda s=said, m=meant, f=sources: text_scores(s, m, sources=f), 2),
            "peak [MiB]": peak_memory(lambda s=said, m=meant: text_scores(s, m)),
        }
        print(f"{times} times the answers", json.dumps(rows[times]), flush=True)
    return rows


def encoder_times(said: list[str], meant: list[str]) -> dict[str, Any]:
    """Time the embedding of all texts and with ``model.encode``, and VQA scoring including model loading."""
    from sentence_transformers import SentenceTransformer

    from microg4m_hf.metrics import SentenceEncoder, vqa_scores
    from microg4m_hf.metrics.text.sentence import locate_encoder

    model = SentenceTransformer(locate_encoder(None)[0], device="cpu")
    model.encode(meant[:64])
    expected: list[np.ndarray] = []
    slow = best_time(lambda: expected.append(model.encode(meant)), 1)
    encoder = SentenceEncoder(device="cpu")
    encoder.encode(["warm", "it is warm"])
    found: list[np.ndarray] = []
    fast = best_time(lambda: found.append(encoder.encode(meant)), 1)
    again = best_time(lambda: encoder.encode(meant), 3)
    worst = float(np.abs(found[0] - expected[0]).max())
    assert worst < 1e-6, f"embeddings differ by {worst}"
    keys = [(f"film{number % 18}_{number:04d}", "question") for number in range(len(said))]
    predictions, references = dict(zip(keys, said, strict=True)), dict(zip(keys, meant, strict=True))
    metrics = ["bleu", "cider", "rouge_l", "svqa"]
    everything = best_time(
        lambda: vqa_scores(predictions, references, metrics=metrics, encoder=SentenceEncoder(device="cpu")), 1
    )
    return {
        "texts": len(meant),
        "different texts": len(set(meant)),
        "model.encode(list) [s]": slow,
        "SentenceEncoder.encode(list) [s]": fast,
        "the same list again, from its cache [s]": again,
        "times faster (wall, cpu)": [slow[i] / fast[i] for i in (0, 1)],
        "largest difference of an embedding": worst,
        "whole VQA scoring, encoder loaded and both sides embedded [s]": everything,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, help="folder with data/text_cases.json (default: random texts)")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--skip-encoder", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "metrics_text.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()} {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "texts": "released" if options.shared else "drawn",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }
    sets = text_sets(options.shared)
    result["n-gram metrics"] = {}
    for name, (said, meant) in sets.items():
        row = compare_with_peer(name, said, meant, options.repeats)
        result["n-gram metrics"][name] = row
        print(name, json.dumps(row), flush=True)
    result["growth"] = growth(3)
    if not options.skip_encoder:
        said, meant = sets.get("vqa_drop3") or sets["answers"]
        result["encoder"] = encoder_times(said, meant)
        print("encoder", json.dumps(result["encoder"]))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
