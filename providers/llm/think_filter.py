"""Takes reasoning out of streamed text: what local models put between `<think>` and `</think>`."""

import re

__all__ = ["ThinkFilter"]

_OPEN = re.compile(r"<(?:think|thinking|reasoning)>")
_CLOSE = re.compile(r"</(?:think|thinking|reasoning)>")
_TAGS = tuple(f"<{slash}{name}>" for slash in ("", "/") for name in ("think", "thinking", "reasoning"))


class ThinkFilter:
    """Feed it pieces of text, get what may be spoken. A tag may be cut anywhere."""

    def __init__(self) -> None:
        self._held = ""  # may turn out to be a tag
        self._inside = False
        self._at_start = True  # white space around a leading block is not part of the answer

    def feed(self, text: str) -> str:
        if not self._held and not self._inside and not self._at_start and "<" not in text:
            return text
        text, self._held, spoken = self._held + text, "", ""
        while text:
            tag = (_CLOSE if self._inside else _OPEN).search(text)
            if tag is None and not self._inside:
                # Some templates put the opening tag into the prompt, so only the closing one is seen.
                tag = _CLOSE.search(text)
            if tag is None:
                kept = len(text) - _partial_tag(text)
                self._held = text[kept:]
                spoken += "" if self._inside else text[:kept]
                break
            if not self._inside:
                spoken += text[: tag.start()]
            self._inside = not tag[0].startswith("</")
            text = text[tag.end() :]
        if self._at_start:
            spoken = spoken.lstrip()
            self._at_start = not spoken
        return spoken

    def flush(self) -> str:
        """What was held back and is no tag after all; unfinished reasoning is dropped."""
        held, self._held = self._held, ""
        return "" if self._inside else held


def _partial_tag(text: str) -> int:
    """How many characters at the end may be the beginning of a tag."""
    start = text.rfind("<")
    tail = text[start:] if start >= 0 else ""
    return len(tail) if tail and any(tag.startswith(tail) for tag in _TAGS) else 0
