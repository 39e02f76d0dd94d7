"""Train a tiny vision-language model from scratch, and save it as a folder that ``microg4m predict`` loads.

    python examples/tiny_vlm.py --out demo_output/tiny_vlm
    microg4m predict vqa --model demo_output/tiny_vlm --frames 4 --prompts plain --source sample --scheme official

The code is in ``src/microg4m_hf/training/tiny_vlm``, which also runs where only the package is installed:
``python -m microg4m_hf.training.tiny_vlm --out FOLDER``.
"""

import sys

from microg4m_hf.training.tiny_vlm.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
