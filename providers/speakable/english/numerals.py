"""English words for figures."""

__all__ = ["cardinal", "decimal", "digits", "fraction_parts", "number", "ordinal", "plural", "year"]

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
_ROUND = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
_ONES, _TENS = _SMALL.split(), _ROUND.split()
_SCALES = ("", " thousand", " million", " billion", " trillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_MOST_DIGITS = 15  # longer ones are numbers of something, such as an account, and are read digit by digit


def cardinal(value: int) -> str:
    """The words of a whole number below 10 to the 15th, such as "one thousand two hundred five"."""
    if value < 20:
        return _ONES[value]
    groups = []
    for scale in _SCALES:
        value, group = divmod(value, 1000)
        if group:
            groups.append(_below_thousand(group) + scale)
    return " ".join(reversed(groups))


def _below_thousand(value: int) -> str:
    hundreds, rest = divmod(value, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if rest:
        tens, ones = divmod(rest, 10)
        words.append(_ONES[rest] if rest < 20 else _TENS[tens] + (f"-{_ONES[ones]}" if ones else ""))
    return " ".join(words)


def ordinal(value: int) -> str:
    """The words of a place in an order, such as "twenty-first"."""
    words = cardinal(value)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    last = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return words[:cut] + last


def digits(text: str) -> str:
    """The digits in `text`, one by one."""
    return " ".join(_ONES[int(char)] for char in text if char in "0123456789")


def decimal(text: str) -> str:
    """A number such as "1,234.5", "-3" or "007"."""
    whole, dot, part = text.replace(",", "").partition(".")
    sign = "minus " if whole[:1] in ("-", "−") else ""
    whole = whole.lstrip("-−+")
    if len(whole) > _MOST_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        words = digits(whole)
    else:
        words = cardinal(int(whole or "0"))
    return sign + words + (f" point {digits(part)}" if dot and part else "")


def number(text: str) -> float:
    """The value of what `decimal` reads."""
    return float(text.replace(",", "").replace("−", "-"))


def year(value: int) -> str:
    """The way a year is said: "nineteen oh five", "two thousand nine", "twenty twenty-four"."""
    century, rest = divmod(value, 100)
    if value % 1000 < 10 or century < 11:
        return cardinal(value)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def plural(words: str) -> str:
    """The plural of the last word: "nineties", "halves", "sixes"."""
    if words.endswith("half"):
        return words[:-1] + "ves"
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("x", "s")) else "s")


def fraction_parts(above: int, below: int) -> str:
    """A fraction: "one half", "two thirds", "seven over one hundred twenty"."""
    if not 1 < below <= 20 or above >= below:
        return f"{cardinal(above)} over {cardinal(below)}"
    part = {2: "half", 4: "quarter"}.get(below) or ordinal(below)
    return f"{cardinal(above)} {part if above == 1 else plural(part)}"
