"""Create tiny random vision-language models of nine families, saved like published ones, so tests need no download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import tiny_vlm_llava
from tests.support.tiny_vlm_llava import llama_config
from tests.support.tiny_vlm_tokenizer import CHATML, fill_template, tokenizer


def tiny_vlm(family: str, folder: Path, *, seed: int = 0, hidden: int = 64, layers: int = 2, **options: Any) -> Path:
    """Build a model of ``family`` with its processor, save both, and return ``folder``."""
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
        # Wide enough that answers depend on the pixels. This family needs more, or one answer fits all with some seeds.
        "initializer_range": 0.2 if family == "llava_onevision" else 0.1,
    }
    model, processor = FAMILIES[family](text, **options)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


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
    template = fill_template(CHATML, wrap.format("<|video_pad|>"), wrap.format("<|image_pad|>"))
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
    template = fill_template(CHATML, wrap.format("<|video_pad|>"), wrap.format("<|image_pad|>"))
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
        chat_template=fill_template(CHATML, "<video>\n", "<IMG_CONTEXT>\n"),
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
        text_config={**llama_config(text, tok), "model_type": "qwen2"},
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
        chat_template=fill_template(CHATML, "<video>", "<image>"),
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
        text_config=llama_config(text, tok),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tok.pad_token_id,
    )
    return t.SmolVLMForConditionalGeneration(config), processor


def _gemma3(text: dict[str, Any]) -> tuple[Any, Any]:
    """Build a model that takes images only and has sliding-window attention in every other layer."""
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
        chat_template="<bos>" + fill_template(CHATML, "", names["boi_token"]),
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
    "llava_next_video": tiny_vlm_llava.llava_next_video,
    "video_llava": tiny_vlm_llava.video_llava,
    "llava_onevision": tiny_vlm_llava.llava_onevision,
    "internvl": _internvl,
    "smolvlm": _smolvlm,
    "llava": tiny_vlm_llava.llava,
    "gemma3": _gemma3,
}
