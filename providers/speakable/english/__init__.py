"""Figures and signs in English words, for voices that do not read them well by themselves."""

import re
from collections.abc import Callable, Iterator

from providers.speakable.english.amounts import AMOUNTS
from providers.speakable.english.calendar import CALENDAR, day_first
from providers.speakable.english.signs import LAST, SIGNS
from providers.speakable.pieces import Edit

__all__ = ["find_numbers"]

Say = Callable[[re.Match[str]], str | None]

# In the order in which they are tried at each place: the longer and stricter forms first.
_RULES: dict[str, tuple[str, Say]] = {**CALENDAR, **SIGNS, **AMOUNTS, **LAST}
# Tells at nearly every place that there is nothing, faster than each of the rules does.
_FIRST = (
    r"(?=[\d+−$€£¥₹₩₽₿(~≈≤≥<>±#№√½⅓⅔¼¾⅕⅛²³^=×÷*&@'’–-]|[ ][-=+−×*·÷/<>!≤≥≠≈±^]|\b[ACDFHJMNOSUVaeinvwEIW])"
)
_PATTERN = re.compile(
    f"{_FIRST}(?:" + "|".join(f"(?P<{name}>{pattern})" for name, (pattern, _) in _RULES.items()) + ")",
    re.ASCII,
)
# Whoever has learnt English elsewhere, or speaks it in Britain or Australia, writes the day first.
_MONTH_FIRST = frozenset({"en", "en-us", "en-ph"})
# Without one of these there is nothing to find.
_SIGN = re.compile(r"[0-9½⅓⅔¼¾⅕⅛²³&@×÷≤≥≠≈±√=+<>^]|\.[gegs.]|approx|vs\.|w/o")


def find_numbers(language: str) -> Callable[[str], Iterator[Edit]]:
    """What finds figures and signs in a text, and how they are said; `language` is a kind of English."""
    says: dict[str, Say] = {name: say for name, (_, say) in _RULES.items()}
    if language.lower() not in _MONTH_FIRST:
        says["slash"] = day_first

    def find(text: str) -> Iterator[Edit]:
        if not _SIGN.search(text):
            return
        for match in _PATTERN.finditer(text):
            said = says[match.lastgroup or ""](match)
            if said is not None:
                yield Edit(match.start(), match.end(), said)

    return find
