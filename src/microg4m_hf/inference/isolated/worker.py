"""Runs a model in another Python environment. Started as a single file by ``isolated.py``; imports nothing of ours.

It speaks JSON lines: requests on the standard input, replies on the standard output, which it keeps for itself, so
that nothing a model prints gets in between. Frames come as files that numpy reads. Works from Python 3.8 on.
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
    requests, replies = _own_pipes()
    scratch, parent = sys.argv[1], os.getppid()
    threading.Thread(target=_end_with, args=(parent, scratch), daemon=True).start()
    # The folder of this file holds modules of ours, whose names a model's code might mean otherwise.
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != os.path.dirname(os.path.abspath(__file__))]

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    reply({"hello": PROTOCOL, "python": platform.python_version(), "pid": os.getpid()})
    state: Any = None
    answer: Callable[..., str] | None = None
    shown: dict[str, Any] = {}
    for line in requests:
        message = json.loads(line)
        try:
            if "load" in message:
                load, answer, name = _adapter(message["load"])
                state = load(message["load"])
                reply({"loaded": name, "versions": _versions()})
            else:
                assert answer is not None
                text = answer(state, _frames(shown, message["frames"]), message["prompt"], message["settings"])
                if not isinstance(text, str):
                    raise TypeError(f"the adapter gave {type(text).__name__} {text!r:.100} and no text")
                reply({"answer": message["ask"], "text": text})
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error} ({_where(error)})"})


def _where(error: BaseException) -> str:
    """The last steps on the way to an error, the innermost first."""
    steps = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{os.path.basename(step.filename)}:{step.lineno} {step.name}" for step in reversed(steps))


def _own_pipes() -> tuple[Any, Any]:
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def _end_with(parent: int, scratch: str) -> None:
    """A worker whose parent was killed would compute for nobody."""
    while os.getppid() == parent:
        time.sleep(1)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _frames(shown: dict[str, Any], path: str) -> Any:
    """The same array object for all questions about a clip: adapters may keep what they made of it."""
    if shown.get("path") != path:
        import numpy

        shown.update(path=path, frames=numpy.load(path, allow_pickle=False))
    return shown["frames"]


def _versions() -> dict[str, str]:
    known = {name: getattr(sys.modules.get(name), "__version__", None) for name in ("transformers", "torch")}
    return {"python": platform.python_version(), **{name: str(value) for name, value in known.items() if value}}


def _adapter(options: dict[str, Any]) -> tuple[Callable[..., Any], Callable[..., str], str]:
    name = options["adapter"]
    if name in ADAPTERS:
        return _load_with_hub_code, ADAPTERS[name], name
    if name is None:
        return _load_with_hub_code, _answer_as_it_can, "found by itself"
    sys.path.insert(0, os.path.dirname(name))
    spec = importlib.util.spec_from_file_location("adapter", name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["adapter"] = module
    spec.loader.exec_module(module)
    return lambda given: module.load(given["model"], given["revision"]), module.answer, name


def _load_with_hub_code(options: dict[str, Any]) -> dict[str, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    where = {"revision": options["revision"], "trust_remote_code": options["trust_remote_code"]}
    more = {"attn_implementation": options["attention"]} if options["attention"] else {}
    dtype = options["dtype"] if options["dtype"] == "auto" else getattr(torch, options["dtype"])
    model = AutoModel.from_pretrained(options["model"], torch_dtype=dtype, **where, **more).eval()
    if torch.cuda.is_available():
        model = model.to("cuda:" + os.environ.get("LOCAL_RANK", "0"))
    return {"model": model, "tokenizer": AutoTokenizer.from_pretrained(options["model"], **where)}


def _answer_as_it_can(state: dict[str, Any], frames: Any, prompt: str, settings: dict[str, Any]) -> str:
    for name, sign in (("owl3", "init_processor"), ("internvl", "chat")):
        if hasattr(state["model"], sign):
            return ADAPTERS[name](state, frames, prompt, settings)
    raise TypeError(
        f"{type(state['model']).__name__} has neither chat nor init_processor; "
        "write a file with load(model, revision) and answer(state, frames, prompt, settings) and give it as --adapter"
    )


def _internvl(state: dict[str, Any], frames: Any, prompt: str, settings: dict[str, Any]) -> str:
    """``model.chat(tokenizer, pixel_values, question, …)`` of InternVL 1.5 to 3 and InternVideo 2.5, a tile a frame."""
    model = state["model"]
    if state.get("frames") is not frames:
        state["frames"], state["pixels"] = frames, _tiles(model, frames)
    asked = "".join(f"Frame{number}: <image>\n" for number in range(1, len(frames) + 1)) + prompt
    said = model.chat(
        state["tokenizer"],
        state["pixels"],
        asked,
        _generation(settings),
        num_patches_list=[1] * len(frames),
        history=None,
        return_history=False,
    )
    return said[0] if isinstance(said, tuple) else said


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
    spread = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    weight = next(model.parameters())
    return ((pixels - mean) / spread).to(weight.device, weight.dtype)


def _owl3(state: dict[str, Any], frames: Any, prompt: str, settings: dict[str, Any]) -> str:
    """``model.init_processor(tokenizer)`` and a ``generate`` that decodes, as in mPLUG-Owl3."""
    from PIL import Image

    model, tokenizer = state["model"], state["tokenizer"]
    if "processor" not in state:
        state["processor"] = model.init_processor(tokenizer)
    messages = [{"role": "user", "content": f"<|video|>\n{prompt}"}, {"role": "assistant", "content": ""}]
    inputs = state["processor"](messages, images=None, videos=[[Image.fromarray(frame) for frame in frames]])
    inputs.to(next(model.parameters()).device)
    inputs.update({"tokenizer": tokenizer, "decode_text": True, **_generation(settings)})
    return model.generate(**inputs)[0]


def _generation(settings: dict[str, Any]) -> dict[str, Any]:
    given = {"max_new_tokens": settings["max_new_tokens"], "do_sample": settings["temperature"] > 0}
    if settings["temperature"] > 0:
        import torch

        torch.manual_seed(settings["seed"])
        given["temperature"] = settings["temperature"]
    return given


# name -> answer(state, frames, prompt, settings), for models that transformers' Auto classes load with their own code
ADAPTERS: dict[str, Callable[..., str]] = {"internvl": _internvl, "owl3": _owl3}

if __name__ == "__main__":
    main()
