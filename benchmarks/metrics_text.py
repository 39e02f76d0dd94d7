"""Compare the speed of text scoring with pycocoevalcap and sentence-transformers, on the same texts.

    python benchmarks/metrics_text.py                    # random texts of the size of the released ones
    python benchmarks/metrics_text.py --shared ../shared # the released captions and answers

Prints a table and writes ``benchmarks/results/metrics_text.json``. ``--skip-encoder`` skips the sentence encoder;
``--encoder-only`` measures nothing else, and keeps the other rows of the results file.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from effort import best_time, describe_machine, peak_memory

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


def embed_afresh(encoder: Any, texts: list[str]) -> None:
    """Embed without what earlier calls have embedded."""
    encoder._rows.clear()
    encoder.encode(texts)


def encoder_times(said: list[str], meant: list[str], repeats: int) -> dict[str, Any]:
    """Time the embedding of all references with ``model.encode`` and with ours, in turns, on one and on two threads."""
    import torch
    from sentence_transformers import SentenceTransformer

    from microg4m_hf.metrics import SentenceEncoder
    from microg4m_hf.metrics.text.sentence import locate_encoder

    model = SentenceTransformer(locate_encoder(None)[0], device="cpu")
    tokens = [len(ids) for ids in model.tokenizer(meant)["input_ids"]]
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "texts, different texts": [len(meant), len(set(meant))],
        "tokens, tokens of different texts": [sum(tokens), sum(dict(zip(meant, tokens, strict=True)).values())],
    }
    encoders = {dtype: SentenceEncoder(device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")}
    for encoder in encoders.values():
        encoder.encode(["warm", "it is warm"])
    expected = model.encode(meant)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        seconds: dict[str, list[tuple[float, float]]] = {"model.encode": [], **{dtype: [] for dtype in encoders}}
        for _ in range(repeats):
            seconds["model.encode"].append(best_time(lambda: model.encode(meant), 1))
            for dtype, encoder in encoders.items():
                seconds[dtype].append(best_time(lambda one=encoder: embed_afresh(one, meant), 1))
        best = {name: [min(column) for column in zip(*rows, strict=True)] for name, rows in seconds.items()}
        result[f"{threads} threads"] = {
            "seconds (wall, cpu)": best,
            "times faster than model.encode (wall, cpu)": {
                dtype: [best["model.encode"][column] / best[dtype][column] for column in (0, 1)] for dtype in encoders
            },
        }
        print(threads, "threads", json.dumps(result[f"{threads} threads"]), flush=True)
    pairs = [[reference] for reference in meant]
    cosines = {dtype: encoder.similarities(said, pairs) for dtype, encoder in encoders.items()}
    result["largest difference of an embedding"] = {
        dtype: float(np.abs(encoder.encode(meant) - expected).max()) for dtype, encoder in encoders.items()
    }
    result["svqa"] = {dtype: float(values.mean()) for dtype, values in cosines.items()}
    result["largest difference of a similarity, bfloat16"] = float(
        np.abs(cosines["float32"] - cosines["bfloat16"]).max()
    )
    assert result["largest difference of an embedding"]["float32"] < 1e-6
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, help="folder with data/text_cases.json (default: random texts)")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--skip-encoder", action="store_true")
    parser.add_argument("--encoder-only", action="store_true")
    parser.add_argument("--encoder-texts", type=int, help="embed only this many texts, drawn at random")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "metrics_text.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result = describe_machine("numpy") | {
        "texts": "released" if options.shared else "drawn",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }
    if options.encoder_only and options.output.exists():
        result = json.loads(options.output.read_text())
    sets = text_sets(options.shared)
    if not options.encoder_only:
        result["n-gram metrics"] = {}
        for name, (said, meant) in sets.items():
            row = compare_with_peer(name, said, meant, options.repeats)
            result["n-gram metrics"][name] = row
            print(name, json.dumps(row), flush=True)
        result["growth"] = growth(3)
    if not options.skip_encoder:
        said, meant = sets.get("vqa_drop3") or sets["answers"]
        if options.encoder_texts:
            chosen = np.random.RandomState(0).permutation(len(meant))[: options.encoder_texts]
            said, meant = [said[one] for one in chosen], [meant[one] for one in chosen]
        result["encoder"] = describe_machine() | encoder_times(said, meant, min(options.repeats, 3))
        print("encoder", json.dumps(result["encoder"]))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
