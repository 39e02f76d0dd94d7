"""A Qwen2.5-VL with half a million weights and a tokenizer of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

_SPECIAL = ["<pad>", "<ask>", "<end>", "<vision>", "</vision>", "<frame>", "<image>"]
_TEMPLATE = (
    "{% for turn in messages %}{% if turn['role'] == 'assistant' %}{{ turn['content'][0]['text'] }}<end>{% else %}"
    "{% for part in turn['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<vision>{{ '<frame>' if part['type'] == 'video' else '<image>' }}</vision>{% endif %}{% endfor %}<ask>"
    "{% endif %}{% endfor %}"
)
_PATCH = 8
_MAX_PIXELS = 64 * 40  # pixels per frame: clips of 256×144 become 64×32, so that training is fast
_WIDTH, _HEADS, _LAYERS = 96, 4, 2
_VISION_WIDTH, _VISION_LAYERS = 64, 2
_INITIALIZER_RANGE = 0.08  # of the initial weights; narrow models train slowly with the 0.02 of wide ones


def make_model(texts: Iterable[str]) -> tuple[Any, Any]:
    """Return a model with random weights, and its processor, whose tokens are the words of ``texts``."""
    tokenizer = _tokenizer(texts)
    edges = {"shortest_edge": 4 * _PATCH * _PATCH, "longest_edge": _MAX_PIXELS}
    size: dict[str, Any] = {"size": edges, "patch_size": _PATCH}
    processor = transformers.Qwen2_5_VLProcessor(
        transformers.Qwen2VLImageProcessor(**size),
        tokenizer,
        transformers.Qwen2VLVideoProcessor(cap_pixels_per_frame=True, **size),
        chat_template=_TEMPLATE,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(_config(tokenizer)), processor


def _tokenizer(texts: Iterable[str]) -> Any:
    """Train byte-pair encoding until the words of the texts are single tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=_SPECIAL, initial_alphabet=letters, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    names = {
        "image_token": "<image>",
        "video_token": "<frame>",
        "vision_bos_token": "<vision>",
        "vision_eos_token": "</vision>",
    }
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<end>",
        pad_token="<pad>",
        padding_side="left",
        model_max_length=4096,
        extra_special_tokens=names,
    )


def _config(tokenizer: Any) -> Any:
    ids = tokenizer.convert_tokens_to_ids
    half = _WIDTH // _HEADS // 2
    spatial = half * 3 // 8  # dimensions for height, and as many for width; the rest is for time
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": _WIDTH,
        "intermediate_size": 3 * _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10.0,  # a frame is four tokens wide, too few for the base of long texts
            "mrope_section": [half - 2 * spatial, spatial, spatial],
        },
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "initializer_range": _INITIALIZER_RANGE,
    }
    vision = {
        "depth": _VISION_LAYERS,
        "hidden_size": _VISION_WIDTH,
        "intermediate_size": 2 * _VISION_WIDTH,
        "num_heads": 4,
        "out_hidden_size": _WIDTH,
        "patch_size": _PATCH,
        "fullatt_block_indexes": list(range(_VISION_LAYERS)),
        "initializer_range": _INITIALIZER_RANGE,
    }
    shared: dict[str, Any] = {"tie_word_embeddings": True, "initializer_range": _INITIALIZER_RANGE}
    return transformers.Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        **shared,
        image_token_id=ids("<image>"),
        video_token_id=ids("<frame>"),
        vision_start_token_id=ids("<vision>"),
        vision_end_token_id=ids("</vision>"),
    )
