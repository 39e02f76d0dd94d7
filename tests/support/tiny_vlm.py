"""Tiny random vision-language models of nine families, saved like the real ones, for tests without downloads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_WORDS = (
    "Who floats in the cabin? How many astronauts are visible in the video? Two people wave at the camera. Describe in "
    "one or two sentences what the people in this video do, and where they are. Answer in a few words. If the video "
    "does not show it, answer: Not mentioned. The crew works near a window. USER ASSISTANT system user assistant: "
)
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% elif part['type'] == 'video' %}VIDEO{% else %}IMAGE{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As in the LLaVA checkpoints: no system turn of its own, the text of unknown roles is dropped.
_VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'user' %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'video' %}VIDEO\n{% else %}IMAGE\n"
    "{% endif %}{% endfor %} {% elif message['role'] == 'assistant' %}ASSISTANT: {{ message['content'][0]['text'] }}"
    "</s>{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def tiny_vlm(family: str, folder: Path, *, seed: int = 0, hidden: int = 64, layers: int = 2, **options: Any) -> Path:
    """Build and save a model of ``family`` with its processor; returns ``folder``."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    text = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": max(4, hidden // 64),
        "num_key_value_heads": 2,
        "bos_token_id": None,
        "initializer_range": 0.1,  # wide enough that answers depend on the pixels
    }
    model, processor = FAMILIES[family](text, **options)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tokenizer(specials: list[str], eos: str, pad: str, **more: Any) -> Any:
    """A byte-level BPE tokenizer of a few hundred tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([_WORDS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=eos, pad_token=pad, padding_side="left", model_max_length=32768, **more
    )


def _template(template: str, video: str, image: str) -> str:
    return template.replace("VIDEO", video).replace("IMAGE", image)


def _qwen_tokenizer() -> Any:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    specials += ["<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>"]
    return tokenizer(specials, "<|im_end|>", "<|endoftext|>")


def _qwen_tokens(tok: Any) -> dict[str, int]:
    ids = tok.convert_tokens_to_ids
    return {
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
    }


def _qwen2_5_vl(
    text: dict[str, Any], *, pixels: int = 56 * 112, vision_hidden: int = 32, vision_layers: int = 2
) -> tuple[Any, Any]:
    import transformers as t

    tok = _qwen_tokenizer()
    size = {"shortest_edge": 28 * 28, "longest_edge": pixels}
    wrap = "<|vision_start|>{}<|vision_end|>"
    template = _template(_CHATML, wrap.format("<|video_pad|>"), wrap.format("<|image_pad|>"))
    processor = t.Qwen2_5_VLProcessor(
        t.Qwen2VLImageProcessor(size=size),
        tok,
        t.Qwen2VLVideoProcessor(size=size, cap_pixels_per_frame=True),
        chat_template=template,
    )
    half = text["hidden_size"] // text["num_attention_heads"] // 2
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [half // 4, half * 3 // 8, half * 3 // 8]}
    config = t.Qwen2_5_VLConfig(
        text_config={
            **text,
            "vocab_size": len(tok),
            "rope_parameters": rope,
            "eos_token_id": tok.eos_token_id,
            "pad_token_id": tok.pad_token_id,
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": vision_hidden,
            "intermediate_size": 2 * vision_hidden,
            "num_heads": max(2, vision_hidden // 64),
            "out_hidden_size": text["hidden_size"],
            "fullatt_block_indexes": [vision_layers // 2 - 1, vision_layers - 1],
            "window_size": 112,
        },
        **_qwen_tokens(tok),
    )
    return t.Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_vl(text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    tok = _qwen_tokenizer()
    size = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64 * 8}
    wrap = "<|vision_start|>{}<|vision_end|>"
    template = _template(_CHATML, wrap.format("<|video_pad|>"), wrap.format("<|image_pad|>"))
    processor = t.Qwen3VLProcessor(
        t.Qwen2VLImageProcessor(size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}, patch_size=16),
        tok,
        t.Qwen3VLVideoProcessor(size=size, cap_pixels_per_frame=False),
        chat_template=template,
    )
    config = t.Qwen3VLConfig(
        text_config={
            **text,
            "vocab_size": len(tok),
            "head_dim": 16,
            "eos_token_id": tok.eos_token_id,
            "pad_token_id": tok.pad_token_id,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": text["hidden_size"],
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_qwen_tokens(tok),
    )
    return t.Qwen3VLForConditionalGeneration(config), processor


def _llava_tokenizer() -> Any:
    return tokenizer(["<unk>", "<s>", "</s>", "<image>", "<video>"], "</s>", "<unk>", bos_token="<s>")


def _llama(text: dict[str, Any], tok: Any) -> dict[str, Any]:
    ids = {"eos_token_id": tok.eos_token_id, "pad_token_id": tok.pad_token_id}
    return {**text, "model_type": "llama", "vocab_size": len(tok), **ids}


def _clip(size: int) -> dict[str, Any]:
    return {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": size,
        "patch_size": 14,
        "initializer_range": 0.1,
        "projection_dim": 32,
    }


def _llava_tokens(tok: Any) -> dict[str, int]:
    ids = tok.convert_tokens_to_ids
    return {"image_token_index": ids("<image>"), "video_token_index": ids("<video>")}


def _video_llava(text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    tok = _llava_tokenizer()
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    processor = t.VideoLlavaProcessor(
        t.VideoLlavaImageProcessor(**size),
        t.VideoLlavaVideoProcessor(**size),
        tok,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_template(_VICUNA, "<video>", "<image>"),
    )
    config = t.VideoLlavaConfig(vision_config=_clip(28), text_config=_llama(text, tok), **_llava_tokens(tok))
    return t.VideoLlavaForConditionalGeneration(config), processor


def _llava_next_video(text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    tok = _llava_tokenizer()
    size = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
    points = [[56, 112], [112, 56]]
    processor = t.LlavaNextVideoProcessor(
        t.LlavaNextVideoVideoProcessor(**size),
        t.LlavaNextImageProcessor(image_grid_pinpoints=points, **size),
        tok,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_template(_VICUNA, "<video>", "<image>"),
    )
    config = t.LlavaNextVideoConfig(
        vision_config=_clip(56),
        text_config=_llama(text, tok),
        image_grid_pinpoints=points,
        spatial_pool_mode="average",
        spatial_pool_stride=2,
        **_llava_tokens(tok),
    )
    return t.LlavaNextVideoForConditionalGeneration(config), processor


def _llava_onevision(text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"]
    tok = tokenizer(specials, "<|im_end|>", "<|endoftext|>")
    size = {"height": 56, "width": 56}
    points = [[56, 56], [56, 112], [112, 56]]
    processor = t.LlavaOnevisionProcessor(
        t.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=points),
        tok,
        t.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        chat_template=_template(_CHATML, "<video>\n", "<image>\n"),
    )
    config = t.LlavaOnevisionConfig(
        vision_config={**_clip(56), "model_type": "siglip_vision_model"},
        text_config={**_llama(text, tok), "model_type": "qwen2"},
        image_grid_pinpoints=points,
        **_llava_tokens(tok),
    )
    return t.LlavaOnevisionForConditionalGeneration(config), processor


def _internvl(text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tok = tokenizer(specials, "<|im_end|>", "<|endoftext|>", extra_special_tokens=names)
    size = {"height": 56, "width": 56}
    processor = t.InternVLProcessor(
        t.GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=4),
        tok,
        t.InternVLVideoProcessor(size=size),
        image_seq_length=4,
        chat_template=_template(_CHATML, "<video>\n", "<IMG_CONTEXT>\n"),
    )
    config = t.InternVLConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": [56, 56],
            "patch_size": [14, 14],
            "initializer_range": 0.1,
        },
        text_config={**_llama(text, tok), "model_type": "qwen2"},
        image_token_id=tok.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    return t.InternVLForConditionalGeneration(config), processor


def _smolvlm(text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    specials = ["<|endoftext|>", "<|im_start|>", "<end_of_utterance>", "<image>", "<video>"]
    specials += ["<fake_token_around_image>", "<global-img>"]
    tok = tokenizer(specials, "<end_of_utterance>", "<|endoftext|>", bos_token="<|im_start|>")
    size = {"longest_edge": 56}
    processor = t.SmolVLMProcessor(
        t.SmolVLMImageProcessor(size=size, max_image_size=size, do_image_splitting=True),
        tok,
        t.SmolVLMVideoProcessor(
            video_sampling={"max_frames": 64, "fps": 1, "video_size": size}, size=size, max_image_size=size
        ),
        image_seq_len=4,
        chat_template=_template(_CHATML, "<video>", "<image>"),
    )
    config = t.SmolVLMConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
            "initializer_range": 0.1,
        },
        text_config=_llama(text, tok),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tok.pad_token_id,
    )
    return t.SmolVLMForConditionalGeneration(config), processor


def _llava(text: dict[str, Any]) -> tuple[Any, Any]:
    """Takes images only: the processor has no video part."""
    import transformers as t

    tok = _llava_tokenizer()
    processor = t.LlavaProcessor(
        t.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tok,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_template(_VICUNA, "<video>", "<image>"),
    )
    config = t.LlavaConfig(
        vision_config=_clip(28),
        text_config=_llama(text, tok),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
    )
    return t.LlavaForConditionalGeneration(config), processor


def _gemma3(text: dict[str, Any]) -> tuple[Any, Any]:
    """Takes images only, and looks back through a window in every other layer."""
    import transformers as t

    specials = ["<pad>", "<bos>", "<|im_start|>", "<|im_end|>"]
    names = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tok = tokenizer([*specials, *names.values()], "<|im_end|>", "<pad>", bos_token="<bos>", extra_special_tokens=names)
    ids = tok.convert_tokens_to_ids
    processor = t.Gemma3Processor(
        t.Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tok,
        chat_template="<bos>" + _template(_CHATML, "", names["boi_token"]),
        image_seq_length=4,
    )
    config = t.Gemma3Config(
        text_config={
            **text,
            "vocab_size": len(tok),
            "head_dim": 16,
            "sliding_window": 32,
            "layer_types": ["sliding_attention", "full_attention"],
            "eos_token_id": tok.eos_token_id,
            "pad_token_id": tok.pad_token_id,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
        boi_token_index=ids(names["boi_token"]),
        eoi_token_index=ids(names["eoi_token"]),
        image_token_index=ids(names["image_token"]),
    )
    return t.Gemma3ForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[..., tuple[Any, Any]]] = {
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "llava_next_video": _llava_next_video,
    "video_llava": _video_llava,
    "llava_onevision": _llava_onevision,
    "internvl": _internvl,
    "smolvlm": _smolvlm,
    "llava": _llava,
    "gemma3": _gemma3,
}
