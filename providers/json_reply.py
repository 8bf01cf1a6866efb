"""Reads the JSON object that a language model was asked for out of what it wrote around it."""

import json
from collections.abc import Collection
from typing import Any

__all__ = ["read_object"]

_MAX_TEXT = 16_384  # characters; more is not looked at
_EFFORT = 2 * _MAX_TEXT  # characters read in all, where one brace after the other begins no object
_LEAST_EFFORT = 512  # counted for each brace, which bounds how many are tried
_THOUGHT_ENDS = ("</think>", "</thinking>")  # as local models mark what they think aloud
_decoder = json.JSONDecoder()


def read_object(text: str, members: Collection[str]) -> dict[str, Any] | None:
    """The first JSON object in `text` that has one of these members; None where there is none.

    Models put it in a code fence, explain it, or think aloud before it. Never raises. Takes microseconds for
    an answer such as one asks for, and at most a few milliseconds.
    """
    text = text[:_MAX_TEXT]
    for end in _THOUGHT_ENDS:
        text = text.rpartition(end)[2]
    effort, at = _EFFORT, text.find("{")
    while at >= 0 and effort > 0:
        try:
            value, end_of_value = _decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            effort -= max(_LEAST_EFFORT, error.pos - at)
        except (ValueError, RecursionError):  # a figure, or a nesting, that nobody writes in good faith
            return None
        else:
            if isinstance(value, dict) and any(member in value for member in members):
                return value
            effort -= max(_LEAST_EFFORT, end_of_value - at)
        at = text.find("{", at + 1)
    return None
