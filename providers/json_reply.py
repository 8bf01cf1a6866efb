"""Reads the JSON object that a language model was asked for out of what it wrote around it."""

import json
import re
from collections.abc import Collection
from typing import Any

__all__ = ["read_object"]

_MAX_TEXT = 32 * 1024  # characters; longer answers are not looked at beyond
_MAX_TRIES = 8  # braces that might begin the object; a text with more of them is something else
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)  # as local models write them
_decoder = json.JSONDecoder()


def read_object(text: str, members: Collection[str]) -> dict[str, Any] | None:
    """The first JSON object in `text` that has one of these members; None where there is none.

    Models put it in a code fence, explain it, or think aloud before it. Never raises; takes less than a
    millisecond for the answers that one asks for.
    """
    text = _THOUGHTS.sub("", text[:_MAX_TEXT])
    at = -1
    for _ in range(_MAX_TRIES):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            value, _ = _decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # what is nested without end was not written in good faith
            continue
        if isinstance(value, dict) and any(member in value for member in members):
            return value
    return None
