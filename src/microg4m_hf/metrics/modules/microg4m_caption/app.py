"""The page of the Space: the card, and a form to try the metric."""

from pathlib import Path

import evaluate
from evaluate.utils import launch_gradio_widget

launch_gradio_widget(evaluate.load(str(Path(__file__).parent / "microg4m_caption.py")))
