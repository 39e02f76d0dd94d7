"""Run the backbone of a model on many clips faster: packed layers on a CPU, compiled on a GPU, bf16 where asked for."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MicroG4MError
from ..runtime import is_main_process
from .backbones.packed import pack

TOLERANCE = {"no": 1e-4, "bf16": 0.1}  # root mean square, as a share of that of the features; more is a wrong result


@dataclass
class FrozenNetwork:
    """The forward pass of a network in evaluation mode, with its weights as constants.

    On a CPU the network is packed, which takes less than a second: batch norms are folded into convolutions, whose ReLU
    and sum with the shortcut are computed with them, by oneDNN. Large batches are computed in parts that stay in cache.
    On a GPU, ``compile="yes"`` uses ``torch.compile``. Features differ from eager ones in the last digits. If anything
    fails, the network stays eager, with the reason in one line.

    Args:
        network: The network of a backbone; see :meth:`installed`.
        compile: ``"auto"`` packs on a CPU, and computes eagerly elsewhere; ``"yes"`` also compiles on a GPU; ``"no"``
            always computes eagerly.
        precision: ``"bf16"`` computes the network, but not the head, under autocast; ``"no"`` as the weights are.

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
    _fast: Callable[[Tensor], list[Tensor]] | None = None
    _report: dict[str, Any] = field(default_factory=dict)
    _weights: int | None = None  # the version of the weights that was frozen or given up

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Let calls of the network, and so of the model around it, go through this object."""
        if "forward" in self.network.__dict__:  # hooks of Accelerate, which move weights between devices
            if "why" not in self._report:
                self._give_up("another library has replaced the forward pass of the network")
            yield
            return
        self.network.forward = self._forward
        try:
            yield
        finally:
            del self.network.forward

    def report(self) -> dict[str, Any]:
        """Return what was asked, what was used or why not, the seconds to prepare it, and its difference from eager."""
        return {"compile": self.compile, "precision": self.precision, "used": "eager"} | self._report

    def _forward(self, clips: Tensor, states: list[Tensor] | None = None) -> Any:
        network = self.network
        if network.training or states is not None or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return type(network).forward(network, clips, states)
        if self.compile == "no" or (self.compile == "auto" and clips.device.type != "cpu"):
            return self._eager(clips)
        version = _weights_version(network)
        if version != self._weights:
            self._weights = version
            self._freeze(clips)
        if self._fast is not None:
            try:
                return self._fast(clips)
            except MicroG4MError:  # a signal stops the run
                raise
            except Exception as error:
                self._give_up(f"{type(error).__name__}: {error}")
        return self._eager(clips)

    def _eager(self, clips: Tensor) -> list[Tensor]:
        return _run(self.network, clips, self.precision)

    def _freeze(self, clips: Tensor) -> None:
        """Pack or compile the network, and use that if it gives the features of the eager one."""
        self._fast, on_cpu = None, clips.device.type == "cpu"
        obstacle = self._obstacle() if on_cpu else None
        if obstacle:
            self._give_up(obstacle)
            return
        first = clips[:1] if on_cpu else clips
        start = time.perf_counter()
        try:
            fast = self._packed() if on_cpu else self._compiled()
            found = fast(first)
            seconds = round(time.perf_counter() - start, 2)
            expected = self._eager(first)
        except MicroG4MError:
            raise
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
            return
        difference = _difference(found, expected)
        if difference > TOLERANCE[self.precision]:
            self._give_up(f"the features of the faster network differ by {difference:.1g} of their size")
            return
        used = "packed" if on_cpu else "compiled"
        self._fast, self._report = fast, {"used": used, "seconds": seconds, "difference": difference}

    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else next(self.network.parameters()).dtype

    def _obstacle(self) -> str | None:
        """Why the network cannot be packed, or None."""
        if not torch.backends.mkldnn.is_available():
            return "this torch has no oneDNN"
        packable = self._dtype() in (torch.float32, torch.bfloat16)
        return None if packable else f"weights in {self._dtype()} cannot be packed"

    def _packed(self) -> Callable[[Tensor], list[Tensor]]:
        installed = self.network.__dict__.pop("forward", None)  # not to be copied
        try:
            packed = pack(self.network, self._dtype())
        finally:
            if installed is not None:
                self.network.forward = installed
        at_once = max(1, torch.get_num_threads() // 2)

        def run(clips: Tensor) -> list[Tensor]:
            parts = [_run(packed, part, self.precision) for part in clips.split(at_once)]
            return parts[0] if len(parts) == 1 else [torch.cat(maps) for maps in zip(*parts, strict=True)]

        return run

    def _compiled(self) -> Callable[[Tensor], list[Tensor]]:
        compiled = torch.compile(_run, fullgraph=True)
        return lambda clips: compiled(self.network, clips, self.precision)

    def _give_up(self, reason: str) -> None:
        reason = " ".join(reason.split())[:200]
        self._fast, self._report = None, {"why": reason}
        if is_main_process():
            print(f"predictions are eager, and so slower: {reason}", file=sys.stderr)


@contextlib.contextmanager
def fast_forward(model: Any, *, compile: str = "auto", precision: str = "no") -> Iterator[FrozenNetwork]:
    """Let a model predict clips as :class:`FrozenNetwork` does, while the block lasts.

    Args:
        model: A model of this library, unwrapped.
        compile: As for :class:`FrozenNetwork`.
        precision: As for :class:`FrozenNetwork`.
    """
    if precision == "bf16" and next(model.parameters()).device.type == "cpu" and not _has_bf16() and is_main_process():
        print("this CPU has no instructions for bf16, which may be slower than float32 here", file=sys.stderr)
    fast = FrozenNetwork(model.backbone.network, compile, precision)
    with fast.installed():
        yield fast


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


def _difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The root mean square of the difference, as a share of that of the features; NaN counts as 1e30.

    Not the largest difference: in bf16, single features of a non-local block are far off without any error.
    """
    largest = 0.0
    for one, other in zip(found, expected, strict=True):
        distance = (one.float() - other.float()).norm() / other.float().norm().clamp_min(1e-30)
        largest = max(largest, float(distance.nan_to_num(1e30, 1e30)))
    return largest


def _has_bf16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # before torch 2.11
        return True
    capabilities: Any = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
