"""Compute the memory that Qwen2.5-VL needs at a server, by size: weights, keys and values, and the clips in progress.

    python benchmarks/vlm_memory.py

Nothing is measured. The parameters are counted on networks of the published shapes without values; the tokens of a
frame are those of the image processor. The tables are those of docs/served_models.md.
"""

from __future__ import annotations

import functools
import math

# Layers, hidden size, width of the MLP, attention heads, heads of keys and values, tied embeddings, vocabulary.
SHAPES = {
    "3B": (36, 2048, 11008, 16, 2, True, 151936),
    "7B": (28, 3584, 18944, 28, 4, False, 152064),
    "32B": (64, 5120, 27648, 40, 8, False, 152064),
    "72B": (80, 8192, 29568, 64, 8, False, 152064),
}
FRAME = (480, 854)
FRAMES, QUESTIONS = 9, 6  # of a clip, by default
TEXT, ANSWER = 100, 256  # tokens of a question with its instruction, and of the longest answer


@functools.cache
def parameters(size: str) -> int:
    """Count the parameters of a Qwen2.5-VL.

    >>> parameters("7B")
    8292166656
    """
    import torch
    import transformers as t

    layers, hidden, mlp, heads, kv_heads, tied, words = SHAPES[size]
    text = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": mlp, "vocab_size": words}
    vision = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "out_hidden_size": hidden}
    config = t.Qwen2_5_VLConfig(
        text_config={
            **text,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "tie_word_embeddings": tied,
        },
        vision_config={**vision, "intermediate_size": 3456 if size in ("32B", "72B") else 3420},
        tie_word_embeddings=tied,
    )
    with torch.device("meta"):
        network = t.Qwen2_5_VLForConditionalGeneration(config)
    network.tie_weights()
    return sum(weight.numel() for weight in network.parameters())


def kv_bytes(size: str) -> int:
    """Return the bytes that the keys and values of one token take in bfloat16.

    >>> kv_bytes("7B")
    57344
    """
    layers, hidden, _, heads, kv_heads, _, _ = SHAPES[size]
    return 2 * layers * kv_heads * (hidden // heads) * 2


def frame_tokens(side: int | None = None) -> int:
    """Return the tokens of a frame of 480p, or of one whose longer side is ``side``.

    >>> frame_tokens(), frame_tokens(448)
    (510, 144)
    """
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    height, width = FRAME
    if side:
        height, width = round(height * side / width), side
    high, wide = smart_resize(height, width, factor=28, min_pixels=56 * 56, max_pixels=28 * 28 * 1280)
    return high * wide // 28**2


def kv_tokens(concurrency: int, side: int | None = None) -> int:
    """Return the tokens in the cache while ``concurrency`` questions are open: whole clips, shared by their questions.

    >>> kv_tokens(8)
    16618
    """
    clips = min(concurrency, math.ceil((concurrency - 1) / QUESTIONS) + 1)  # the first and the last in part
    return clips * FRAMES * frame_tokens(side) + concurrency * (TEXT + ANSWER)


def hit_rate(side: int | None = None, block: int = 16) -> float:
    """Return the share of prompt tokens that a cache of whole blocks finds, over the six questions of a clip."""
    clip = FRAMES * frame_tokens(side)
    return (QUESTIONS - 1) * (clip // block * block) / (QUESTIONS * (clip + TEXT))


# Size, cards, gigabytes of a card, requests at a time.
SETUPS = (("3B", 1, 24, 32), ("7B", 1, 24, 16), ("7B", 1, 80, 32), ("32B", 2, 80, 32), ("72B", 4, 80, 32))
USED, ACTIVATIONS = 0.92, 0.1  # vLLM's default --gpu-memory-utilization; an assumption about what a pass needs
CONTEXT = 8192  # --max-model-len


def tables() -> str:
    """Return the two tables of the page."""
    sizes = [
        "| size | parameters | weights in bfloat16 | keys and values of a token | of a clip |",
        "|---|---|---|---|---|",
    ]
    for size in SHAPES:
        n, kv = parameters(size), kv_bytes(size)
        clip = kv * FRAMES * frame_tokens() / 1e9
        sizes.append(f"| {size} | {n / 1e9:.2f} billion | {2 * n / 1e9:.1f} GB | {kv / 1024:.0f} KiB | {clip:.2f} GB |")
    setups = [
        "| size | cards, `--tensor-parallel-size` | left for keys and values | `--concurrency` | which needs |",
        "|---|---|---|---|---|",
    ]
    for size, cards, memory, concurrency in SETUPS:
        left = cards * memory * (USED - ACTIVATIONS) - 2 * parameters(size) / 1e9
        needed = kv_bytes(size) * max(kv_tokens(concurrency), CONTEXT) / 1e9
        assert needed < left, (size, cards, left, needed)
        setups.append(f"| {size} | {cards} × {memory} GB | {left:.1f} GB | {concurrency} | {needed:.1f} GB |")
    return "\n".join(sizes) + "\n\n" + "\n".join(setups)


if __name__ == "__main__":
    print(tables())
    print(f"\nfound by the prefix cache: {hit_rate():.3f}, with --image-side 448 {hit_rate(448):.3f}")
