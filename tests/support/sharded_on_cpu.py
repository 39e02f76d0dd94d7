"""FSDP and DeepSpeed without GPUs: Accelerate supports them on accelerators only, torch's gloo on CPUs as well."""

from __future__ import annotations

import os
from typing import Any


def allow() -> None:
    """Apply ACCELERATE_USE_FSDP or ACCELERATE_USE_DEEPSPEED to processes on a CPU."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        _deepspeed()
    elif os.environ.get("ACCELERATE_USE_FSDP") == "true":
        _fsdp()


def _fsdp() -> None:
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedType

    begin = AcceleratorState.__init__

    def begin_sharded(self: Any, *words: Any, fsdp_plugin: Any = None, **named: Any) -> None:
        begin(self, *words, fsdp_plugin=fsdp_plugin, **named)
        plugin = fsdp_plugin or getattr(self, "fsdp_plugin", None)
        if plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, plugin
            if fsdp_plugin is not None and self._mixed_precision != "no":  # once, as Accelerate does on GPUs
                plugin.set_mixed_precision(self._mixed_precision)

    AcceleratorState.__init__ = begin_sharded


def _deepspeed() -> None:
    import accelerate
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    begin = accelerate.Accelerator.__init__

    def begin_without_cpu(self: Any, *words: Any, cpu: bool = False, **named: Any) -> None:
        begin(self, *words, **named)  # with cpu=True, Accelerate ignores DeepSpeed

    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_CPU)
    accelerate.Accelerator.__init__ = begin_without_cpu
