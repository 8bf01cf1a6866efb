"""What each generation of Claude takes, going by its name, and what its refusals teach.

From the documentation of the API as of November 2026 (thinking, effort, the pages on what is new in each
model, the overview of the models). A model that nobody knows yet is taken for one of the newest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from providers.problems import Problem

__all__ = ["ClaudeModel", "claude_model", "taught"]

EFFORTS = ("low", "medium", "high", "xhigh")  # there is "max" too, for which the protocol has no word

_NAME = re.compile(r"claude-(?:[a-z]+-)?(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?![\d])")


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """The abilities of one model; refined by what it refuses."""

    max_tokens: int  # the most that it writes, thinking included
    thinking: Literal["none", "budget", "adaptive"]  # how it is told to think
    thinks_unasked: bool  # whether it does so by itself
    off: tuple[str, ...]  # types of `thinking` that may stop it, the first one first
    efforts: tuple[str, ...]  # none: it does not know the word
    samples: bool  # whether it takes temperature and top_p
    samples_both: bool  # whether it takes them together
    forces_tools: bool  # whether it can be made to call
    system_turns: bool  # whether system messages may stand within the conversation


def claude_model(name: str) -> ClaudeModel:
    """What the model of this name takes."""
    own = name.rpartition("/")[2].lower()
    found = _NAME.search(own)
    if found is None and "claude" not in own:  # another maker's model behind the same API
        return ClaudeModel(8_192, "none", False, (), (), True, True, True, False)
    if found is None:
        version = (99, 0)
    else:
        version = (int(found["major"]), int(found["minor"] or 0))
    family = next((word for word in ("opus", "sonnet", "haiku", "fable", "mythos") if word in own), "")
    newest_kind = family in ("fable", "mythos")  # these have always been adaptive
    adaptive = version >= (4, 6) or newest_kind
    return ClaudeModel(
        max_tokens=_max_tokens(version, family),
        thinking="adaptive" if adaptive else "budget" if version >= (3, 7) else "none",
        thinks_unasked=version >= (5, 0) or newest_kind,
        off=_off(version, family),
        efforts=EFFORTS
        if version >= (4, 7)
        else EFFORTS[:3]
        if adaptive or _is_opus_45(version, family)
        else (),
        samples=version < (4, 7) and not newest_kind,
        samples_both=version < (4, 1),
        forces_tools=version < (5, 1),
        system_turns=version >= (5, 1) or (version >= (4, 8) and family == "opus"),
    )


def _is_opus_45(version: tuple[int, int], family: str) -> bool:
    return family == "opus" and version == (4, 5)


def _max_tokens(version: tuple[int, int], family: str) -> int:
    if version >= (4, 6) or family in ("fable", "mythos"):
        return 128_000
    if version >= (3, 7):
        return 32_000 if family == "opus" and version < (4, 5) else 64_000
    return 8_192 if version >= (3, 5) else 4_096


def _off(version: tuple[int, int], family: str) -> tuple[str, ...]:
    if family in ("fable", "mythos") or (family == "opus" and version == (5, 5)):
        return ()
    if family == "sonnet" and version >= (5, 5):
        return ("between_tools", "disabled")
    return ("disabled", "between_tools")


_CAP = re.compile(r"max_tokens: (\d{1,9}) > (\d{1,9})")
_TYPE = re.compile(r"thinking\.type\.(\w+)")


def taught(model: ClaudeModel, body: Mapping[str, Any], problem: Problem) -> ClaudeModel | None:
    """The model as its refusal of `body` shows it; None where that says nothing that we could change."""
    if problem.status not in (400, 422):
        return None
    text = problem.message
    if (cap := _CAP.search(text)) and 0 < int(cap[2]) < model.max_tokens:
        return replace(model, max_tokens=int(cap[2]))
    if model.system_turns and re.search(r"(?i)role\W+system|system\W+role|system messages?", text):
        return replace(model, system_turns=False)
    choice = body.get("tool_choice", {}).get("type")
    if choice in ("any", "tool") and model.forces_tools and re.search(r"(?i)tool_choice|forced? tool", text):
        return replace(model, forces_tools=False)
    if {"temperature", "top_p"} <= body.keys() and "both" in text:
        return replace(model, samples_both=False)
    if {"temperature", "top_p"} & body.keys() and re.search(r"(temperature|top_p)\W.*deprecated", text):
        return replace(model, samples=False)
    thinking = body.get("thinking", {}).get("type")
    if thinking and "thinking" in text.lower():
        named = _TYPE.search(text)
        refused = named[1] if named else thinking
        if refused in model.off:
            return replace(model, off=tuple(kind for kind in model.off if kind != refused))
        if refused == "enabled" and "adaptive" in text:
            return replace(model, thinking="adaptive", efforts=model.efforts or EFFORTS[:3])
        return replace(model, thinking="none") if model.thinking != "none" else None
    effort = body.get("output_config", {}).get("effort")
    if effort and "effort" in text.lower():
        others = tuple(level for level in model.efforts if level != effort)
        # A model that has no such thing says so of all its levels.
        return replace(model, efforts=others if f"'{effort}'" in text or f'"{effort}"' in text else ())
    return None
