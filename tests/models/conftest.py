"""Markers of transformers' own tests, which pytest must know before ``test_transformers_common.py`` is read."""

from __future__ import annotations

import pytest

_MARKERS = "accelerate_tests flash_attn_test flash_attn_3_test flash_attn_4_test torch_compile_test generate order"


def pytest_configure(config: pytest.Config) -> None:
    for name in _MARKERS.split():
        config.addinivalue_line("markers", f"{name}: a marker of transformers' own tests")
