"""Reproduce published rows: predict or take predictions, score them as published, and judge them."""

from typing import TYPE_CHECKING

from ...lazy import attach

if TYPE_CHECKING:
    from .gap_rows import reproduce_gap as reproduce_gap
    from .har_rows import reproduce_har as reproduce_har
    from .judgement import Allowance as Allowance, Judgement as Judgement, RowResult as RowResult, judge as judge
    from .row_runner import HarOptions as HarOptions

__getattr__, __dir__, __all__ = attach(__name__)
