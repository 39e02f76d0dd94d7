"""Compute what an epoch, the whole benchmark and a curation take on 1, 8 and 64 GPUs, from measured parts.

    python benchmarks/scale.py

Reads results of other benchmarks, counts the operations of the networks, adds the assumptions below, and writes
``benchmarks/results/scale.json`` and the tables of ``docs/scale.md``. What the video networks reach on a GPU was
measured on one; every other figure that a GPU would have to confirm is an assumption with a name.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "scale.md"
GPUS = (1, 8, 64)

# Of the release, by `microg4m data stats` and the files of train_ready.
KEY_FRAMES = {"train": 3835, "test": 1091}
QUESTIONS, CAPTIONS = 7528, 1238

# By `benchmarks/gpu/run.sh`: the beginning of a name, the network that was measured, its forward passes for a clip, of
# which a training step has three, and the side of the clip. The last one stands for all others.
MEASURED_ON_A_GPU = (
    ("slowfast", "step, slowfast_8x8_r50", 3, 224),
    ("x3d", "predictions, x3d_s", 1, 256),
    ("mvit", "predictions, mvitv2_s_16x4", 1, 224),
    ("", "step, i3d_nln_8x8_r50", 3, 224),
)

# Nobody has measured these with this library.
ASSUMED: dict[str, tuple[float, str]] = {
    "prefill share": (0.40, "share of the peak that vision encoder and prefill of a language model reach"),
    "bandwidth share": (0.60, "share of the memory bandwidth that a decoding step reaches"),
    "peak": (989e12, "dense bfloat16 operations per second of an H100 SXM (data sheet)"),
    "bandwidth": (3.35e12, "bytes per second of its memory (data sheet)"),
    "cores": (12, "CPU cores per GPU for decoding"),
    "step": (0.01, "seconds per optimizer step for all that does not shrink with more GPUs"),
    "link 8": (3e11, "bytes per second and GPU for gradients inside a machine of 8 GPUs"),
    "link 64": (4e10, "bytes per second and GPU between machines"),
    "VLM weights": (8.3e9, "weights of each of the 8 vision-language models"),
    "VLM prompt": (2700, "tokens of a clip: nine frames of 480p"),
    "VLM question": (60, "tokens of a question with its template"),
    "VLM answer": (20, "tokens of an answer"),
    "VLM caption": (120, "tokens of a caption"),
    "VLM rows": (48, "texts that are decoded at the same time"),
    "VLM start": (90, "seconds to load a model"),
    "HAR start": (30, "seconds to start a training or a prediction"),
    "detector": (500, "pictures per second that a GPU detects people in"),
    "footage": (1000, "hours of footage to curate"),
}


def assumed(name: str) -> float:
    return ASSUMED[name][0]


def measured() -> dict[str, float]:
    """Return what other benchmarks have measured, in seconds for one core."""
    training = json.loads((RESULTS / "training.json").read_text())["worker_ms_per_clip"]
    stages = json.loads((RESULTS / "curate.json").read_text())["stages"]
    scenarios = json.loads((RESULTS / "stragglers.json").read_text())["scenarios"]
    parts = {
        "mp4": training["mp4"] / 1e3,
        "cache": training["cache"] / 1e3,
        **{name: stages[name] for name in ("cut", "shots", "tracks", "filter")},
        "even": scenarios["even"]["seconds"] / scenarios["even"]["best possible"],
        **shares(),
    }
    return {name: round(value, 6) for name, value in parts.items()}


def shares() -> dict[str, float]:
    """Return the shares of the peak that networks reached on a GPU, in bfloat16 and not compiled, by their names."""
    from microg4m_hf.models.build import config_of, count_parameters_and_gflops

    parts = json.loads((RESULTS / "gpu" / "results.json").read_text())["parts"]
    findings = [one for part in ("steps", "predictions") for one in parts[part]["findings"]]
    found = {}
    for _, figure, passes, side in MEASURED_ON_A_GPU:
        network = figure.rpartition(" ")[2]
        clips = max(one["clips_per_second"] for one in findings if one["figure"] == figure)
        operations = passes * 2e9 * count_parameters_and_gflops(config_of(network), side)[1]
        found[f"share {network}"] = clips * operations / assumed("peak")
    return found


def share_of(name: str, parts: dict[str, float]) -> float:
    """Return the share of the peak that stands for a network."""
    return next(
        parts[f"share {figure.rpartition(' ')[2]}"] for start, figure, *_ in MEASURED_ON_A_GPU if name.startswith(start)
    )


def networks() -> dict[str, dict[str, Any]]:
    """Return parameters, multiply-adds, epochs and batch of the 14 published rows; zero-shot rows are not trained."""
    from microg4m_hf.models.build import config_of, count_parameters_and_gflops
    from microg4m_hf.models.registry import PUBLISHED
    from microg4m_hf.training.recipe_io import load_recipe

    found = {}
    for name in PUBLISHED:
        parameters, gflops = count_parameters_and_gflops(config_of(name))
        recipe = None if name.endswith("_ava") else load_recipe(name)
        epochs, batch = (recipe.schedule.epochs, recipe.loop.batch) if recipe else (0, 0)
        row = {"name": name, "parameters": parameters, "gflops": round(gflops, 2), "epochs": epochs, "batch": batch}
        found[name] = row
    return found


def video_seconds(network: dict[str, Any], clips: float, parts: dict[str, float]) -> float:
    """Return the seconds of a forward pass on one GPU."""
    return clips * 2e9 * float(network["gflops"]) / (assumed("peak") * share_of(network["name"], parts))


def epoch_seconds(network: dict[str, Any], gpus: int, kind: str, parts: dict[str, float]) -> float:
    """Return the seconds of an epoch: each step is as long as computing or decoding, whichever takes longer."""
    batch = network["batch"]
    used = min(gpus, batch)  # more cannot share a step
    share = math.ceil(batch / used)  # the busiest GPU
    compute = video_seconds(network, 3 * share, parts)
    reading = share * parts[kind] / assumed("cores")
    link = assumed("link 8" if used <= 8 else "link 64")
    gradients = 0.0 if used == 1 else 2 * 4 * network["parameters"] / link
    return KEY_FRAMES["train"] / batch * (max(compute, reading) + gradients + assumed("step"))


def har_test_seconds(network: dict[str, Any], gpus: int, parts: dict[str, float]) -> float:
    """Return the seconds to predict the test split: whole frames of 256×455 instead of crops of 224×224."""
    area = 256 * 455 / 224**2
    seconds = max(video_seconds(network, area, parts), parts["mp4"] / assumed("cores"))
    return math.ceil(KEY_FRAMES["test"] / gpus) * seconds + assumed("HAR start")


def vlm_seconds(gpus: int, decode: float, imbalance: float) -> dict[str, float]:
    """Return the seconds of each part of one model that captions all clips and answers all questions."""
    weights = assumed("VLM weights")
    clips = math.ceil(CAPTIONS / gpus) * imbalance
    per_clip = QUESTIONS / CAPTIONS
    tokens = 2 * assumed("VLM prompt") + per_clip * assumed("VLM question")  # once for the caption, once for questions
    texts = per_clip * assumed("VLM answer") + assumed("VLM caption")
    step = 2 * weights / (assumed("bandwidth") * assumed("bandwidth share"))
    return {
        "start": assumed("VLM start"),
        "prefill": clips * 2 * weights * tokens / (assumed("peak") * assumed("prefill share")),
        "decoding": clips * texts * step / assumed("VLM rows"),
        "reading, beside it": clips * 2 * decode / assumed("cores"),
    }


def curation_seconds(gpus: int, parts: dict[str, float], every: int) -> dict[str, float]:
    clips = assumed("footage") * 1200 / gpus
    cpu = clips * sum(parts[name] for name in ("cut", "shots", "tracks", "filter")) / assumed("cores")
    return {"CPU": cpu, "detector": clips * 4 * 90 / every / assumed("detector")}


def compute(parts: dict[str, float], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return all figures of the page, given what was measured and counted."""
    found: dict[str, Any] = {
        "command": "python benchmarks/scale.py",
        "measured": parts,
        "assumed": {name: value for name, (value, _) in ASSUMED.items()},
        "networks": rows,
        "epoch [s]": {},
    }
    for name, row in rows.items():
        if row["epochs"]:
            found["epoch [s]"][name] = {
                kind: [round(epoch_seconds(row, n, kind, parts), 1) for n in GPUS] for kind in ("mp4", "cache")
            }
    trained = [row for row in rows.values() if row["epochs"]]

    def training(n: int) -> float:
        """Frames from the cache, but for the first epoch, which fills it."""
        total = 0.0
        for row in trained:
            first, later = (epoch_seconds(row, n, kind, parts) for kind in ("mp4", "cache"))
            total += first + (row["epochs"] - 1) * later + assumed("HAR start")
        return total

    hours = {
        "12 trainings": [training(n) / 3600 for n in GPUS],
        "14 rows predicted": [sum(har_test_seconds(row, n, parts) for row in rows.values()) / 3600 for n in GPUS],
    }
    for n in GPUS:
        model = vlm_seconds(n, parts["mp4"], parts["even"] if n > 1 else 1.0)
        seconds = model["start"] + max(model["prefill"] + model["decoding"], model["reading, beside it"])
        hours.setdefault("8 vision-language models", []).append(8 * seconds / 3600)
        found.setdefault("one vision-language model [s]", {})[str(n)] = {k: round(v, 1) for k, v in model.items()}
    hours["whole benchmark"] = [sum(column) for column in zip(*hours.values(), strict=True)]
    for every in (1, 5):
        times = [curation_seconds(n, parts, every) for n in GPUS]
        hours[f"curation, every {every}"] = [max(one.values()) / 3600 for one in times]
    found["hours on 1, 8, 64 GPUs"] = {name: [round(one, 2) for one in row] for name, row in hours.items()}
    return found


def tables(found: dict[str, Any]) -> str:
    """Return the Markdown tables of the page."""
    labels = {
        "12 trainings": "training the 12 networks that the paper trained",
        "14 rows predicted": "predicting the test split with all 14 rows",
        "8 vision-language models": "captions and answers of 8 vision-language models",
        "whole benchmark": "**the whole benchmark**",
        "curation, every 1": f"curating {assumed('footage'):,.0f} hours of footage, people in every frame",
        "curation, every 5": "the same, people in every fifth frame",
    }
    lines = ["| hours | 1 GPU | 8 GPUs | 64 GPUs |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {labels[name]} | {' | '.join(f'{one:,.1f}' if one >= 1 else f'{one:.2f}' for one in row)} |"
        for name, row in found["hours on 1, 8, 64 GPUs"].items()
    ]
    lines += [
        "",
        "| seconds of an epoch, clips from mp4 / cache | 1 GPU | 8 GPUs | 64 GPUs |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in found["epoch [s]"].items():
        pairs = zip(row["mp4"], row["cache"], strict=True)
        lines.append(f"| `{name}` | {' | '.join(f'{slow:.0f} / {fast:.0f}' for slow, fast in pairs)} |")
    lines += ["", "| measured on a GPU: share of its peak in bfloat16 | value |", "| --- | --- |"]
    names = ("SlowFast, in training", "X3D, in prediction", "MViT, in prediction", "all others, by I3D NLN in training")
    for label, (_, figure, *_) in zip(names, MEASURED_ON_A_GPU, strict=True):
        lines.append(f"| {label} | {found['measured']['share ' + figure.rpartition(' ')[2]]:.3f} |")
    lines += ["", "| assumption | value |", "| --- | --- |"]
    lines += [f"| {text} | {value:,.10g} |" for value, text in ASSUMED.values()]
    return "\n".join(lines)


def main() -> None:
    found = compute(measured(), networks())
    (RESULTS / "scale.json").write_text(json.dumps(found, indent=1) + "\n")
    page = PAGE.read_text()
    marks = r"(<!-- tables: python benchmarks/scale.py -->\n\n).*?(\n\n<!-- end of tables -->)"
    PAGE.write_text(re.sub(marks, lambda match: match[1] + tables(found) + match[2], page, flags=re.S))
    print(tables(found))


if __name__ == "__main__":
    main()
