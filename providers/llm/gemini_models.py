"""What each generation of Gemini takes, going by its name, and what its refusals teach.

From the guides to thinking and to each model as of November 2026. A model that nobody knows yet is taken for
one of the newest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from providers.problems import Problem

__all__ = ["LEVELS", "GeminiModel", "gemini_model", "taught"]

LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")  # there is XHIGH too, which no guide gives to a model

SMALLEST_BUDGET = 128  # tokens, of models that cannot but think

_NAME = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class GeminiModel:
    """The abilities of one model; refined by what it refuses."""

    thinking: Literal["none", "budget", "level"]  # how it is told how much to think
    levels: tuple[str, ...]
    least_budget: int  # tokens; 0: its thinking can be switched off
    penalties: bool  # whether it takes frequency and presence penalties
    signs: bool  # whether it demands what it signed, and the ids of its calls
    system: bool  # whether it takes a system instruction


def gemini_model(name: str) -> GeminiModel:
    """What the model of this name takes."""
    own = name.rpartition("/")[2].lower()
    found = _NAME.search(own)
    if found is None and "gemini" not in own:  # Gemma, and tuned models of any base
        return GeminiModel("none", (), 0, True, False, "gemma" not in own)
    version = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    thinking: Literal["none", "budget", "level"] = "level"
    if version < (3, 0):
        thinking = "budget" if version >= (2, 5) else "none"
    return GeminiModel(
        thinking=thinking,
        levels=_levels(version, own) if thinking == "level" else (),
        least_budget=SMALLEST_BUDGET if "pro" in own else 0,
        penalties=version < (3, 5),
        signs=version >= (3, 0),
        system=True,
    )


def _levels(version: tuple[int, int], own: str) -> tuple[str, ...]:
    if "pro" in own:
        return LEVELS[1:] if version >= (3, 1) else ("LOW", "HIGH")
    return LEVELS if version < (3, 7) or "lite" in own else LEVELS[1:]


def taught(model: GeminiModel, body: Mapping[str, Any], problem: Problem) -> GeminiModel | None:
    """The model as its refusal of `body` shows it; None where that says nothing that we could change."""
    if problem.status != 400:
        return None
    text = problem.message.lower()
    config = body.get("generationConfig", {})
    if "penalty" in text and {"frequencyPenalty", "presencePenalty"} & config.keys():
        return replace(model, penalties=False)
    if "developer instruction" in text or "system instruction" in text or "system_instruction" in text:
        return replace(model, system=False) if model.system and "systemInstruction" in body else None
    thinking = config.get("thinkingConfig")
    if thinking is None or not re.search(r"thinking|budget", text):
        return None
    level = thinking.get("thinkingLevel")
    if level is not None:
        others = tuple(other for other in model.levels if other != level)
        # A model that has no such thing at all does not name the level.
        known = others if re.search(rf"(?<![a-z]){level.lower()}(?![a-z])", text) else ()
        return replace(model, levels=known, thinking="level" if known else "none")
    if thinking.get("thinkingBudget") == 0 and model.least_budget == 0:
        return replace(model, least_budget=SMALLEST_BUDGET)
    return replace(model, thinking="none")
