"""A vision-language model and its processor, from the Hub or a folder, without running code of theirs."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError, RecipeError
from ...extras import require
from ...runtime import is_main_process, local_device, rank_and_world_size
from ..items import TextSettings

QUANTIZATIONS = ("4bit", "8bit")
_PIECE = 1 << 16


@dataclass(frozen=True)
class Placement:
    """Where and how fast a model runs; nothing here changes an answer in exact arithmetic."""

    device: str | None = None  # default: the accelerator of this process
    device_map: str | None = None  # "auto" spreads a model that is too big for one device
    batch_size: int | None = None  # rows at once at most; default 16, on a CPU 4; halved when memory runs out
    workers: int = 2  # threads that read clips ahead
    shared_prefix: bool = True  # encode a clip once for all its questions


def load_model(settings: TextSettings, placement: Placement) -> tuple[Any, Any]:
    """The model, ready to generate, and its processor."""
    require("torchvision", "reading frames for a vision-language model")
    transformers = require("transformers", "running a vision-language model")
    if not (is_main_process() and sys.stderr.isatty()):
        transformers.utils.logging.disable_progress_bar()
    if placement.device_map and rank_and_world_size()[1] > 1:
        raise RecipeError(
            "a device map gives one process all devices, so it cannot be had in every one of several processes; "
            "start one process, or leave out --device-map and let each process have one device"
        )
    options: dict[str, Any] = {"dtype": settings.dtype}
    if settings.attention:
        options["attn_implementation"] = settings.attention
    device = placement.device or local_device()
    if settings.quantization:
        options["quantization_config"] = _quantization_config(settings.quantization)
    if placement.device_map or settings.quantization:
        options["device_map"] = placement.device_map or {"": device}
    where = {"revision": settings.revision} if not Path(settings.model).exists() else {}
    with _explained(settings.model):
        processor = transformers.AutoProcessor.from_pretrained(
            _with_processor(settings.model), trust_remote_code=False, **where
        )
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "apply_chat_template"):
        raise ModelError(f"{settings.model} takes no pictures: its processor is a {type(processor).__name__}")
    with _explained(settings.model):
        model = transformers.AutoModelForMultimodalLM.from_pretrained(
            settings.model, trust_remote_code=False, **options, **where
        )
    if "device_map" not in options:
        model = model.to(device)
    return model.eval(), processor


def identity(model: str, revision: str | None) -> str:
    """What exactly ``model`` is: the commit of a Hub repository, or a digest of a folder's files.

    A folder whose weights were replaced is another model, and so is a branch that moved on.
    """
    folder = Path(model)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
            size = path.stat().st_size
            digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
            with path.open("rb") as file:
                digest.update(file.read(_PIECE))
                file.seek(max(0, size - _PIECE))
                digest.update(file.read(_PIECE))
        return f"files-{digest.hexdigest()[:16]}"
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    def found(name: str) -> Path:
        return Path(hf_hub_download(model, name, revision=revision))

    try:
        try:
            path = found("config.json")
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):
                raise
            path = found("adapter_config.json")
    except HFValidationError:
        raise ModelError(f"{model!r} is neither a folder nor the name of a Hub repository (owner/name)") from None
    except LocalEntryNotFoundError as error:
        raise ModelError(f"{model}: the Hub cannot be reached and the model is not in the cache ({error})") from error
    except (EntryNotFoundError, OSError) as error:
        raise ModelError(f"{model}: no model found there ({' '.join(str(error).split())[:300]})") from error
    return path.parent.name if path.parent.parent.name == "snapshots" else (revision or "unknown")


def _with_processor(model: str) -> str:
    """An adapter's folder often holds no processor: then that of the model it was trained for."""
    adapter = Path(model) / "adapter_config.json"
    if not adapter.is_file() or any((Path(model) / name).is_file() for name in ("processor_config.json",)):
        return model
    require("peft", "loading an adapter")
    return json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]


def _quantization_config(name: str) -> Any:
    if name not in QUANTIZATIONS:
        raise RecipeError(f"weights cannot be stored as {name!r}; choose one of {', '.join(QUANTIZATIONS)}")
    require("bitsandbytes", f"loading weights in {name}")
    import torch
    from transformers import BitsAndBytesConfig

    if name == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)


class _explained:
    """Turns what transformers raises about a model into one line that says what to do."""

    def __init__(self, model: str) -> None:
        self.model = model

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or not isinstance(error, (ValueError, OSError, KeyError, ImportError, RuntimeError)):
            return
        text = " ".join(str(error).split())
        if "trust_remote_code" in text:
            raise ModelError(
                f"{self.model} needs Python code from its repository, which this runner never executes; run it in an "
                "environment of its own (--runner isolated), or serve it and use --runner api"
            ) from error
        if isinstance(error, ImportError):
            raise ModelError(f"{self.model} needs a package that is not installed: {text[:300]}") from error
        raise ModelError(f"{self.model} cannot be loaded as a vision-language model: {text[:400]}") from error
