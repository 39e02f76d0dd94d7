"""Tiny vision-language models of the LLaVA families."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_vlm_tokenizer import CHATML, VICUNA, fill_template, tokenizer


def _llava_tokenizer() -> Any:
    return tokenizer(["<unk>", "<s>", "</s>", "<image>", "<video>"], "</s>", "<unk>", bos_token="<s>")


def llama_config(text: dict[str, Any], tok: Any) -> dict[str, Any]:
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


def video_llava(text: dict[str, Any]) -> tuple[Any, Any]:
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
        chat_template=fill_template(VICUNA, "<video>", "<image>"),
    )
    config = t.VideoLlavaConfig(vision_config=_clip(28), text_config=llama_config(text, tok), **_llava_tokens(tok))
    return t.VideoLlavaForConditionalGeneration(config), processor


def llava_next_video(text: dict[str, Any]) -> tuple[Any, Any]:
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
        chat_template=fill_template(VICUNA, "<video>", "<image>"),
    )
    config = t.LlavaNextVideoConfig(
        vision_config=_clip(56),
        text_config=llama_config(text, tok),
        image_grid_pinpoints=points,
        spatial_pool_mode="average",
        spatial_pool_stride=2,
        **_llava_tokens(tok),
    )
    return t.LlavaNextVideoForConditionalGeneration(config), processor


def llava_onevision(text: dict[str, Any]) -> tuple[Any, Any]:
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
        chat_template=fill_template(CHATML, "<video>\n", "<image>\n"),
    )
    config = t.LlavaOnevisionConfig(
        vision_config={**_clip(56), "model_type": "siglip_vision_model"},
        text_config={**llama_config(text, tok), "model_type": "qwen2"},
        image_grid_pinpoints=points,
        **_llava_tokens(tok),
    )
    return t.LlavaOnevisionForConditionalGeneration(config), processor


def llava(text: dict[str, Any]) -> tuple[Any, Any]:
    """Build a model that takes images only: its processor has no video processor."""
    import transformers as t

    tok = _llava_tokenizer()
    processor = t.LlavaProcessor(
        t.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tok,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=fill_template(VICUNA, "<video>", "<image>"),
    )
    config = t.LlavaConfig(
        vision_config=_clip(28),
        text_config=llama_config(text, tok),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
    )
    return t.LlavaForConditionalGeneration(config), processor
