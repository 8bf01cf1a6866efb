"""The directive grammar of `builtin/echo`: what a user or the instructions may ask of it.

    [[say TEXT]]            answer exactly TEXT; ends at the first `]]`
    [[words N]]             answer N counting words, at most 10 000
    [[think MS]]            wait before the first token, at most 60 000 ms
    [[pace MS]]             wait between tokens, at most 60 000 ms
    [[call NAME {json}]]    call that tool; without JSON the arguments are {}
    [[fail KIND]]           server_error, rate_limit, timeout, auth, or drop (mid-stream)
    [[finish REASON]]       length or content_filter

What does not match the grammar exactly is not a directive but plain text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

__all__ = ["Call", "Directives", "FailKind", "FinishReason", "counting_words", "parse"]

MAX_DELAY_MS = 60_000
MAX_WORDS = 10_000

FailKind = Literal["server_error", "rate_limit", "timeout", "auth", "drop"]
FinishReason = Literal["length", "content_filter"]

_KEYWORD = re.compile(r"\[\[(say|words|think|pace|call|fail|finish)(?=\s|\]\])")
_CALL_NAME = re.compile(r"\s+([A-Za-z0-9_.:-]+)\s*")
_CLOSE = re.compile(r"\s*\]\]")
_JSON = json.JSONDecoder()

_UNITS = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: str  # the JSON text exactly as it was written


@dataclass(slots=True)
class Directives:
    """Everything that one text asks for."""

    found: bool = False
    answers: list[str] = field(default_factory=list)  # of say and words, in order
    calls: list[Call] = field(default_factory=list)
    think_s: float = 0.0
    pace_s: float = 0.0
    fail: FailKind | None = None
    finish: FinishReason | None = None
    rest: str = ""  # the text without its directives


def counting_words(count: int) -> str:
    """`count` words: "one two three ..."; figures from 100 on, a comma after each tenth for clauses."""
    return " ".join(_counted(count))


def _counted(count: int) -> Iterator[str]:
    for number in range(1, count + 1):
        yield _number_word(number) + ("," if number % 10 == 0 and number < count else "")


def _number_word(number: int) -> str:
    if number < 20:
        return _UNITS[number - 1]
    if number < 100:
        tens, unit = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_UNITS[unit - 1]}" if unit else "")
    return str(number)


def parse(text: str) -> Directives:
    """Read all directives of a text; the last one wins where only one can count."""
    result = Directives()
    plain: list[str] = []
    position = 0
    while match := _KEYWORD.search(text, position):
        plain.append(text[position : match.start()])
        end = _read(match[1], text, match.end(), result)
        if end is None:  # malformed: keep it as text, and look for others behind its brackets
            end = match.start() + 2
            plain.append("[[")
        else:
            result.found = True
        position = end
    plain.append(text[position:])
    result.rest = "".join(plain).strip()
    return result


def _read(keyword: str, text: str, start: int, into: Directives) -> int | None:
    """Take one directive whose keyword ends at `start`; the position behind it, or None if malformed."""
    if keyword == "call":
        return _read_call(text, start, into)
    end = text.find("]]", start)
    if end < 0 or not _apply(keyword, text[start:end].strip(), into):
        return None
    return end + 2


def _apply(keyword: str, value: str, into: Directives) -> bool:
    if keyword == "say":
        into.answers.append(value)
    elif keyword == "fail" and value in get_args(FailKind):
        into.fail = value  # type: ignore[assignment]
    elif keyword == "finish" and value in get_args(FinishReason):
        into.finish = value  # type: ignore[assignment]
    # Nine digits are more than any bound, and keep int() cheap.
    elif keyword in ("words", "think", "pace") and re.fullmatch(r"[0-9]{1,9}", value):
        number = int(value)
        if keyword == "words":
            into.answers.append(counting_words(min(number, MAX_WORDS)))
        elif keyword == "think":
            into.think_s = min(number, MAX_DELAY_MS) / 1000
        else:
            into.pace_s = min(number, MAX_DELAY_MS) / 1000
    else:
        return False
    return True


def _read_call(text: str, start: int, into: Directives) -> int | None:
    name = _CALL_NAME.match(text, start)
    if name is None:
        return None
    position, arguments = name.end(), "{}"
    if text.startswith("{", position):
        try:
            _, end = _JSON.raw_decode(text, position)
        except (ValueError, RecursionError):
            return None
        position, arguments = end, text[position:end]
    close = _CLOSE.match(text, position)
    if close is None:
        return None
    into.calls.append(Call(name[1], arguments))
    return close.end()
