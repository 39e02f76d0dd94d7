"""Make a dataset of your own footage: cut, find people, draft texts, let people review, release."""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .action_proposals import propose_actions as propose_actions
    from .agreement import measure_agreement as measure_agreement, nominal_alpha as nominal_alpha
    from .drafting import draft_texts as draft_texts, read_drafts as read_drafts, text_settings as text_settings
    from .exchange import export_review as export_review, import_review as import_review
    from .footage import init_work as init_work
    from .page.review_app import review_work as review_work
    from .people.tracker import track_people as track_people
    from .protocols import CurateSettings as CurateSettings
    from .question_rules import choose_questions as choose_questions
    from .release_folder import release_work as release_work
    from .review_log import ReviewLog as ReviewLog
    from .reviews import reviewed_state as reviewed_state
    from .stages import run_work as run_work
    from .verdicts import judge_clips as judge_clips
    from .watching import WatchSettings as WatchSettings, watch_film as watch_film
    from .work import Work as Work

__getattr__, __dir__, __all__ = attach(__name__)
