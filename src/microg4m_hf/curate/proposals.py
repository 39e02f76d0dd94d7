"""The stages ``actions`` and ``texts``: what the models of the settings propose about the clips that are kept.

A stage without a model is skipped. What is proposed is shown to reviewers; nothing of it is released by itself.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import RecipeError
from ..inference.api.client import Endpoint
from ..inference.isolated.runner import IsolatedEnvironment
from ..inference.items import TextSettings
from ..inference.text_prediction import resolve_settings
from .action_proposals import identify_model, proposal_journal, tracks_item
from .drafting import FOLDER as TEXTS, draft_share, text_settings
from .protocols import DraftSettings
from .reviews import read_tracks, reviewed_state
from .verdicts import judge_clips
from .work import Work

STAGES = ("actions", "texts")


def kept_clips(work: Work) -> list[str]:
    """Return the clips that models are asked about: those that people kept, and where nobody decided, the filter."""
    verdicts = judge_clips(work)
    states = reviewed_state(work.folder, clips=verdicts)
    return [name for name, one in verdicts.items() if (one.kept if states[name].keep is None else states[name].keep)]


def has_model(work: Work, stage: str) -> bool:
    """Return whether the settings name a model for ``actions`` or ``texts``."""
    return getattr(work.settings, stage).model is not None


def check_models(work: Work, stages: tuple[str, ...], world_size: int = 1) -> None:
    """Raise for a model that is not there, before the stages that take hours.

    Args:
        work: The work folder.
        stages: The stages that will run.
        world_size: The number of processes.

    Raises:
        ModelError: There is no such model.
        RecipeError: The settings cannot be used.
    """
    if "actions" in stages and has_model(work, "actions"):
        identify_model(str(work.settings.actions.model))
    if "texts" in stages and has_model(work, "texts"):
        if work.settings.texts.runner == "api" and world_size > 1:
            raise RecipeError(
                "texts.runner=api needs a single process; add --until actions here, and run the texts with one process"
            )
        _resolve(work.settings.texts)


def draft_stage(work: Work, names: list[str], rank: int, retry_failed: bool) -> dict[str, Any]:
    """Draft what is missing for some clips with the model of the settings, and return the summary of all clips.

    Args:
        work: The work folder.
        names: The clips of this process.
        rank: The number of this process.
        retry_failed: Ask again what failed before.
    """
    settings, options = _resolve(work.settings.texts)
    return draft_share(work.folder, settings, kept_clips(work), names, rank, retry_failed=retry_failed, **options)


def _resolve(texts: DraftSettings) -> tuple[TextSettings, dict[str, Any]]:
    """Return the settings of the requests, and where the model runs."""
    names = ("runner", "revision", "frames", "max_new_tokens", "temperature", "seed")
    settings = text_settings(str(texts.model), **{name: getattr(texts, name) for name in names})
    options: dict[str, Any] = {}
    if texts.runner == "api":
        options["endpoint"] = Endpoint(texts.base_url or "", key_env=texts.key_env).resolve()
    if texts.runner == "isolated" and texts.python is not None:
        options["environment"] = IsolatedEnvironment(texts.python)
    return resolve_settings(settings, options.get("environment")), options


def describe_proposals(work: Work) -> dict[str, Any]:
    """Return for ``actions`` and ``texts`` the model of the settings and what was asked with the newest model.

    Args:
        work: The work folder.

    Returns:
        ``"actions"`` with the same counts as other stages, and ``"texts"`` with the content of
        ``stages/texts/results.json``; both None where no model was asked.
    """
    records = proposal_journal(work.folder).records()
    asked = None
    if records:
        tracks = {name: read_tracks(work.folder, name) for name in kept_clips(work)}
        items = {name: tracks_item(name, found) for name, found in tracks.items() if found.people}
        found = {name: records[item] for name, item in items.items() if item in records}
        why = {name: record.get("why", "") for name, record in found.items() if record["status"] != "ok"}
        asked = {"items": len(items), "done": len(found) - len(why), "failed": len(why), "why": why}
    try:
        texts = json.loads((work.folder / TEXTS / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        texts = None
    return {
        "actions": {"model": work.settings.actions.model, "asked": asked},
        "texts": {"model": work.settings.texts.model, "asked": texts},
    }
