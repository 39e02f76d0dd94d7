"""How to cite the benchmark: the one BibTeX entry that the cards, the metrics and the README show."""

from __future__ import annotations

# `CITATION.cff` has the same fields; a test compares every place that shows the entry.
BIBTEX = """\
@inproceedings{wen2026go,
  title     = {Go Beyond Earth: Understanding Human Actions and Scenes in
               Microgravity Environments},
  author    = {Di Wen and Lei Qi and Kunyu Peng and Kailun Yang and Fei Teng and
               Ao Luo and Jia Fu and Yufan Chen and Ruiping Liu and Yitian Shi and
               M. Saquib Sarfraz and Rainer Stiefelhagen},
  booktitle = {International Conference on Learning Representations},
  year      = {2026},
  url       = {https://openreview.net/forum?id=gygGCVXeh3}
}
"""

# A section for cards, in Markdown.
CITATION = f"""## Citation

```bibtex
{BIBTEX}```
"""
