"""Draw the figures of the concept pages as SVG, from numbers that the library computes.

``python -m docs.scripts.figures DATA PREDICTIONS`` writes them to ``docs/assets``. ``DATA`` is a folder with the
released annotations, ``PREDICTIONS`` one with the released prediction files (a folder for each model).
"""

from __future__ import annotations

import html
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .links import PROJECT

ASSETS = PROJECT / "docs" / "assets"
WIDTH = 720
INK, MUTED, GRID, BLUE, ORANGE = "#1f2430", "#5b6270", "#d4d8e0", "#2b6cb0", "#b7521e"
PALE = {BLUE: "#bcd3ec", ORANGE: "#f1cdb6"}


class Drawing:
    """An SVG picture on white ground, so that it can be read in light and in dark pages."""

    def __init__(self, height: int, title: str) -> None:
        self.height, self.title, self.parts = height, title, [f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>']

    def text(self, x: float, y: float, text: str, *, size: int = 14, color: str = INK, anchor: str = "start") -> None:
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}"'
        self.parts.append(f"<text {place}>{html.escape(text)}</text>")

    def rect(self, x: float, y: float, width: float, height: float, color: str) -> None:
        size = f'width="{max(width, 0):.1f}" height="{height:.1f}"'
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{color}" rx="2"/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, color: str = GRID, width: float = 1) -> None:
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.parts.append(f'<line {ends} stroke="{color}" stroke-width="{width}"/>')

    def dot(self, x: float, y: float, color: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>')

    def axis(
        self, left: float, right: float, top: float, bottom: float, most: float, unit: str, steps: int = 5
    ) -> None:
        for step in range(steps + 1):
            x = left + (right - left) * step / steps
            self.line(x, top, x, bottom)
            self.text(x, bottom + 18, f"{most * step / steps:g}{unit}", size=12, color=MUTED, anchor="middle")

    def save(self, name: str) -> None:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'font-family="system-ui, sans-serif"><title>{html.escape(self.title)}</title>'
        )
        ASSETS.mkdir(exist_ok=True)
        (ASSETS / f"{name}.svg").write_text(head + "".join(self.parts) + "</svg>\n", encoding="utf-8")
        print(ASSETS / f"{name}.svg")


def bars(
    name: str, title: str, groups: Sequence[tuple[str, Sequence[tuple[str, float, str]]]], most: float, left: int = 250
) -> None:
    """Draw groups of horizontal bars with their numbers."""
    rows = sum(len(group) for _, group in groups)
    height = 46 + rows * 24 + len(groups) * 14 + 40
    drawing = Drawing(height, title)
    drawing.text(12, 24, title, size=15)
    right, y = WIDTH - 70, 46.0
    drawing.axis(left, right, y, height - 40, most, " %")
    for label, group in groups:
        drawing.text(12, y + 16, label)
        for text, value, color in group:
            drawing.text(left - 10, y + 16, text, size=12, color=MUTED, anchor="end")
            drawing.rect(left, y + 4, (right - left) * value / most, 16, color)
            drawing.text(left + (right - left) * value / most + 6, y + 17, f"{value:.1f}", size=12)
            y += 24
        y += 14
    drawing.save(name)


def draw_protocols(data: Path, predictions: Path) -> None:
    """F1 of the released predictions, and of perfect ones, under both protocols."""
    import microg4m_hf
    from microg4m_hf.metrics import har_scores
    from microg4m_hf.taxonomy import NUM_ACTIONS

    rows = microg4m_hf.load_dataset("har", split="test", data_dir=str(data), videos=False)
    perfect = [
        {
            "video_id": clip["video_id"],
            "frame": person["key_frame"],
            "boxes": [person["key_box"]],
            "scores": [[9.0 if label in person["actions"] else -9.0 for label in range(NUM_ACTIONS)]],
        }
        for clip in rows
        for person in clip["persons"]
    ]
    systems: dict[str, object] = {"perfect predictions": perfect}
    systems |= {folder.name: str(folder / "detections_test.csv") for folder in sorted(predictions.iterdir())}
    groups = []
    for name, system in systems.items():
        paper = har_scores(system, rows, resamples=0)["scores"]["f1"]
        instance = har_scores(system, rows, protocol="instance", scores_are="logits", resamples=0)["scores"]["f1"]
        print(f"{name}: F1 {paper:.4f} paper, {instance:.4f} instance")
        groups.append((name, [("paper", 100 * paper, ORANGE), ("instance", 100 * instance, BLUE)]))
    bars("protocols", "Macro F1 on the test split (41 of 50 actions occur in it)", groups, 100)
    shutil.copy(ASSETS / "protocols.svg", PROJECT / "src/microg4m_hf/metrics/modules/microg4m_har")  # for its card


def draw_ties(data: Path, predictions: Path) -> None:
    """The range of the mAP over all orders of equal scores."""
    import microg4m_hf
    from microg4m_hf.metrics import har_scores

    rows = microg4m_hf.load_dataset("har", split="test", data_dir=str(data), videos=False)
    folders = sorted(predictions.iterdir())
    drawing = Drawing(90 + 34 * len(folders), "The mAP that each order of equal scores gives")
    drawing.text(12, 24, "mAP of the released predictions: published order, and the range over all orders", size=15)
    left, right, top = 190, WIDTH - 150, 46
    bottom, most = top + 34 * len(folders), 50
    drawing.axis(left, right, top, bottom, most, " %")
    for row, folder in enumerate(folders):
        result = har_scores(str(folder / "detections_test.csv"), rows, resamples=0)
        low, high, value = (100 * number for number in (*result["ties"]["map_range"], result["scores"]["map"]))
        print(f"{folder.name}: {low:.2f} to {high:.2f}, published {value:.2f}")
        y = top + 34 * row + 17
        x = [left + (right - left) * number / most for number in (low, high, value)]
        drawing.text(12, y + 5, folder.name)
        drawing.line(x[0], y, x[1], y, BLUE, 6)
        drawing.dot(x[2], y, ORANGE)
        drawing.text(right + 12, y + 5, f"{value:.2f} ({low:.2f}–{high:.2f})", size=12)
    drawing.save("ties")


def draw_splits(data: Path) -> None:
    """The share of test clips that have a relative in training, under both schemes."""
    import microg4m_hf
    from microg4m_hf.data import leak_report

    groups = []
    for scheme in ("official", "source_disjoint"):
        splits = microg4m_hf.load_dataset("har", data_dir=str(data), scheme=scheme, videos=False)
        report = leak_report({row["video_id"]: name for name, rows in splits.items() for row in rows})
        print(scheme, report)
        share = [
            ("same film in training", report["test_clips_sharing_source"], ORANGE),
            ("neighboring clip in training", report["test_clips_with_neighbour"], BLUE),
        ]
        groups.append((scheme, [(text, 100 * count / report["test_clips"], color) for text, count, color in share]))
    bars("splits", "Test clips with a relative in training", groups, 100, left=300)


def draw_films(data: Path) -> None:
    """The clips of some films as small squares in the color of their split, under both schemes."""
    import microg4m_hf

    colors = {"train": PALE[BLUE], "validation": MUTED, "test": ORANGE}
    schemes = ("official", "source_disjoint")
    split_of: dict[str, dict[tuple[str, int], str]] = {}
    for scheme in schemes:
        splits = microg4m_hf.load_dataset("har", data_dir=str(data), scheme=scheme, videos=False)
        rows = [(row["source"], row["clip_index"], name) for name, split in splits.items() for row in split]
        split_of[scheme] = {(source, index): name for source, index, name in sorted(rows)}
    films: dict[str, list[int]] = {}
    for source, index in split_of["official"]:
        films.setdefault(source, []).append(index)
    # Two films of each split of the second scheme, of a size that fits a line.
    chosen = []
    for split in colors:
        of_split = [film for film in films if split_of["source_disjoint"][film, films[film][0]] == split]
        chosen += [film for film in of_split if 24 <= len(films[film]) <= 60][:2]
    drawing = Drawing(66 + 22 * len(chosen), "The clips of some films by split, under both schemes")
    for column, scheme in enumerate(schemes):
        left = 12 + 360 * column
        drawing.text(left, 24, scheme, size=15)
        for place, (name, color) in enumerate(colors.items()):
            drawing.rect(left + 90 * place, 36, 12, 12, color)
            drawing.text(left + 90 * place + 18, 47, name, size=12, color=MUTED)
        for row, film in enumerate(chosen):
            step = 336 / max(len(films[one]) for one in chosen)
            for place, index in enumerate(films[film]):
                color = colors[split_of[scheme][film, index]]
                drawing.rect(left + step * place, 60 + 22 * row, step - 1, 16, color)
    drawing.save("films")


def draw_orientation() -> None:
    """The mAP of each turn with some remedies, from ``benchmarks/results/orientation.json``."""
    results = json.loads((PROJECT / "benchmarks" / "results" / "orientation.json").read_text(encoding="utf-8"))
    remedies = results["har"]["remedies"]["new scenes"]
    groups = []
    for text, key in (
        ("trained upright", "trained upright"),
        ("four turns of each clip", "--turns 4"),
        ("trained on turned clips", "data.rotate=quarter"),
        ("turn pooling", "turn pooling in the model"),
    ):
        turns = remedies[key]["map_of_turns"].items()
        groups.append((text, [(turn, 100 * value, BLUE if turn == "0°" else ORANGE) for turn, value in turns]))
    bars("orientation", "mAP of the same clips under each turn (new scenes of the sample)", groups, 100)


def draw_turns() -> None:
    """A key frame of the sample under the turns of the probe, with its box."""
    import numpy as np
    from PIL import Image, ImageDraw

    import microg4m_hf
    from microg4m_hf.data import open_clip
    from microg4m_hf.data.turns import TURNS, turn_boxes, turn_frames

    clip = microg4m_hf.load_dataset("har", source="sample")["train"][0]
    person = clip["persons"][0]
    with open_clip(clip["video"]) as video:
        frame = video.frames([person["key_frame"] - 1])
    size, gap = 200, 12
    page = Image.new("RGB", (len(TURNS) * (size + gap) - gap, size + 22), "white")
    canvas = ImageDraw.Draw(page)
    for column, turn in enumerate(TURNS):
        picture = Image.fromarray(turn_frames(frame, turn)[0])
        picture.thumbnail((size, size))
        (box,) = turn_boxes(np.array([person["key_box"]]), turn)
        sides = [float(side) * length for side, length in zip(box, picture.size * 2, strict=True)]
        ImageDraw.Draw(picture).rectangle(sides, outline="#ffd400", width=2)
        left = column * (size + gap)
        page.paste(picture, (left + (size - picture.width) // 2, (size - picture.height) // 2))
        canvas.text((left + size / 2, size + 4), turn.name, fill=INK, anchor="ma", font_size=14)
    page.quantize(64).save(ASSETS / "turns.png", optimize=True)


def draw_coverage() -> None:
    """How often nominal 95 % intervals hold the true value, from ``benchmarks/results/coverage.json``."""
    results = json.loads((PROJECT / "benchmarks" / "results" / "coverage.json").read_text(encoding="utf-8"))
    groups = []
    for films in ("5 films", "15 films", "47 films"):
        methods = results[films]["map"]["A"]["methods"]
        chosen = (
            ("bootstrap, percentile", "percentile", ORANGE),
            ("leaving out films", "jackknife error, t (films - 1)", BLUE),
        )
        groups.append((films, [(text, 100 * methods[key]["covered"], color) for text, key, color in chosen]))
    bars("coverage", "Intervals of a mAP that hold the true value (95 % promised)", groups, 100)


def draw_key_frame() -> None:
    """A key frame of the sample with its box."""
    from PIL import Image, ImageDraw

    import microg4m_hf
    from microg4m_hf.data import open_clip

    clip = microg4m_hf.load_dataset("har", source="sample")["train"][0]
    person = clip["persons"][0]
    with open_clip(clip["video"]) as video:
        picture = Image.fromarray(video.frames([person["key_frame"] - 1])[0])
    picture = picture.resize((picture.width * 2, picture.height * 2))
    sides = [side * size for side, size in zip(person["key_box"], picture.size * 2, strict=True)]
    ImageDraw.Draw(picture).rectangle(sides, outline="#ffd400", width=3)
    picture.quantize(64).save(ASSETS / "key_frame.png", optimize=True)


def main() -> None:
    data, predictions = (Path(word) for word in sys.argv[1:3])
    draw_key_frame()
    draw_turns()
    draw_coverage()
    draw_orientation()
    draw_splits(data)
    draw_films(data)
    draw_ties(data, predictions)
    draw_protocols(data, predictions)


if __name__ == "__main__":
    main()
