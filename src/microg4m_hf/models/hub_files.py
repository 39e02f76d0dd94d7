"""Files beside the weights of a pushed model: its card, and the code file for programs without this library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..citation import CITATION
from ..hub import BENCHMARK
from ..storage import write_atomic

# transformers does not know ``microg4m_har`` before this library is imported. The config names this file, so that
# transformers asks for the package by name, and loads the model with ``trust_remote_code=True`` where it is installed.
HUB_CODE_FILE = "microg4m_har.py"
HUB_CODE = '''"""The classes of this model are in the package microg4m-hf; there is no other code to trust here.

    pip install "microg4m-hf[train]"

With `import microg4m_hf` before the model is loaded, transformers does not read this file.
"""

from microg4m_hf.inference import MicroG4MHarVideoProcessor
from microg4m_hf.models import (
    MicroG4MHarConfig,
    MicroG4MHarForVideoClassification,
    MicroG4MHarModel,
    MicroG4MHarProcessor,
)
'''
AUTO_MAP = {
    "AutoConfig": "microg4m_har.MicroG4MHarConfig",
    "AutoModel": "microg4m_har.MicroG4MHarModel",
    "AutoModelForVideoClassification": "microg4m_har.MicroG4MHarForVideoClassification",
    "AutoProcessor": "microg4m_har.MicroG4MHarProcessor",
    "AutoVideoProcessor": "microg4m_har.MicroG4MHarVideoProcessor",
}


_NOT_SAID = """## Training

This card was written when the model was pushed, and describes the network only. What it was trained on, and how well it
does, is for you to add; `microg4m push` of a training run writes both."""


class CodeInPackage:
    """A class whose code stays in this package: ``save_pretrained`` copies none of it into the folders of models."""

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> None:
        """Do nothing. transformers calls this on classes it has found through ``HUB_CODE_FILE``."""


def write_hub_card(
    model: Any, repo_id: str, path: Path, *, training: str = _NOT_SAID, front_matter: Mapping[str, Any] | None = None
) -> None:
    """Write a card that describes the network of a model, with the tags that a card at that path has.

    Args:
        model: A ``MicroG4MHarModel`` or ``MicroG4MHarForVideoClassification``.
        repo_id: The repository that the card is for.
        path: The file to write.
        training: The last sections in Markdown: what the weights were trained on, and how well they do.
        front_matter: Further fields of ``ModelCardData``.
    """
    from huggingface_hub import ModelCard, ModelCardData

    config = model.config
    tags = ["microgravity", "action-recognition", "microg4m"]
    if path.is_file():
        tags += ModelCard.load(path).data.tags or []
    header = ModelCardData(
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=sorted(set(tags), key=tags.index),
        **(front_matter or {}),
    )
    text = Path(__file__).with_name("model_card.md").read_text(encoding="utf-8")
    names = [config.id2label[index] for index in sorted(config.id2label)]
    keys = ("variant", "family", "settings", "num_frames", "sampling_rate", "test_size", "roi_stride", "roi_size")
    body = text.format(
        name=repo_id,
        benchmark=BENCHMARK,
        classes=len(names),
        labels=", ".join(names),
        parameters=model.num_parameters(),
        training=training,
        **{key: getattr(config, key) for key in keys},
    )
    write_atomic(path, f"---\n{header.to_yaml()}\n---\n\n{body}\n{CITATION}")
