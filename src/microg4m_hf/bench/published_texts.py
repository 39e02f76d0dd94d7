"""The numbers of the published tables that have no other home in the library; percentages as printed."""

from __future__ import annotations

# model, frames, CIDEr, BLEU-4, ROUGE-L, METEOR, S-BERT, BERTScore
CAPTION = (
    ("Video-ChatGPT", 3, 0.06, 0.12, 10.10, 4.33, 39.61, 85.40),
    ("mPLUG-Owl3", 3, 0.16, 0.40, 11.87, 5.88, 47.45, 85.91),
    ("LLaVA-NeXT", 8, 0.30, 1.88, 16.32, 14.45, 54.16, 84.98),
    ("Video-LLaVA", 8, 0.03, 0.07, 9.29, 4.12, 42.97, 84.89),
    ("Qwen2.5-VL", 9, 0.03, 1.34, 13.75, 15.67, 56.46, 84.01),
    ("InternVideo", 90, 0.77, 2.60, 16.57, 15.18, 55.28, 85.41),
    ("GPT-4o", 6, 1.74, 2.65, 16.46, 11.27, 62.18, 86.75),
    ("Gemini 1.5 Pro", 16, 3.52, 3.28, 17.34, 15.19, 63.38, 86.25),
)

# model, frames, CIDEr, BLEU-4, ROUGE-L, METEOR, S-VQA, BERTScore
VQA = (
    ("LLaVA-NeXT", 8, 24.00, 22.14, 15.56, 12.40, 38.08, 87.15),
    ("Video-LLaVA", 8, 25.70, 28.47, 15.90, 10.71, 35.39, 87.13),
    ("Qwen2.5-VL", 9, 2.99, 0.65, 8.35, 8.47, 40.65, 84.80),
    ("Gemini 1.5 Pro", 16, 8.78, 1.33, 13.03, 12.54, 43.15, 86.41),
    ("GPT-4o", 6, 33.98, 3.76, 18.11, 15.89, 44.56, 87.81),
)

# zero-shot model -> mAP, AUROC on JHMDB in AVA format
JHMDB = {"slow_8x8_r50_ava": (34.24, 76.96), "slowfast_32x2_r101_ava": (47.50, 83.98)}
