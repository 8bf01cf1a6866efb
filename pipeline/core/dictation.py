"""Digits and letters that are being dictated at the end of a text, and whether all of them are there.

Numbers are dictated in groups with pauses as long as those between turns, so that neither the sound nor the
grammar shows the end. What shows it is how many there are: telephone numbers, cards and codes have usual
lengths.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipeline.core.words.lexicon import words

__all__ = ["WORD", "Dictation", "judge_dictation"]

_DIGIT_WORDS = words("""
    zero oh one two three four five six seven eight nine
    null eins zwei zwo drei vier fünf sechs sieben acht neun
    cero uno dos tres cuatro cinco seis siete ocho nueve
    zéro un deux trois quatre cinq six sept huit neuf
    due tre quattro cinque sei sette otto nove
    um dois três quatro seis sete oito meia
""")
_TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")
_TEENS = words("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
_REPEATS = {"double": 1, "triple": 2, "doppel": 1, "doble": 1, "doppio": 1}

# What the number is, by words before it; the most telling come first. Languages share the table, since their
# words do not collide.
Kind = Literal[
    "last four", "security", "pin", "zip", "social", "card", "phone", "code", "reference", "number"
]
_NAMES: dict[Kind, str] = {
    "last four": "ends ending",
    "security": "security cvv cvc",
    "pin": "pin pincode",
    "zip": "zip zipcode postleitzahl plz",
    "social": "social ssn",
    "card": """
        card credit debit visa mastercard amex karte kreditkarte kartennummer tarjeta carte carta cartão
    """,
    "phone": """
        phone telephone cell mobile cellphone landline fax call reach telefon telefonnummer handynummer handy
        teléfono móvil celular téléphone portable telefono cellulare telefone telemóvel
    """,
    "code": "code passcode otp verification confirmation código codice",
    "reference": """
        account order reference tracking booking reservation policy serial invoice customer member ticket
        iban routing passport licence license flight case bestellnummer kundennummer
    """,
    "number": "number digits nummer número numéro numero",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in words(names)}

# How many digits there are when all are there: the North American numbering plan (with the 1 in front), cards
# by ISO/IEC 7812 as they are in use, ZIP and ZIP+4, a social security number or the end of one.
_LENGTHS: dict[Kind, tuple[int, ...]] = {
    "phone": (10, 11),
    "card": (15, 16),
    "last four": (4,),
    "security": (3, 4),
    "pin": (4, 6),
    "code": (4, 6),
    "zip": (5, 9),
    "social": (4, 9),
    "number": (10, 11),
}
# From where on nobody can tell, because there are shorter numbers of the kind, or longer ones.
_DOUBTFUL_FROM: dict[Kind, int] = {
    "phone": 7,
    "card": 17,
    "last four": 5,
    "security": 5,
    "pin": 7,
    "code": 7,
    "zip": 10,
    "social": 10,
    "reference": 5,
    "number": 7,
}

# Words that a number may follow directly; behind others, as in "iPhone 15", it is part of a name.
_LINKS = words("""
    is are was it's that's its number code pin card zip ssn ending in with digits and okay yes yeah so um uh
    sure area on at ist lautet es está est è é sono
""")
_QUANTIFIED = words("the this that first another which next number only no any every some each last")
_CLOCK = words("at by until till around before after from um")
_COUNTED = (["one", "two"], ["one", "two", "three"], ["1", "2"], ["1", "2", "3"])  # tests of a microphone
_LETTER_CUES = words(
    "spell spelled spelt spelling letters letter initials plate postcode registration buchstabiert"
)
_LETTER_NAMES = words("zed zee")
_COMPARED = words("as like for wie como comme come")  # "b for boy"
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*'?")
_GAP = re.compile(r"[\s\-–.,()+]{1,4}")
_MAX_RUN = 24  # tokens
_CONTEXT = 14  # tokens before the run


class _Token(NamedTuple):
    text: str  # in lower case
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Dictation:
    """What the end of a text dictates."""

    cue: Literal["digits", "spelling"]
    state: Literal["all", "some", "unclear"]  # whether more must come; unclear: as many as some numbers have
    count: int


def judge_dictation(text: str, words: Sequence[str]) -> Dictation | None:
    """What is being dictated at the end, or None. `words` are all those of the lower-case `text`."""
    if _is_named_letter(words):
        return Dictation("spelling", "some", 1)
    if not words or not _is_symbol(words[-1]):
        return None
    tokens = [_Token(match[0], match.start(), match.end()) for match in WORD.finditer(text)]
    run = _run(text, tokens)
    before = tokens[max(0, len(tokens) - len(run) - _CONTEXT) : len(tokens) - len(run)]
    if not run:
        return None
    digits, groups, letters = _count(run)
    if letters:
        spelled = any(token.text in _LETTER_CUES for token in before)
        if letters + digits >= 3 or (spelled and letters + digits >= 1):
            return Dictation("spelling", "some", letters + digits)
        return None
    if not digits or _is_ordinary(text, run, groups, before):
        return None
    kinds = {_KINDS[token.text] for token in before if token.text in _KINDS}
    if not kinds:
        return _without_context(run, digits, groups)
    if digits < 3 and (not before or before[-1].text not in _LINKS):
        return None
    kind = next(kind for kind in _NAMES if kind in kinds)
    return Dictation("digits", _state(kind, digits, groups, text[run[0].start - 1 : run[0].start]), digits)


def _run(text: str, tokens: Sequence[_Token]) -> list[_Token]:
    """The digits and letters at the end, in their order."""
    run: list[_Token] = []
    for token in reversed(tokens[-_MAX_RUN:]):
        if run:
            gap = text[token.end : run[-1].start]
            if not _GAP.fullmatch(gap) or gap in (".", ","):  # decimals, thousands
                # The rest of a number such as 3.14 is not dictated.
                return [] if gap in (".", ",") and token.text.isdecimal() else run[::-1]
        elif text[token.end :].strip(" .,;!?-–—…"):
            return []  # as in "50 %"
        if not _is_symbol(token.text):
            break
        run.append(token)
    run.reverse()
    while run and run[0].text in {"a", "i", "o", "y", "e"} and len(run) > 1 and run[1].text[0].isdecimal():
        del run[0]  # the word, not the letter: "give me a 5"
    return run


def _is_symbol(word: str) -> bool:
    return (
        word.isdecimal()
        or (len(word) == 1 and word.isalpha())
        or word in _DIGIT_WORDS
        or word in _TENS
        or word in _TEENS
        or word in _REPEATS
        or word in _LETTER_NAMES
    )


def _count(run: Sequence[_Token]) -> tuple[int, list[int], int]:
    """Digits, the lengths of the groups that they came in, letters."""
    groups: list[int] = []
    letters = 0
    repeat = 0
    for index, token in enumerate(run):
        word, count = token.text, 0
        if word in _REPEATS:
            repeat = _REPEATS[word]
            continue
        if word.isdecimal():
            count = len(word)
        elif word in _TEENS:
            count = 2
        elif word in _TENS:  # "forty two" are two digits, and so are "forty" alone
            count = 1 if index + 1 < len(run) and run[index + 1].text in _DIGIT_WORDS else 2
        elif word in _DIGIT_WORDS or (word == "o" and len(run) > 1):
            count = 1
        else:
            letters += 1 + repeat
        if count:
            groups.append(count + repeat)
        repeat = 0
    return sum(groups), groups, letters


def _is_ordinary(text: str, run: Sequence[_Token], groups: Sequence[int], before: Sequence[_Token]) -> bool:
    """Whether the number is a quantity, a time or a count-up rather than something dictated."""
    if run[0].start and text[run[0].start - 1] in "$€£¥#/:":
        return True
    if before and before[-1].text in _QUANTIFIED and sum(groups) < 3:
        return True
    spoken = [token.text for token in run]
    if spoken in _COUNTED and (not before or before[-1].text not in _LINKS):
        return True
    if before and before[-1].text in _CLOCK:
        return sum(groups) < 5  # the time of day
    return len(run) == 1 and len(spoken[0]) == 4 and spoken[0][:2] in {"19", "20"} and before[-1:] != []


def _without_context(run: Sequence[_Token], digits: int, groups: Sequence[int]) -> Dictation | None:
    singles = not any(
        len(token.text) > 1 if token.text.isdecimal() else token.text in _TENS or token.text in _TEENS
        for token in run
    )
    if singles and digits >= 3 and len(run) >= 3:
        if digits in (10, 11, 16):
            return Dictation("digits", "all", digits)
        return Dictation("digits", "unclear" if digits == 7 or digits > 11 else "some", digits)
    for whole in ([3, 3, 4], [1, 3, 3, 4], [4, 4, 4, 4], [4, 6, 5]):
        if list(groups) == whole:
            return Dictation("digits", "all", digits)
        if len(groups) > 1 and list(groups) == whole[: len(groups)]:
            return Dictation("digits", "some", digits)
        last = len(groups) - 1
        if 2 <= last < len(whole) and list(groups[:last]) == whole[:last] and groups[last] < whole[last]:
            return Dictation("digits", "some", digits)
    if digits >= 5 and len(groups) >= 2:
        if digits in (10, 11, 16):
            return Dictation("digits", "all", digits)
        return Dictation("digits", "some" if digits < 7 else "unclear", digits)
    return None


def _state(kind: Kind, digits: int, groups: Sequence[int], sign: str) -> Literal["all", "some", "unclear"]:
    if kind in ("phone", "number") and list(groups[:2]) == [3, 3] and digits < 10:
        return "some"  # the North American pattern, of which the last group is missing
    if sign == "+":
        return "some" if digits < 10 else "unclear"
    if digits in _LENGTHS.get(kind, ()):
        return "all"
    return "some" if digits < _DOUBTFUL_FROM[kind] else "unclear"


def _is_named_letter(words: Sequence[str]) -> bool:
    """Whether the last thing spelled is told by a word: "b as in boy"."""
    if len(words) >= 4 and words[-3:-1] == ["as", "in"] and len(words[-4]) == 1:
        return True
    if len(words) >= 3 and words[-2] in _COMPARED and len(words[-3]) == 1 and words[-3] not in "aioyeé":
        return True
    return words[-2:] == ["double", "u"]
