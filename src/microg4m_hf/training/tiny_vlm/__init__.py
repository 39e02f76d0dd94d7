"""A tiny vision-language model for the built-in sample: ``python -m microg4m_hf.training.tiny_vlm --out FOLDER``."""
