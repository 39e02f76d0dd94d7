"""Every supported version of ``datasets`` passes the checks of docs/dataset_versions.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from microg4m_hf.data import ensure_sample
from tests.support.dataset_versions import DOWNLOAD_ERRORS, TABLE, lower_bounds, render_page, run_all_checks


@pytest.mark.slow
def test_every_version_of_datasets(own_home: Path) -> None:
    try:
        results = run_all_checks(Path(ensure_sample()))
    except RuntimeError as error:
        if any(sign in str(error) for sign in DOWNLOAD_ERRORS):
            pytest.skip(f"the packages cannot be downloaded: {str(error)[:300]}")
        raise
    for name, result in results.items():
        scripts_run = name in ("lowest", "3.6")
        for what, word in result["outcome"].items():
            if what == "legacy script" and not scripts_run:
                assert "no longer supported" in word, (name, word)
            else:
                assert word == "yes", (name, what, word, result["log"][-3000:])
    installed = results["lowest"]["versions"]
    for package, bound in lower_bounds().items():
        if package in installed:
            assert (installed[package] + ".0.0").startswith(bound), f"{package} is not at its lower bound {bound}"
    assert render_page(results) == TABLE.read_text(), "python -m tests.support.dataset_versions updates the page"
