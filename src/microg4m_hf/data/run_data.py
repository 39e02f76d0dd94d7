"""What a run was asked: the dataset, the split and the items that it predicts, recorded in the run itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import PredictionError
from ..storage import write_atomic

FILE = "data.json"
_FIELDS = ("split", "scheme", "data_dir", "source", "revision")
_START = "\nLoaded with: "  # of the part of a dataset's description that names the arguments


@dataclass(frozen=True)
class RunData:
    """The dataset, split and items of a run.

    A text run keeps it as ``data.json`` in its folder; a file of predicted actions holds it in its metadata.

    Args:
        task: ``"har"``, ``"caption"`` or ``"vqa"``.
        items: The keys of all items that the run was asked for, whether it answered or not: a clip for captions,
            ``(clip, question)`` for answers, ``(clip, frame)`` for actions.
        split: The split, or ``None`` if the rows did not tell.
        scheme: The split scheme; ``None`` for captions and questions that are not divided.
        data_dir: The folder of the release.
        source: The name of the release, as ``load_dataset`` takes it.
        revision: The revision that was asked for.

    Example:
        >>> data = RunData("caption", ("a_001", "b_001"), split="test", source="sample")
        >>> data.describe()
        "source 'sample', split test"
        >>> RunData.from_dict(data.to_dict()) == data
        True
    """

    task: str
    items: tuple[Any, ...] = ()
    split: str | None = None
    scheme: str | None = None
    data_dir: str | None = None
    source: str | None = None
    revision: str | None = None

    @classmethod
    def of_rows(cls, task: str, rows: Any, items: Iterable[Any]) -> RunData:
        """Return the data of a run on rows of a dataset, with the arguments that the rows were loaded with.

        Rows that ``load_dataset`` did not return tell nothing but their items.
        """
        description = getattr(getattr(rows, "info", None), "description", "") or ""
        given: dict[str, Any] = {name: loaded_with(description).get(name) for name in _FIELDS[1:]}
        split = getattr(rows, "split", None)
        # The name of a slice is "test[:10%]"; the items tell which part of the split it is.
        data = cls(task, tuple(items), None if split is None else str(split).partition("[")[0])
        return replace(data, **given)

    @property
    def digest(self) -> str:
        """A short hash of the items, in any order."""
        keys = sorted(json.dumps(_plain(item), ensure_ascii=False) for item in set(self.items))
        return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]

    @property
    def location(self) -> dict[str, str | None]:
        """The release, as keywords of ``load_dataset``."""
        return {"data_dir": self.data_dir, "source": self.source, "revision": self.revision}

    def describe(self) -> str:
        """Return one line that names the release, the scheme and the split."""
        named = {name.replace("_", " "): value for name, value in self.location.items() if value is not None}
        parts = [f"{name} {value!r}" for name, value in named.items()]
        parts += [f"{name} {value}" for name, value in (("scheme", self.scheme), ("split", self.split)) if value]
        return ", ".join(parts)

    def options(self) -> str:
        """Return the options of the command line that name the same release, scheme and split."""
        given = {name: getattr(self, name) for name in ("data_dir", "source", "revision", "scheme", "split")}
        return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``data.json`` holds them."""
        named = {name: getattr(self, name) for name in _FIELDS}
        items = [_plain(item) for item in self.items]
        return {"task": self.task, **named, "digest": self.digest, "count": len(items), "items": items}

    @classmethod
    def from_dict(cls, value: Any, where: str = FILE) -> RunData:
        """Build it from plain values.

        Raises:
            PredictionError: The values are not what ``to_dict`` returns.
        """
        value = value if isinstance(value, Mapping) else {}
        items, named = value.get("items"), {name: value.get(name) for name in _FIELDS}
        well_formed = isinstance(items, list) and all(_is_key(item) for item in items)
        if not well_formed or not all(isinstance(one, str | None) for one in named.values()):
            raise PredictionError(
                f"{where} does not say what the run was asked; remove it, and name the split yourself"
            )
        data = cls(str(value.get("task")), tuple(tuple(i) if isinstance(i, list) else i for i in items or ()), **named)
        if value.get("digest") not in (None, data.digest):
            raise PredictionError(f"{where} was changed: its items do not have its digest; restore it or remove it")
        return data

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``data.json``."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        return write_atomic(Path(folder, FILE), text + "\n")

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> RunData | None:
        """Read ``data.json`` of a run folder; runs of earlier versions have none.

        Raises:
            PredictionError: The file is damaged.
        """
        path = Path(folder, FILE)
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")), str(path))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            if isinstance(error, PredictionError):
                raise
            raise PredictionError(f"{path} is not valid JSON; restore it or remove it") from None


def description_of(arguments: Mapping[str, Any]) -> str:
    """Return the part of a dataset's description that names the arguments it was loaded with."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return _START + json.dumps(given)


def loaded_with(description: str) -> dict[str, Any]:
    """Return the arguments that a dataset's description names.

    >>> loaded_with("Clips." + description_of({"source": "sample", "scheme": None}))
    {'source': 'sample'}
    >>> loaded_with("Clips.")
    {}
    """
    try:
        value = json.loads(description.partition(_START)[2].partition("\n")[0] or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _plain(item: Any) -> Any:
    return list(item) if isinstance(item, tuple) else item


def _is_key(item: Any) -> bool:
    if isinstance(item, list):
        return len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], str | int)
    return isinstance(item, str)
