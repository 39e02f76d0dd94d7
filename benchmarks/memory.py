"""Memory that training a recipe needs on one GPU: computed from the network, not measured on a GPU.

``python benchmarks/memory.py`` writes ``results/memory.json``. Weights, gradients and optimizer state are counted
exactly. Activations are the tensors that the backward pass of one key frame keeps, in the mixed precision of the
recipe, counted on a CPU. Work space of kernels, fragmentation and the CUDA context come on top.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
from pathlib import Path
from typing import Any

import torch

from microg4m_hf.training import load_recipe
from microg4m_hf.training.build import build_model
from microg4m_hf.training.recipes import list_recipes

RESULT = Path(__file__).parent / "results" / "memory.json"
STATES = {"sgd": 1, "adamw": 2}  # tensors of the size of the weights that the optimizer keeps


def measure(name: str) -> dict[str, Any]:
    """Return the bytes of one recipe."""
    recipe = load_recipe(name, ["model.init=null"])
    model = build_model(recipe.model, recipe.data, seed=0)
    model.train()
    side = recipe.data.crop or recipe.data.eval_short_side
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    kept: dict[int, int] = {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    alive: list[torch.Tensor] = []  # so that no address is used twice
    clips = torch.zeros(1, 3, recipe.data.num_frames, side, side)
    boxes = [torch.tensor([[0.2, 0.2, 0.8, 0.8]])]
    low = recipe.loop.mixed_precision != "no"
    # A CPU computes few layers in float16; bfloat16 has the same size.
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        loss = model(pixel_values=clips, boxes=boxes, labels=torch.zeros(1, 50)).loss
    activations = sum(kept.values())
    del loss
    alive.clear()
    gc.collect()
    fixed = weights * (2 + STATES[recipe.optim.name])
    return {
        "precision": recipe.loop.mixed_precision,
        "batch": recipe.loop.batch,
        "weights": weights,
        "weights, gradients, optimizer": fixed,
        "activations of one key frame": activations,
        "batch on one GPU": fixed + recipe.loop.batch * activations,
        "batch on four GPUs": fixed + -(-recipe.loop.batch // 4) * activations,
        "key frames that fit into 80 GB": int((80e9 * 0.9 - fixed) // activations),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="recipes; all fine-tuning recipes by default")
    args = parser.parse_args()
    torch.manual_seed(0)
    toys = ("demo", "orientation")
    names = args.only or [
        recipe.name
        for recipe in list_recipes()
        if recipe.variant != "adapter" and recipe.name not in toys and not recipe.name.startswith("zero_shot")
    ]
    found = {}
    for name in names:
        found[name] = measure(name)
        print(name, found[name], flush=True)
    if not args.only:
        versions = {"date": str(datetime.date.today()), "torch": torch.__version__}
        report = versions | {"measured on a GPU": False, "recipes": found}
        RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
