"""Load a vision-language model and its processor from the Hub or a folder, without running remote code."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError, RecipeError, list_some
from ...exits import ADVICE
from ...extras import require
from ...runtime import is_main_process, is_out_of_memory, local_device, rank_and_world_size
from ...settings import Settings, setting
from ..items import TextSettings

QUANTIZATIONS = ("4bit", "8bit")
_HASHED_BYTES = 1 << 16  # of each end of a file


@dataclass(frozen=True)
class Placement(Settings, prefix="--"):
    """Where and how fast a local model runs. In exact arithmetic, none of these settings affects the answers."""

    device: str | None = None  # default: the accelerator of this process
    device_map: str | None = None  # "auto" spreads a model over several devices
    batch_size: int | None = setting(None, at_least=1)  # default 16, on a CPU 4; halved after an out-of-memory error
    workers: int = setting(2, at_least=1)  # threads that decode clips
    shared_prefix: bool = True  # encode a clip once for all its questions


def load_model(settings: TextSettings, placement: Placement) -> tuple[Any, Any]:
    """Load a model in evaluation mode, and its processor.

    Args:
        settings: Name the model, its revision, dtype, attention kernel and quantization.
        placement: The device.

    Raises:
        ModelError: The model does not exist, takes no images, does not fit into memory, or needs remote code or a
            missing package.
        RecipeError: A device map is combined with a device or several processes, or the quantization or the device is
            unknown.
    """
    require("torchvision", "reading frames for a vision-language model", extra="vlm")
    transformers = require("transformers", "running a vision-language model", extra="vlm")
    if not (is_main_process() and sys.stderr.isatty()):
        transformers.utils.logging.disable_progress_bar()
    if placement.device_map and placement.device:
        raise RecipeError("--device names one device and --device-map the place of each layer; remove one of them")
    if placement.device_map and rank_and_world_size()[1] > 1:
        raise RecipeError(
            "--device-map gives all devices to one process, so it does not work with several processes; "
            "start one process, or remove --device-map to give each process one device"
        )
    options: dict[str, Any] = {"dtype": settings.dtype}
    if settings.attention:
        options["attn_implementation"] = settings.attention
    device = local_device() if placement.device is None else _checked_device(placement.device)
    if settings.quantization:
        options["quantization_config"] = _quantization_config(settings.quantization)
    if placement.device_map or settings.quantization:
        options["device_map"] = placement.device_map or {"": device}
    where = {"revision": settings.revision} if not Path(settings.model).exists() else {}
    with _translated_errors(settings.model):
        processor = transformers.AutoProcessor.from_pretrained(
            _processor_source(settings.model), trust_remote_code=False, **where
        )
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "apply_chat_template"):
        raise ModelError(
            f"{settings.model} takes no images: its processor is a {type(processor).__name__}; "
            "choose a vision-language model"
        )
    with _translated_errors(settings.model):
        model, found = transformers.AutoModelForMultimodalLM.from_pretrained(
            settings.model, trust_remote_code=False, output_loading_info=True, **options, **where
        )
    missing = sorted(found["missing_keys"])
    if missing:  # transformers fills them with random numbers and prints a warning
        raise ModelError(
            f"{settings.model} is not whole: {list_some(missing, 3)} of its weights are missing, as if half of it was "
            "written; save or download it again"
        )
    if "device_map" not in options:
        with _translated_errors(settings.model):
            model = model.to(device)
    return model.eval(), processor


def _checked_device(name: str) -> str:
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has no error of its own for this
        raise RecipeError(
            f"--device {name} cannot be used ({' '.join(str(error).split())[:200]}); "
            f"leave it out to use {local_device()}"
        ) from None
    return name


def identify_weights(model: str, revision: str | None) -> str:
    """Return the commit of a Hub repository, or a digest of the files of a folder.

    The weights of a branch or a folder can change, and a run must not mix two versions.

    Raises:
        ModelError: There is no such model, or the Hub cannot be reached.
    """
    folder = Path(model)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
            size = path.stat().st_size
            digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
            with path.open("rb") as file:
                digest.update(file.read(_HASHED_BYTES))
                file.seek(max(0, size - _HASHED_BYTES))
                digest.update(file.read(_HASHED_BYTES))
        return f"files-{digest.hexdigest()[:16]}"
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    try:
        try:
            path = Path(hf_hub_download(model, "config.json", revision=revision))
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):
                raise
            path = Path(hf_hub_download(model, "adapter_config.json", revision=revision))
    except HFValidationError:
        raise ModelError(f"{model!r} is neither a folder nor a Hub repository; give a folder or owner/name") from None
    except LocalEntryNotFoundError as error:
        problem = f"{model}: the Hub cannot be reached and the model is not in the cache ({error})"
        raise ModelError(f"{problem}; connect once to download it, or give a folder with its files") from error
    except (EntryNotFoundError, OSError) as error:
        problem = f"{model}: no model found ({' '.join(str(error).split())[:300]})"
        raise ModelError(f"{problem}; check the name, log in with `hf auth login`, or give a folder") from error
    return path.parent.name if path.parent.parent.name == "snapshots" else (revision or "unknown")


def _processor_source(model: str) -> str:
    """Return where to load the processor from. An adapter without one uses that of its base model."""
    adapter = Path(model) / "adapter_config.json"
    if not adapter.is_file() or (Path(model) / "processor_config.json").is_file():
        return model
    require("peft", "loading an adapter")
    return json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]


def _quantization_config(name: str) -> Any:
    if name not in QUANTIZATIONS:
        raise RecipeError(f"there is no quantization {name!r}; choose one of {', '.join(QUANTIZATIONS)}")
    require("bitsandbytes", f"loading weights in {name}")
    import torch
    from transformers import BitsAndBytesConfig

    if name == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)


@contextmanager
def _translated_errors(model: str) -> Iterator[None]:
    """Turn the errors of transformers into one line that says what to do."""
    try:
        yield
    except (ValueError, OSError, KeyError, ImportError, RuntimeError, MemoryError) as error:
        text = " ".join(str(error).split())
        if isinstance(error, OSError) and error.errno in ADVICE:
            raise
        if is_out_of_memory(error):
            raise ModelError(
                f"{model} does not fit into memory ({text[:200]}); use --quantization 8bit or 4bit, --device-map auto "
                "to spread it over several devices, or a smaller model"
            ) from error
        if "trust_remote_code" in text:
            raise ModelError(
                f"{model} needs Python code from its repository, which the local runner never executes; run it in an "
                "environment of its own (--runner isolated), or serve it and use --runner api"
            ) from error
        if isinstance(error, ImportError):
            raise ModelError(
                f"{model} needs a package that is not installed ({text[:300]}); install it with pip"
            ) from error
        problem = f"{model} cannot be loaded as a vision-language model ({text[:400]})"
        raise ModelError(f"{problem}; choose one whose page says image-text-to-text or video-text-to-text") from error
