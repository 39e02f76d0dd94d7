"""transformers' own ``ModelTesterMixin``, run on a tiny model of each family."""

from __future__ import annotations

import contextlib
import copy
import unittest
from typing import Any

import pytest
import torch
from transformers import VideoMAEConfig

from microg4m_hf import models
from tests.support.transformers_tests import model_tester_mixin

pytestmark = pytest.mark.slow  # all of them together
ModelTesterMixin = model_tester_mixin()
# With expected_num_hidden_layers, and the last two sizes of the first hidden state: rows and columns of a map, or
# tokens and channels.
FAMILIES = {
    "tiny_c2d": (5, 16, 16),
    "tiny_i3d": (5, 16, 16),
    "tiny_slow": (5, 16, 16),
    "tiny_slowfast": (10, 16, 16),
    "tiny_x3d": (5, 32, 32),
    "tiny_mvitv1": (4, 2 * 16 * 16 + 1, 16),
    "tiny_mvitv2": (4, 2 * 16 * 16 + 1, 16),
    "videomae": (3, 2 * 2 * 2, 16),
}
VIDEOMAE = VideoMAEConfig(
    image_size=32,
    patch_size=16,
    num_frames=4,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
)


class HarTester:
    """What the mixin asks of a model tester: a config, inputs, and sizes."""

    is_training = True
    batch_size = 2
    num_hidden_layers = 1  # the mixin reads it although expected_num_hidden_layers replaces it

    def __init__(self, name: str) -> None:
        self.name = name
        self.expected_num_hidden_layers, self.seq_length, self.hidden_size = FAMILIES[name]

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, Any]]:
        config = models.wrap(VIDEOMAE).config if self.name == "videomae" else models.config_of(self.name)
        side = 32 if self.name == "videomae" else 64
        clips = torch.rand(self.batch_size, 3, config.num_frames, side, side)
        boxes = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.3, 0.0, 1.0, 0.8]]).repeat(self.batch_size, 1, 1)
        return copy.deepcopy(config), {"pixel_values": clips, "boxes": boxes}


def _case(name: str) -> type[unittest.TestCase]:
    class Case(ModelTesterMixin, unittest.TestCase):
        # The mixin takes the gradient of the first output of the first class, which has to be one tensor.
        all_model_classes = (models.MicroG4MHarForVideoClassification, models.MicroG4MHarModel)
        test_resize_embeddings = False
        has_attentions = False  # convolutions have none, and MViT's fused attention keeps no map of weights

        def setUp(self) -> None:
            self.model_tester = HarTester(name)

        def subTest(self, *_: Any, **__: Any) -> contextlib.AbstractContextManager[None]:
            return contextlib.nullcontext()  # one for every weight and type: pytest would take most of the time

        def _prepare_for_class(self, inputs: dict, model_class: type, return_labels: bool = False) -> dict:
            inputs = copy.deepcopy(inputs)
            if return_labels and model_class is models.MicroG4MHarForVideoClassification:
                inputs["labels"] = torch.eye(50)[:4]
            return inputs

        @unittest.skip("the input is pixels, so there is no table of embeddings to get or set")
        def test_model_get_set_embeddings(self) -> None: ...

        def test_bc_torch_dtype(self) -> None:
            if name != "videomae":  # it takes as long as all the others together
                self.skipTest("types of weights are up to from_pretrained, whatever the family; videomae runs this")
            super().test_bc_torch_dtype()

        # The mixin leaves out backbones by name, and knows only those inside transformers: a backbone has no loss.
        def test_training(self) -> None:
            self.all_model_classes = self.all_model_classes[:1]
            super().test_training()

        def check_training_gradient_checkpointing(self, **how: Any) -> None:
            self.all_model_classes = self.all_model_classes[:1]
            super().check_training_gradient_checkpointing(**how)

    Case.__name__ = Case.__qualname__ = f"Test_{name}"
    return Case


for _name in FAMILIES:
    globals()[f"Test_{_name}"] = _case(_name)
