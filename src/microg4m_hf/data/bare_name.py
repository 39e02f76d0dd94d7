"""What the bare name ``"microg4m"`` means in ``datasets.load_dataset``: our builder, or a folder of that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DataError


def shadowed_by_folder(name: str) -> bool:
    """Whether ``./<name>`` is a data set that ``datasets`` itself can load, and so comes first.

    A data set has a card (``README.md``) that declares configs, or parquet files. Any other folder of that name, a
    clone of a project or the authors' annotation files, lies there by accident (``data_dir=`` reads the latter).
    """
    folder = Path(name)
    if not folder.is_dir():
        return False
    if (folder / "actions.csv").exists() or (folder / "annotation_files").exists():
        return False
    return _card_declares_data(folder / "README.md") or any(
        next(iter(folder.glob(pattern)), None) is not None for pattern in ("*.parquet", "*/*.parquet")
    )


def _card_declares_data(card: Path) -> bool:
    import yaml

    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if not text.startswith("---"):
        return False
    try:
        header = yaml.safe_load(text[3:].partition("\n---")[0])
    except yaml.YAMLError:
        return False
    return isinstance(header, dict) and ("configs" in header or "dataset_info" in header)


def builder_kwargs(*, revision: object, data_files: object) -> dict[str, Any]:
    """What the factory hands to the builder beside the arguments that ``datasets`` passes on by itself."""
    if data_files is not None:
        raise DataError(
            "data_files= has no meaning for microg4m, whose files have fixed names",
            value=data_files,
            hint="use data_dir= for a folder laid out like the release",
        )
    extra: dict[str, Any] = {"dataset_name": "microg4m"}
    if revision is not None:
        extra["revision"] = str(revision)
    return extra
