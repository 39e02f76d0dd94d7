"""Run a model in another Python environment. ``process.py`` starts this file with another interpreter.

The file is standalone: it imports nothing from this package and supports Python 3.8. It exchanges JSON lines: requests
on standard input, replies on standard output. The output of the model is redirected to standard error, and frames are
passed as NumPy files.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

PROTOCOL = 1


def main() -> None:
    requests, replies = _take_over_pipes()
    scratch, parent = sys.argv[1], os.getppid()
    threading.Thread(target=_exit_with_parent, args=(parent, scratch), daemon=True).start()
    # The code of a model may import modules with the names of the files beside this one.
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(os.path.abspath(__file__))]

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    reply({"hello": PROTOCOL, "python": platform.python_version(), "pid": os.getpid()})
    state: Any = None
    answer: Callable[..., str] | None = None
    cache: dict[str, Any] = {}
    for line in requests:
        message = json.loads(line)
        try:
            if "load" in message:
                load, answer, name = _find_adapter(message["load"])
                state = load(message["load"])
                reply({"loaded": name, "versions": _versions()})
            else:
                assert answer is not None
                text = answer(state, _read_frames(cache, message["frames"]), message["prompt"], message["settings"])
                if not isinstance(text, str):
                    raise TypeError(f"the adapter returned {type(text).__name__} {text!r:.100} instead of a text")
                reply({"answer": message["ask"], "text": text})
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error} ({_format_traceback(error)})"})


def _format_traceback(error: BaseException) -> str:
    """Return the innermost three calls of an error, the innermost first."""
    steps = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{os.path.basename(step.filename)}:{step.lineno} {step.name}" for step in reversed(steps))


def _take_over_pipes() -> tuple[Any, Any]:
    """Return streams for the protocol, and redirect the standard streams away from them."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return requests, replies


def _exit_with_parent(parent: int, scratch: str) -> None:
    """Exit when the parent process is gone, so that a killed run leaves no worker behind."""
    while os.getppid() == parent:
        time.sleep(1)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _read_frames(cache: dict[str, Any], path: str) -> Any:
    """Return the same array object for all questions about a clip, so that adapters can cache what they compute."""
    if cache.get("path") != path:
        import numpy

        cache.update(path=path, frames=numpy.load(path, allow_pickle=False))
    return cache["frames"]


def _versions() -> dict[str, str]:
    modules = {name: getattr(sys.modules.get(name), "__version__", None) for name in ("transformers", "torch")}
    return {"python": platform.python_version(), **{name: str(value) for name, value in modules.items() if value}}


def _find_adapter(options: dict[str, Any]) -> tuple[Callable[..., Any], Callable[..., str], str]:
    name = options["adapter"]
    if name in ADAPTERS:
        return _load_with_auto_classes, ADAPTERS[name], name
    if name is None:
        return _load_with_auto_classes, _answer_by_detection, "found by itself"
    sys.path.insert(0, os.path.dirname(name))
    spec = importlib.util.spec_from_file_location("adapter", name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["adapter"] = module
    spec.loader.exec_module(module)
    return lambda options: module.load(options["model"], options["revision"]), module.answer, name


def _load_with_auto_classes(options: dict[str, Any]) -> dict[str, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    where = {"revision": options["revision"], "trust_remote_code": options["trust_remote_code"]}
    more = {"attn_implementation": options["attention"]} if options["attention"] else {}
    dtype = options["dtype"] if options["dtype"] == "auto" else getattr(torch, options["dtype"])
    model = AutoModel.from_pretrained(options["model"], torch_dtype=dtype, **where, **more).eval()
    if torch.cuda.is_available():
        model = model.to("cuda:" + os.environ.get("LOCAL_RANK", "0"))
    return {"model": model, "tokenizer": AutoTokenizer.from_pretrained(options["model"], **where)}


def _answer_by_detection(state: dict[str, Any], frames: Any, prompt: str, settings: dict[str, Any]) -> str:
    for name, method in (("owl3", "init_processor"), ("internvl", "chat")):
        if hasattr(state["model"], method):
            return ADAPTERS[name](state, frames, prompt, settings)
    raise TypeError(
        f"{type(state['model']).__name__} has neither chat nor init_processor; "
        "write a file with load(model, revision) and answer(state, frames, prompt, settings), and pass it as --adapter"
    )


def _internvl(state: dict[str, Any], frames: Any, prompt: str, settings: dict[str, Any]) -> str:
    """Call ``model.chat`` of InternVL 1.5 to 3 and InternVideo 2.5, with one tile per frame."""
    model = state["model"]
    if state.get("frames") is not frames:
        state["frames"], state["pixels"] = frames, _tiles(model, frames)
    question = "".join(f"Frame{number}: <image>\n" for number in range(1, len(frames) + 1)) + prompt
    answer = model.chat(
        state["tokenizer"],
        state["pixels"],
        question,
        _generation_options(settings),
        num_patches_list=[1] * len(frames),
        history=None,
        return_history=False,
    )
    return answer[0] if isinstance(answer, tuple) else answer


def _tiles(model: Any, frames: Any) -> Any:
    import numpy
    import torch
    from PIL import Image

    config = model.config
    side = getattr(config, "force_image_size", None) or config.vision_config.image_size
    # 3 is bicubic in every version of PIL
    small = [numpy.asarray(Image.fromarray(frame).resize((side, side), 3)) for frame in frames]
    pixels = torch.from_numpy(numpy.stack(small)).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    parameter = next(model.parameters())
    return ((pixels - mean) / std).to(parameter.device, parameter.dtype)


def _owl3(state: dict[str, Any], frames: Any, prompt: str, settings: dict[str, Any]) -> str:
    """Call the ``generate`` of mPLUG-Owl3, which returns decoded text."""
    from PIL import Image

    model, tokenizer = state["model"], state["tokenizer"]
    if "processor" not in state:
        state["processor"] = model.init_processor(tokenizer)
    messages = [{"role": "user", "content": f"<|video|>\n{prompt}"}, {"role": "assistant", "content": ""}]
    inputs = state["processor"](messages, images=None, videos=[[Image.fromarray(frame) for frame in frames]])
    inputs.to(next(model.parameters()).device)
    inputs.update({"tokenizer": tokenizer, "decode_text": True, **_generation_options(settings)})
    return model.generate(**inputs)[0]


def _generation_options(settings: dict[str, Any]) -> dict[str, Any]:
    options = {"max_new_tokens": settings["max_new_tokens"], "do_sample": settings["temperature"] > 0}
    if settings["temperature"] > 0:
        import torch

        torch.manual_seed(settings["seed"])
        options["temperature"] = settings["temperature"]
    return options


# For models that the Auto classes of transformers load with code from the Hub.
ADAPTERS: dict[str, Callable[..., str]] = {"internvl": _internvl, "owl3": _owl3}

if __name__ == "__main__":
    main()
