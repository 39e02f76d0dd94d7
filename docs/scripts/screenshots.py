"""Take the picture of the explorer for its guide: ``python -m docs.scripts.screenshots`` (needs Chromium).

It shows the built-in sample and two runs of random quality, so everybody gets the same picture.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from microg4m_hf.bench.explorer import explore
from tests.support.browser import Browser
from tests.support.report_runs import har_run, labeled_items

from .links import PROJECT

CLIP, FRAME = "DriftHome_019", 60
COLORS = 96  # of the picture, which is then a quarter as large
_VIDEO = "document.querySelector('.mg-stage video')"


def draw_explorer(target: Path = PROJECT / "docs" / "assets" / "explorer.png") -> None:
    """Save the explorer at 1,200 × 960 pixels, with a clip at a frame with boxes."""
    with tempfile.TemporaryDirectory() as name:
        folder, items = Path(name), labeled_items()
        runs = [har_run(folder / run, items, noise=2.5 + seed, seed=seed) for seed, run in enumerate(("x3d", "slow"))]
        page, browser = explore(runs, source="sample", port=0, block=False), Browser(folder / "profile")
        try:
            browser.open(f"{page.local_url}?clip={CLIP}&run=x3d&other=slow", width=1200, height=960)
            browser.wait_for(
                f"document.querySelector('#mg-title')?.textContent === '{CLIP}' && {_VIDEO}.readyState > 2"
            )
            browser.evaluate(
                f"({_VIDEO}.pause(), {_VIDEO}.controls = false, {_VIDEO}.currentTime = {FRAME - 0.5} / 30)"
            )
            browser.wait_for(f"document.querySelector('.mg-boxes').dataset.frame === '{FRAME}' && !{_VIDEO}.seeking")
            browser.wait_for("[...document.images].every(one => one.complete && one.naturalWidth)")
            browser.screenshot(target, 960)
        finally:
            browser.close()
            page.close(verbose=False)
    Image.open(target).convert("RGB").quantize(COLORS).save(target, optimize=True)


if __name__ == "__main__":
    draw_explorer()
