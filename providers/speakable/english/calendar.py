"""Dates, times and years in English words."""

import re

from providers.speakable.english.amounts import DASH
from providers.speakable.english.numerals import cardinal, ordinal, plural, year

__all__ = ["CALENDAR", "day_first"]

_NAMES = "January February March April May June July August September October November December"
_MONTHS = _NAMES.split()
_MONTH = "|".join(_MONTHS) + r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1[1-9]|20)\d\d"
_END = r"(?![\w]|[.,]\d)"


def iso_date(match: re.Match[str]) -> str:
    """ "2024-05-01"."""
    return _date(int(match["iso_month"]), int(match["iso_day"]), int(match["iso_year"]))


def month_first(match: re.Match[str]) -> str | None:
    """ "5/1/2024", read as the first of May unless that cannot be."""
    return _numeric(int(match["slash_a"]), int(match["slash_b"]), int(match["slash_year"]))


def day_first(match: re.Match[str]) -> str | None:
    """ "5/1/2024", read as the fifth of January unless that cannot be."""
    return _numeric(int(match["slash_b"]), int(match["slash_a"]), int(match["slash_year"]))


def on_day(match: re.Match[str]) -> str | None:
    """ "on 3/14"; the second of two that could both be the month is the day."""
    month, day = int(match["on_a"]), int(match["on_b"])
    if month > 12:
        month, day = day, month
    return f"{_MONTHS[month - 1]} {ordinal(day)}" if 1 <= month <= 12 and 1 <= day <= 31 else None


def _numeric(month: int, day: int, in_year: int) -> str | None:
    if month > 12:
        month, day = day, month
    return _date(month, day, in_year) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _date(month: int, day: int, in_year: int) -> str:
    return f"{_MONTHS[month - 1]} {ordinal(day)}, {year(in_year)}"


def month_day(match: re.Match[str]) -> str:
    """ "May 1", "Dec. 24th, 2024", "May 3-5"."""
    words = f"{_month(match['md_month'])} {ordinal(int(match['md_day']))}"
    if match["md_to"]:
        words += f" to {ordinal(int(match['md_to']))}"
    return words + (f", {year(int(match['md_year']))}" if match["md_year"] else "")


def day_month(match: re.Match[str]) -> str:
    """ "1 May", "24th of December 2024"."""
    the = "" if match.string.endswith("the ", 0, match.start()) else "the "
    words = f"{the}{ordinal(int(match['dm_day']))} of {_month(match['dm_month'])}"
    return words + (f", {year(int(match['dm_year']))}" if match["dm_year"] else "")


def month_year(match: re.Match[str]) -> str:
    """ "May 2024"."""
    return f"{_month(match['my_month'])} {year(int(match['my_year']))}"


def _month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def decade(match: re.Match[str]) -> str:
    """ "1990s", "'90s"."""
    text = match["decade"].strip("'’")
    return plural(year(int(text)) if len(text) == 4 else cardinal(int(text)))


def years(match: re.Match[str]) -> str:
    """ "1990-2000"."""
    end = int(match["years_to"])
    words = year(end) if end >= 1000 else f"{'oh ' if end < 10 else ''}{cardinal(end)}"
    return f"{year(int(match['years']))} to {words}"


def one_year(match: re.Match[str]) -> str:
    """ "1999", where the words before it say that it is a year."""
    return year(int(match["one_year"]))


def clock(match: re.Match[str]) -> str | None:
    """ "10:30", "9:05 am", "14:00", "5pm"."""
    hour, minute = int(match["clock"] or match["clock_hour"]), int(match["clock_minute"] or 0)
    half = match["clock_half"] or match["clock_hour_half"]
    if hour > 24:
        return None
    words = cardinal(hour)
    if minute:
        words += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif not half and match["clock_second"] is None:
        if hour in (0, 24):
            return "midnight"
        words += " o'clock" if hour <= 12 else " hundred hours"
    if match["clock_second"] is not None:
        seconds = int(match["clock_second"])
        words += f" and {cardinal(seconds)} second{'' if seconds == 1 else 's'}"
    return words + (f" {half[0].upper()}M" if half else "")


# The stop of an abbreviation may also be that of the sentence, and is left to it then.
_HALF = r"(?:[ap]\.m(?:\.(?!\s+[A-Z]|\s*$|\w))?(?!\w)|[aApP][mM]\b)"
CALENDAR = {
    "iso": (
        (
            rf"(?<![\w./-])(?P<iso_year>{_YEAR})-(?P<iso_month>0[1-9]|1[0-2])-(?P<iso_day>0[1-9]|[12]\d|3[01])"
            r"(?![\w-])"
        ),
        iso_date,
    ),
    "slash": (
        rf"(?<![\w./-])(?P<slash_a>\d{{1,2}})/(?P<slash_b>\d{{1,2}})/(?P<slash_year>{_YEAR})(?![\w/-])",
        month_first,
    ),
    "md": (
        (
            rf"\b(?P<md_month>{_MONTH})[ ](?P<md_day>{_DAY})(?:st|nd|rd|th)?(?:{DASH}(?P<md_to>{_DAY}))?"
            rf"(?:,?[ ](?P<md_year>{_YEAR}))?{_END}"
        ),
        month_day,
    ),
    "dm": (
        (
            rf"(?<![\w.,:/-])(?P<dm_day>{_DAY})(?:st|nd|rd|th)?[ ](?:of[ ])?(?P<dm_month>{_MONTH})"
            rf"(?:,?[ ](?P<dm_year>{_YEAR}){_END})?(?!\w)"
        ),
        day_month,
    ),
    "my": (rf"\b(?P<my_month>{_MONTH}),?[ ](?P<my_year>{_YEAR}){_END}", month_year),
    "decades": (rf"(?<![\w.,])(?P<decade>{_YEAR[:-2]}0|['’]?\d0)['’]?s\b", decade),
    "span": (rf"(?<![\w.,/-])(?P<years>{_YEAR}){DASH}(?P<years_to>{_YEAR}|\d\d)(?![\w-]|[.,]\d)", years),
    "years_": (
        (
            rf"(?:(?<=\()(?=\d{{4}}\))|(?i:(?<=\bin[ ])|(?<=since[ ])|(?<=until[ ])|(?<=\bby[ ])|(?<=from[ ])"
            r"|(?<=before[ ])|(?<=after[ ])|(?<=during[ ])|(?<=around[ ])|(?<=year[ ])|(?<=early[ ])"
            rf"|(?<=late[ ])|(?<=summer[ ])|(?<=winter[ ])|(?<=spring[ ])|(?<=autumn[ ])))"
            rf"(?P<one_year>{_YEAR})"
            r"(?![\w%°-]|[.,:]\d)"
        ),
        one_year,
    ),
    "hours": (
        r"(?:(?<=[apAP][mM])|(?<=\d:[0-5]\d))[-–](?=\d{1,2}(?::[0-5]\d|[ ]?[apAP][.mM]))",
        lambda _: " to ",
    ),
    "on": (r"(?<=\bon[ ])(?P<on_a>\d{1,2})/(?P<on_b>\d{1,2})(?![\w/])", on_day),
    "clock_": (
        (
            rf"(?<![\w.,:/])(?:(?P<clock>[01]?\d|2[0-4]):(?P<clock_minute>[0-5]\d)(?::(?P<clock_second>[0-5]\d))?"
            rf"(?:[ ]?(?P<clock_half>{_HALF}))?|(?P<clock_hour>1[0-2]|[1-9])[ ]?(?P<clock_hour_half>{_HALF}))"
            r"(?![\w:])"
        ),
        clock,
    ),
}
