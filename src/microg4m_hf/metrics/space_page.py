"""The page of a metric's Space: its card, a form with an example, and the scores."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

from ..errors import MicroG4MError, PredictionError
from ..extras import require
from .har.scores import har_scores
from .text.caption_vqa import caption_scores, vqa_scores

# What the modules wrap: importing evaluate takes longer than all the rest of the page.
_SCORES: dict[str, Any] = {"har": har_scores, "caption": caption_scores, "vqa": vqa_scores}


def space_page(folder: str | os.PathLike[str]) -> Any:
    """Build the page of a module: ``space_page(folder).launch()`` serves it.

    Args:
        folder: The folder of the module, with its script, its card ``README.md`` and ``example.json``, the predictions
            and references that the form shows first.

    Returns:
        A ``gradio.Blocks``.

    Raises:
        MissingExtraError: If Gradio is not installed.
    """
    gr = require("gradio", "the page of a metric")
    folder = Path(folder)
    task = next(folder.glob("microg4m_*.py")).stem.removeprefix("microg4m_")  # on the Hub, the folder is named app
    card = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    title, _, body = card.strip().partition("\n")
    example = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    texts = {side: _as_lines(example[side]) for side in ("predictions", "references")}
    protocols = ["paper", "instance" if task == "har" else "coco"]

    def compute(*given: Any) -> tuple[list[list[str]], str]:
        predictions, references, predictions_file, references_file, protocol = given
        try:
            sides = [
                Path(file) if file else _read_json(text, side)
                for side, file, text in (
                    ("predictions", predictions_file, predictions),
                    ("references", references_file, references),
                )
            ]
            result = _SCORES[task](sides[0], sides[1], protocol=protocol)
        except (MicroG4MError, ValueError) as error:
            raise gr.Error(str(error), title="Not scored", print_exception=False) from error
        return [[name, f"{value:.4f}"] for name, value in result["scores"].items()], result["signature"]

    with gr.Blocks(title=title.lstrip("# "), analytics_enabled=False) as page:
        gr.Markdown(title)
        with gr.Row():
            sides = [gr.Code(texts[side], language="json", label=side, max_lines=12) for side in texts]
        with gr.Row():
            kinds = [".json", ".jsonl", ".csv", ".parquet"]
            files = [gr.File(label=f"or a file of {side}", file_types=kinds, height=100) for side in texts]
        protocol = gr.Radio(protocols, value="paper", label="protocol")
        button = gr.Button("Compute", variant="primary", elem_id="compute")
        table = gr.Dataframe(headers=["score", "value"], label="scores", interactive=False, elem_id="scores")
        signature = gr.Textbox(label="signature: how the scores were computed", elem_id="signature")
        gr.Markdown(_with_pictures(body, folder))
        button.click(compute, [*sides, *files, protocol], [table, signature], api_name="compute")
    return page


def _with_pictures(body: str, folder: Path) -> str:
    """Put the pictures of a card into its text: the page serves no other files of the folder."""

    def embed(match: re.Match[str]) -> str:
        content = base64.b64encode((folder / Path(match[2]).name).read_bytes()).decode()
        return f"{match[1]}(data:image/svg+xml;base64,{content})"

    return re.sub(r"(!\[[^\]]*\])\(([\w./-]+\.svg)\)", embed, body)


def _read_json(text: str, side: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise PredictionError(f"the {side} are not valid JSON ({error}); correct them as in the example") from error


def _as_lines(entries: list[Any]) -> str:
    """One entry per line, which is shorter than JSON with indentation."""
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    return f"[\n{lines}\n]"
