"""The page of the Space: the card, and a form to try the metric."""

from pathlib import Path

from microg4m_hf.metrics.space_page import space_page

demo = space_page(Path(__file__).resolve().parent)

if __name__ == "__main__":
    demo.launch(max_file_size="50mb")
