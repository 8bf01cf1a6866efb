"""Telephone numbers, versions, signs of arithmetic and plain numbers in English words."""

import re

from providers.speakable.english.amounts import NUMBER
from providers.speakable.english.numerals import decimal, digits, ordinal

__all__ = ["LAST", "SIGNS"]

_OPERATORS = {
    "=": "equals", "+": "plus", "-": "minus", "−": "minus", "×": "times", "*": "times", "·": "times",
    "÷": "divided by", "/": "divided by", "<": "is less than", ">": "is greater than", "≤": "is at most",
    "≥": "is at least", "≠": "is not equal to", "≈": "is about", "±": "plus or minus", "<=": "is at most",
    ">=": "is at least", "!=": "is not equal to", "==": "equals", "^": "to the power of",
}  # fmt: skip
_BEFORE = {
    "~": "about", "≈": "about", "≤": "at most", "≥": "at least", "<": "less than", ">": "more than",
    "±": "plus or minus", "+": "plus", "№": "number", "#": "number", "√": "the square root of",
}  # fmt: skip
_POWERS = {"²": "squared", "³": "cubed", "^2": "squared", "^3": "cubed"}
_ABBREVIATIONS = {
    "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "approx.": "approximately", "w/o": "without",
    "&": "and", "@": "at",
}  # fmt: skip


def phone(match: re.Match[str]) -> str:
    """ "555-123-4567", "(555) 123-4567", "+49 30 123456": digit by digit, in the groups that are written."""
    groups = re.findall(r"\d+", match.group())
    words = ", ".join(digits(group) for group in groups)
    return f"plus {words}" if match.group().startswith("+") else words


def serial(match: re.Match[str]) -> str:
    """ "978-3-16-148410-0", "4111 1111 1111 1111": digit by digit, in the groups that are written."""
    return ", ".join(digits(group) for group in re.findall(r"\d+", match.group()))


def version(match: re.Match[str]) -> str:
    """ "v2", "v1.2", "3.11.4", "192.168.0.1"."""
    parts = match["version"].split(".")
    joint = " dot " if len(parts) == 4 and not match["version_v"] else " point "
    return ("version " if match["version_v"] else "") + joint.join(decimal(part) for part in parts)


def ratio(match: re.Match[str]) -> str:
    """ "3:1"."""
    return f"{decimal(match['ratio'])} to {decimal(match['ratio_to'])}"


def operator(match: re.Match[str]) -> str:
    """ "+" between two terms."""
    return f" {_OPERATORS[match['operator'] or match['operator_tight']]} "


def power(match: re.Match[str]) -> str:
    """ "²" behind a term."""
    return f" {_POWERS[match['power']]}"


def prefix(match: re.Match[str]) -> str:
    """ "~" before a number."""
    return f"{_BEFORE[match['prefix']]} "


def place(match: re.Match[str]) -> str:
    """ "21st"."""
    return ordinal(int(match["place"].replace(",", "")))


def named(match: re.Match[str]) -> str:
    """ "No. 5"."""
    return f"number {decimal(match['named'])}"


def abbreviation(match: re.Match[str]) -> str:
    """ "e.g.", "&"."""
    return _ABBREVIATIONS[(match["short"] or match["short_sign"]).lower()]


def plain(match: re.Match[str]) -> str:
    """ "1,234.5"."""
    return decimal(match["plain"])


_TERM = r"[\w.)\]²³°%π]"
SIGNS = {
    "phone": (
        (
            r"(?<![\w.,/-])(?:\+\d{1,3}(?:[ .-]\(?\d{1,8}\)?){2,6}|(?:1[ .-])?(?:\(\d{3}\)[ ]?|\d{3}[-.])"
            r"\d{3}[-.]\d{4}|\d{3}-\d{4})(?![\w-]|\.\d)"
        ),
        phone,
    ),
    "serial": (r"(?<![\w.,/-])(?:\d{1,8}(?:-\d{1,8}){3,8}|\d{4}(?:[ ]\d{4}){2,4})(?![\w-])", serial),
    "versions": (
        (
            r"(?<![\w.,-])(?:(?P<version_v>[vV])(?=\d)|(?=\d{1,5}\.\d{1,5}\.\d))(?P<version>\d{1,5}(?:\.\d{1,5}){0,3})"
            r"(?![\w]|\.\d)"
        ),
        version,
    ),
    "ratios": (r"(?<![\w.,:])(?P<ratio>\d{1,3}):(?P<ratio_to>\d{1,3})(?![\w:])", ratio),
}
LAST = {
    "places": (r"(?<![\w.,])(?P<place>\d{1,3}(?:,\d{3}){0,3}|\d{1,9})(?:st|nd|rd|th)\b", place),
    "named_": (r"\b[Nn]o\.[ ](?P<named>\d{1,9}+)(?!\w)", named),
    "powers": (r"(?<=[\w)\]])(?P<power>[²³]|\^[23](?![\w]))", power),
    "operators": (
        (
            rf"(?<={_TERM})[ ](?P<operator>[-=+−×*·÷/<>≤≥≠≈±^]|[<>!=]=)[ ](?=[\w(√π$€£+−-])(?=[(√π$€£+−-]?\w)"
            rf"|(?<=[\w)\]²³])(?P<operator_tight>[=×÷≤≥≠]|\^(?=[-−]?\w)|(?<=[\d²³])[+*](?=\d))(?=[\w(√π−-])"
        ),
        operator,
    ),
    "prefixes": (r"(?<![\w.,)²³])(?P<prefix>[~≈≤≥<>±+№#√])[ ]?(?=[\d$€£])", prefix),
    "shorts": (
        r"(?i:\b(?P<short>e\.g\.|i\.e\.|(?:vs|approx)\.|w/o(?!\w))|(?<=[ ])(?P<short_sign>[&@])(?=[ ]))",
        abbreviation,
    ),
    "numbers": (rf"(?<![\w.,])(?P<plain>(?:(?<![\w)\]])[-−])?{NUMBER})(?!\w|[.,]\d)", plain),
}
