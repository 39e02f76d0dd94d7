"""Load and save PySlowFast checkpoints, and load saved models that must be whole.

The keys of a model are those of PySlowFast with the prefix ``backbone.network.``, except for the ``head.``.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Size, Tensor
from torch.nn import functional as F

from ..errors import CheckpointError, MicroG4MError, list_some
from ..storage import write_atomic
from .build import config_of
from .checkpoint_reader import read_checkpoint
from .modeling import MicroG4MHarForVideoClassification

_PREFIX = "backbone.network."
# Layers of Kinetics heads that have no place in a detection head.
_KINETICS_ONLY = ("head.conv_5", "head.lin_5")
ShapeMismatch = tuple[str, tuple[int, ...], tuple[int, ...]]  # key, shape in the checkpoint, shape in the model


@dataclass
class KeyReport:
    """The keys of a checkpoint, by what happens to them in a model.

    >>> print(KeyReport(missing=["s1.bn.weight"]))
    1 missing: s1.bn.weight
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[ShapeMismatch] = field(default_factory=list)
    dropped: list[ShapeMismatch] = field(default_factory=list)  # a head for other classes; a new one replaces it
    resized: list[ShapeMismatch] = field(default_factory=list)  # position embeddings, inflated kernels
    ignored: list[str] = field(default_factory=list)  # layers of a Kinetics head

    @property
    def fits(self) -> bool:
        """Whether the checkpoint fills the model, except for a head for other classes."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        parts = []
        for title in ("missing", "unexpected", "mismatched", "dropped"):
            entries = [
                entry if isinstance(entry, str) else f"{entry[0]} {list(entry[1])} instead of {list(entry[2])}"
                for entry in getattr(self, title)
            ]
            if entries:
                parts.append(f"{len(entries)} {title}: {list_some(entries, 20)}")
        return "; ".join(parts) or f"all {len(self.loaded)} weights fit"


def to_model_key(key: str) -> str:
    """Return the key of a model for a key of PySlowFast.

    >>> to_model_key("s1.pathway0_stem.conv.weight"), to_model_key("head.projection.bias")
    ('backbone.network.s1.pathway0_stem.conv.weight', 'head.projection.bias')
    """
    return key if key.startswith("head.") else _PREFIX + key


def load_pyslowfast(
    name: str,
    source: Mapping[str, Any] | str | os.PathLike[str],
    *,
    partial: bool = False,
    inflate: bool = False,
    **overrides: Any,
) -> MicroG4MHarForVideoClassification:
    """Create a named model with the weights of a PySlowFast checkpoint, in eval mode.

    Args:
        name: A name of ``microg4m models list``.
        source: A file (``.pyth``, Caffe2 ``.pkl``, ...) or a state dict with PySlowFast keys.
        partial: Load what fits and initialize the rest, as PySlowFast does. By default every weight must fit, except
            for a head for other classes.
        inflate: Repeat 2D kernels over time.
        overrides: Settings as in ``create``.

    Returns:
        The model.

    Raises:
        CheckpointError: If the file is damaged or does not fit; ``error.report`` lists the keys.

    Example:
        >>> from microg4m_hf.models import create, export_pyslowfast
        >>> state = export_pyslowfast(create("tiny_slow"))
        >>> load_pyslowfast("tiny_slow", state).training
        False
    """
    state = read_checkpoint(source)
    model = MicroG4MHarForVideoClassification(config_of(name, **overrides))
    fitted, report = match_keys(model, state, inflate=inflate)
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    if (not partial and not report.fits) or not report.loaded:
        advice = "give the network of this checkpoint as name=, one of `microg4m models list`"
        if report.loaded:
            advice = "use partial=True (model.init_partial=true in a recipe) to load what fits"
        error = CheckpointError(f"{where} does not fit {name}: {report}; {advice}")
        error.report = report  # type: ignore[attr-defined]
        raise error
    if report.dropped or not report.fits:
        warnings.warn(f"{where} in {name}: {report}", stacklevel=2)
    model.load_state_dict({to_model_key(key): value for key, value in fitted.items()}, strict=False)
    return model.eval()


def load_saved(source: str | os.PathLike[str], *, partial: bool = False, **settings: Any) -> Any:
    """Load a model that ``save_pretrained`` wrote, in eval mode, and refuse one that is not whole.

    ``from_pretrained`` fills weights that are missing or of another shape with random numbers and prints a warning.

    Args:
        source: A folder or a Hub id.
        partial: Load what fits and initialize the rest.
        settings: Values of ``MicroG4MHarConfig`` that replace those of the model.

    Returns:
        The model.

    Raises:
        CheckpointError: If weights are missing, unknown or of another shape, or the file is damaged.

    Example:
        >>> import tempfile
        >>> from microg4m_hf.models import create, load_saved
        >>> folder = tempfile.mkdtemp()
        >>> create("tiny_slow").save_pretrained(folder)
        >>> load_saved(folder).training
        False
    """
    try:
        model, found = MicroG4MHarForVideoClassification.from_pretrained(
            source, output_loading_info=True, ignore_mismatched_sizes=True, **settings
        )
    except MicroG4MError:
        raise
    except Exception as error:  # what libraries raise for a damaged file is not a closed list
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise CheckpointError(
            f"{source} cannot be loaded as a model ({reason}); check the path, or save it again"
        ) from error
    report = KeyReport(
        loaded=[key for key in model.state_dict() if key not in found["missing_keys"]],
        missing=sorted(found["missing_keys"]),
        unexpected=sorted(found["unexpected_keys"]),
        mismatched=sorted((key, tuple(saved), tuple(wanted)) for key, saved, wanted in found["mismatched_keys"]),
    )
    report.missing = [key for key in report.missing if key not in {key for key, *_ in report.mismatched}]
    if not partial and not report.fits:
        raise CheckpointError(
            f"{source} does not fit its own configuration, as if half of it was written: {report}; "
            "save or download the model again"
        )
    return model


def match_keys(
    model: MicroG4MHarForVideoClassification, state: Mapping[str, Tensor], *, inflate: bool = False
) -> tuple[dict[str, Tensor], KeyReport]:
    """Return the weights that fit a model, resized where PySlowFast resizes them, and a report on all keys."""
    wanted = export_pyslowfast(model, copy=False)
    report = KeyReport()
    fitted: dict[str, Tensor] = {}
    for key, value in state.items():
        if key not in wanted:
            (report.ignored if key.startswith(_KINETICS_ONLY) else report.unexpected).append(key)
            continue
        target = wanted[key].shape
        fit = fit_to_shape(key, value, target, inflate=inflate)
        if fit is not None:
            fitted[key] = fit
            report.loaded.append(key)
            if value.shape != target:
                report.resized.append((key, tuple(value.shape), tuple(target)))
        elif key.startswith("head.projection") and value.shape[1:] == target[1:]:
            report.dropped.append((key, tuple(value.shape), tuple(target)))
        else:
            report.mismatched.append((key, tuple(value.shape), tuple(target)))
    # Caffe2 checkpoints have no num_batches_tracked, which only matters for a momentum of None.
    report.missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    return fitted, report


def export_pyslowfast(model: MicroG4MHarForVideoClassification, *, copy: bool = True) -> dict[str, Tensor]:
    """Return the state dict of a model with PySlowFast's keys.

    Args:
        model: The model.
        copy: Copy the tensors to the CPU. False returns the tensors of the model.
    """
    state = model.state_dict()
    return {key.removeprefix(_PREFIX): value.detach().cpu().clone() if copy else value for key, value in state.items()}


def save_pyslowfast(model: MicroG4MHarForVideoClassification, path: str | os.PathLike[str]) -> Path:
    """Write a ``.pyth`` file that PySlowFast's test script loads (``TEST.CHECKPOINT_FILE_PATH``).

    Args:
        model: The model.
        path: The file to write.

    Returns:
        The path of the file.

    Raises:
        CheckpointError: If the file exists.
    """
    if Path(path).exists():
        raise CheckpointError(f"{path} exists; give another name or remove it")
    buffer = io.BytesIO()
    torch.save({"epoch": 0, "model_state": export_pyslowfast(model)}, buffer)
    return write_atomic(path, buffer.getvalue())


def fit_to_shape(key: str, value: Tensor, target: Size, *, inflate: bool = False) -> Tensor | None:
    """Return a weight in another shape where PySlowFast would resize it, else None.

    Trailing dimensions of one are added (Caffe2 has none); relative and temporal positions are resized linearly,
    spatial ones bicubically on their square grid; with ``inflate``, 2D kernels are repeated over time.
    """
    if value.shape == target:
        return value
    if value.ndim < len(target) and value.ndim > 0:
        padded = value.reshape(*value.shape, *(1,) * (len(target) - value.ndim))
        if padded.shape == target:
            return padded
    if inflate and value.ndim == 4 and len(target) == 5:
        if value.shape[:2] == target[:2] and value.shape[2:] == target[3:]:
            return value[:, :, None].repeat(1, 1, target[2], 1, 1) / target[2]
        return None
    if value.ndim != len(target) or value.shape[-1:] != target[-1:]:
        return None
    if "attn.rel_pos" in key:
        return F.interpolate(value.T[None], size=target[0], mode="linear")[0].T.contiguous()
    if key == "pos_embed_temporal":
        return F.interpolate(value.transpose(1, 2), size=target[1], mode="linear").transpose(1, 2).contiguous()
    if key == "pos_embed_spatial":
        old, new = math.isqrt(value.shape[1]), math.isqrt(target[1])
        if old * old == value.shape[1] and new * new == target[1]:
            grid = value.reshape(1, old, old, -1).permute(0, 3, 1, 2)
            return F.interpolate(grid, size=(new, new), mode="bicubic").permute(0, 2, 3, 1).reshape(target)
    return None
