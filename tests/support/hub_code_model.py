"""Tiny models with code of their own, written for transformers 4 as it is written on the Hub."""

from __future__ import annotations

import json
from pathlib import Path

CODE = '''
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_utils import apply_chunking_to_forward  # transformers 5 has it no more

COLOURS = ("red", "green", "blue")


class TinyConfig(PretrainedConfig):
    model_type = "tiny_with_code"

    def __init__(self, force_image_size=28, **more):
        super().__init__(**more)
        self.force_image_size = force_image_size


class Tiny(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.vision = torch.nn.Linear(3, 3, bias=False)

    def _init_weights(self, module):
        pass

    def seen(self, pixels):
        """The colour of every picture, as the weights see it."""
        scores = apply_chunking_to_forward(lambda part: self.vision(part.mean((2, 3))), 1, 0, pixels)
        return [COLOURS[place] for place in scores.argmax(1)]


class TinyChat(Tiny):
    def chat(self, tokenizer, pixel_values, question, generation_config, history=None, return_history=False,
             num_patches_list=None):
        print("a model that talks while it works")
        assert num_patches_list == [1] * len(pixel_values) and history is None
        assert pixel_values.shape[2:] == (28, 28) and not generation_config["do_sample"]
        words = tokenizer.decode(tokenizer(question).input_ids).split()
        return f"{words.count('<image>')} {' '.join(self.seen(pixel_values))} {words[-1]}"


class Inputs(dict):
    def to(self, device):
        return self


class TinyOwl(Tiny):
    def init_processor(self, tokenizer):
        def process(messages, images=None, videos=None):
            import numpy
            frames = torch.stack([torch.from_numpy(numpy.array(frame)) for frame in videos[0]])
            assert [message["role"] for message in messages] == ["user", "assistant"]
            assert messages[0]["content"].startswith("<|video|>\\n")
            return Inputs(input_ids=tokenizer(messages[0]["content"], return_tensors="pt").input_ids,
                          pixel_values=frames.permute(0, 3, 1, 2) / 255.0)
        return process

    def generate(self, input_ids, pixel_values, tokenizer=None, decode_text=False, max_new_tokens=1, do_sample=False):
        assert decode_text and not do_sample
        words = tokenizer.decode(input_ids[0]).split()
        return [f"{len(pixel_values)} {' '.join(self.seen(pixel_values))} {words[-1]}"[:max_new_tokens]]
'''


def model_with_code(folder: Path, name: str) -> Path:
    """``TinyChat`` (like InternVL) or ``TinyOwl`` (like mPLUG-Owl3): it takes red for green, green for blue."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "modeling_tiny.py").write_text(CODE)
    auto = {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModel": f"modeling_tiny.{name}"}
    config = {"model_type": "tiny_with_code", "architectures": [name], "auto_map": auto, "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))
    weights = torch.eye(3).roll(1, 0).contiguous()
    save_file({"vision.weight": weights}, folder / "model.safetensors", metadata={"format": "pt"})
    words = ["[UNK]", "<image>", "colour?", "first?", "many?"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))
    return folder
