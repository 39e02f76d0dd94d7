"""Run the backbone of a model on many clips: compiled and frozen once that repays, in bf16 where it is asked for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MicroG4MError
from ..runtime import is_main_process
from ..storage import cache_home, write_atomic

CHOICES = ("auto", "yes", "no")
MEASURED = 2  # eager batches before the decision; the first one includes what torch sets up once
SECONDS_PER_LAYER = 0.3  # of a first compilation, until this machine has a measurement of its own
EXPECTED_GAIN = 1.3  # how many times as fast as eager, until measured
MARGIN = 1.5  # the time that is won must be this many times that of compiling
LONGEST = 900  # seconds after which a compilation is given up
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.05}  # of the largest feature; more means a wrong result


class _TimeUpError(BaseException):
    """Compiling takes too long. Not an ``Exception``, which compilers catch to try something else."""


@dataclass
class _Shape:
    """What is known of clips of one shape."""

    seen: int = 0
    batches: int = 0
    eager: float = float("inf")  # seconds per clip
    compiled: Callable[[Tensor], list[Tensor]] | None = None
    settled: bool = False  # compiled, or not worth another thought


@dataclass
class FrozenNetwork:
    """The forward pass of a network in evaluation mode: eager at first, then compiled and frozen if that repays.

    Compiling a network with its weights as constants folds batch norms into convolutions, fuses activations and orders
    weights once as the CPU wants them. Features differ from eager ones in the last digits. What was compiled is kept in
    the cache folder, with the seconds that it took. Clips of other shapes than the compiled one, such as those of the
    last batch, are computed eagerly, and so are all clips if anything fails.

    Args:
        network: The network of a backbone; see :meth:`installed`.
        compile: ``"auto"`` compiles on a CPU if the time won exceeds that of compiling; ``"yes"`` compiles the first
            batch; ``"no"`` never compiles.
        precision: ``"bf16"`` computes the network, but not the head, under autocast; ``"no"`` as the weights are.
        clips: How many clips will come. None assumes as many as there were so far.

    Example:
        >>> fast = FrozenNetwork(nn.Identity().eval(), compile="no")
        >>> with fast.installed(), torch.no_grad():
        ...     features = fast.network(torch.zeros(1, 3, 4, 8, 8))
        >>> fast.report()["used"]
        'eager'
    """

    network: nn.Module
    compile: str = "auto"
    precision: str = "no"
    clips: int | None = None
    _shapes: dict[tuple[int, ...], _Shape] = field(default_factory=dict)
    _report: dict[str, Any] = field(default_factory=dict)
    _seen: int = 0
    _weights: int = 0

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Let calls of the network, and so of the model around it, go through this object."""
        self.network.forward = self._forward
        try:
            yield
        finally:
            self.network.__dict__.pop("forward", None)

    def report(self) -> dict[str, Any]:
        """Return what was asked, what was used and why, and the seconds measured."""
        return {"compile": self.compile, "precision": self.precision, "used": "eager"} | self._report

    def close(self) -> None:
        """Forget what was compiled, which holds a copy of the weights."""
        if any(shape.compiled is not None for shape in self._shapes.values()):
            torch.compiler.reset()
        self._shapes.clear()
        self._seen = 0

    def _forward(self, clips: Tensor, states: list[Tensor] | None = None) -> Any:
        network = self.network
        if network.training or states is not None or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return type(network).forward(network, clips, states)
        version = _weights_version(network) if self.compile != "no" else 0
        if version != self._weights:  # what was compiled has the old weights
            self.close()
            self._weights = version
        shape = self._shapes.setdefault(tuple(clips.shape), _Shape())
        self._seen += len(clips)
        if shape.compiled is not None:
            try:
                return shape.compiled(clips)
            except MicroG4MError:  # a signal stops the run
                raise
            except Exception as error:
                shape.compiled = None
                self._give_up(_reason(error))
        start = time.perf_counter()
        features = self._eager(clips)
        if clips.device.type == "cpu":  # elsewhere, work has only been queued
            seconds = (time.perf_counter() - start) / max(len(clips), 1)
            shape.eager = min(shape.eager, seconds)
            self._report["eager_seconds_per_clip"] = round(shape.eager, 5)
        shape.seen, shape.batches = shape.seen + len(clips), shape.batches + 1
        if not shape.settled and self.compile != "no":
            self._consider(shape, clips, features)
        return features

    def _eager(self, clips: Tensor) -> list[Tensor]:
        return _run(self.network, clips, self.precision)

    def _consider(self, shape: _Shape, clips: Tensor, features: list[Tensor]) -> None:
        """Compile if it is asked for, or if it repays for the clips of this shape that are still to come."""
        first = self.compile == "yes" and len(self._shapes) == 1
        if not first and (shape.batches < MEASURED or clips.device.type != "cpu"):
            return
        key = self._key(clips)
        known = _known(key)
        seconds, gain = known.get("seconds", self._first_guess()), known.get("gain", EXPECTED_GAIN)
        left = self._seen if self.clips is None else max(self.clips - self._seen, 0)
        left = round(left * shape.seen / self._seen)  # of this shape
        won = left * shape.eager * (1 - 1 / gain) if gain > 1 else 0.0
        if not first and won < MARGIN * seconds:
            self._report["why"] = f"{left} clips of {shape.eager:.3g} s do not repay compiling for {seconds:.0f} s"
            return
        shape.settled = True
        lacking = _lacking(clips.device)
        if lacking:
            self._give_up(lacking)
            return
        amount = f"{left} clips of {shape.eager:.3g} s to come" if self.clips else "many clips"
        _note(f"compiling the network for {amount}: about {seconds:.0f} s; --compile no skips this")
        start = time.perf_counter()
        try:
            with _time_limit(LONGEST), _quiet():
                compiled = self._compile()
                found = compiled(clips)
                took = time.perf_counter() - start
                per_clip = min(_seconds(compiled, clips) for _ in range(2)) / len(clips)
            difference = _difference(found, features)
        except MicroG4MError:  # a signal stops the run
            raise
        except (Exception, _TimeUpError) as error:
            torch.compiler.reset()
            self._give_up(_reason(error))
            return
        figures = {"compile_seconds": round(took, 1), "compiled_seconds_per_clip": round(per_clip, 5)}
        self._report |= figures | {"largest_difference": difference}
        gain = shape.eager / per_clip
        _remember(key, {"seconds": round(took, 1), "gain": round(gain, 3)})
        if difference > TOLERANCE[torch.bfloat16 if self.precision == "bf16" else torch.float32]:
            self._give_up(f"the features of the compiled network differ by {difference:.1g} of the largest one")
        elif gain <= 1 and not first:
            self._give_up(f"it takes {per_clip:.3g} s a clip, and eager {shape.eager:.3g} s")
        else:
            shape.compiled = compiled
            self._report.pop("why", None)
            self._report["used"] = "compiled"

    def _compile(self) -> Callable[[Tensor], list[Tensor]]:
        network, precision = self.network, self.precision
        folder = cache_home() / "compiled"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies in it is executed
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
        # One compiler at a time: those of inductor's threads would go on after the time limit.
        options: dict[str, Any] = {"freezing": True, "compile_threads": 1}
        compiled = torch.compile(_run, fullgraph=True, dynamic=False, options=options)
        return lambda clips: compiled(network, clips, precision)

    def _first_guess(self) -> float:
        layers = sum(next(module.parameters(recurse=False), None) is not None for module in self.network.modules())
        return SECONDS_PER_LAYER * layers

    def _key(self, clips: Tensor) -> str:
        """What the time of compiling depends on: the network without its weights, the shape, torch and the machine."""
        facts = (
            repr(self.network),
            tuple(clips.shape),
            self.precision,
            torch.__version__,
            torch.get_num_threads(),
            torch.backends.cpu.get_cpu_capability(),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def _give_up(self, reason: str) -> None:
        self._report["why"] = reason
        _note(f"the network is not compiled: {reason}")


@contextlib.contextmanager
def fast_forward(model: Any, clips: int, *, compile: str = "auto", precision: str = "no") -> Iterator[FrozenNetwork]:
    """Let a model predict clips as :class:`FrozenNetwork` does, while the block lasts.

    Args:
        model: A model of this library, unwrapped.
        clips: How many clips it will get.
        compile: As for :class:`FrozenNetwork`.
        precision: As for :class:`FrozenNetwork`.
    """
    if precision == "bf16" and next(model.parameters()).device.type == "cpu" and not _has_bf16():
        _note("this CPU has no instructions for bf16, which is slower than float32 here (--mixed-precision no)")
    turns = 4 if model.config.turn_pooling else 1
    fast = FrozenNetwork(model.backbone.network, compile, precision, clips * turns)
    with fast.installed() if (compile, precision) != ("no", "no") else contextlib.nullcontext():
        try:
            yield fast
        finally:
            fast.close()


def _run(network: nn.Module, clips: Tensor, precision: str) -> list[Tensor]:
    forward = type(network).forward  # that of the instance is replaced while a FrozenNetwork is installed
    features: list[Tensor]
    if precision == "no":
        features = forward(network, clips)
    else:
        with torch.autocast(clips.device.type, torch.bfloat16):
            features = forward(network, clips)
    return features


def _weights_version(network: nn.Module) -> int:
    """A number that changes with the weights; tensors of the inference mode cannot change and have no version."""
    tensors = (*network.parameters(), *network.buffers())
    return hash(tuple((one.data_ptr(), 0 if one.is_inference() else one._version) for one in tensors))


def _seconds(compiled: Callable[[Tensor], list[Tensor]], clips: Tensor) -> float:
    start = time.perf_counter()
    compiled(clips)
    return time.perf_counter() - start


def _difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference of features, as a share of the largest one; NaN counts as 1e30."""
    largest = 0.0
    for one, other in zip(found, expected, strict=True):
        distance = (one.float() - other.float()).abs().max() / other.float().abs().max().clamp_min(1e-30)
        largest = max(largest, float(distance.nan_to_num(1e30, 1e30)))
    return largest


def _lacking(device: torch.device) -> str | None:
    """What this process lacks to compile, or None."""
    if device.type != "cpu":
        return "only networks on a CPU are compiled for predictions"
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler} (Debian: apt install g++)"
    folder = cache_home() / "compiled"
    if hasattr(os, "getuid") and folder.exists() and folder.stat().st_uid != os.getuid():
        return f"{folder} belongs to another user; set MICROG4M_HOME to a folder of your own"
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return "a compilation has a time limit, which only the main thread can set"
    return None


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`_TimeUpError` in the main thread after some seconds, and again each second in case it gets lost."""

    def ring(*_: object) -> None:
        raise _TimeUpError(f"it is not finished after {seconds:.0f} s")

    handler, started = signal.signal(signal.SIGALRM, ring), time.monotonic()
    before, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before:  # someone else waits for an alarm
            rest = max(before - (time.monotonic() - started), 0.001)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warnings of the compiler about this machine; errors are raised."""
    logger = logging.getLogger("torch")
    children = [logger, *(logging.getLogger(f"torch.{name}") for name in ("_dynamo", "_inductor", "utils"))]
    children.append(logging.getLogger("torch.utils.cpp_extension"))
    levels = [one.level for one in children]
    for one in children:
        one.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for one, level in zip(children, levels, strict=True):
            one.setLevel(level)


def _reason(error: BaseException) -> str:
    """The first line of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return text if isinstance(error, _TimeUpError) else f"{type(error).__name__}: {text}"[:200]


def _notes() -> Path:
    return cache_home() / "compiled" / "times.json"


def _known(key: str) -> dict[str, float]:
    """The seconds and the gain of an earlier compilation."""
    try:
        found = json.loads(_notes().read_text(encoding="utf-8"))[key]
        return {name: float(found[name]) for name in ("seconds", "gain")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _remember(key: str, figures: dict[str, float]) -> None:
    """Keep what a compilation took, for the decision of the next run; a disk that refuses it does no harm."""
    try:
        found = json.loads(_notes().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = {}
    with contextlib.suppress(OSError):
        write_atomic(_notes(), json.dumps((found if isinstance(found, dict) else {}) | {key: figures}, indent=1))


def _has_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # before torch 2.11
        return True
    capabilities: Any = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def _note(text: str) -> None:
    if is_main_process():
        print(text, file=sys.stderr)
