"""Money, percentages, measures, ranges and fractions in English words."""

import re

from providers.speakable.english.numerals import cardinal, decimal, digits, fraction_parts, number

__all__ = ["AMOUNTS", "DASH", "NUMBER"]

# A number with or without thousands, and a part behind the point. The point of a sentence is none of it.
NUMBER = r"(?:\d{1,3}(?:,\d{3})++|\d{1,40}+)(?:\.\d{1,20}+)?"
DASH = r"[-–—]"
_FREE = r"(?<![\w.,])"  # not inside of a longer figure or a word
_SCALE = r"thousand|million|billion|trillion|[kKMBT](?![\w])|bn(?!\w)|mn(?!\w)"

_CURRENCIES = {  # one, many, one hundredth, hundredths
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₿": ("bitcoin", "bitcoin", "", ""),
    "USD": ("US dollar", "US dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "JPY": ("yen", "yen", "", ""),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
}
_LANDS = {"US": "", "C": "Canadian ", "CA": "Canadian ", "A": "Australian ", "AU": "Australian ",
          "NZ": "New Zealand ", "HK": "Hong Kong "}  # fmt: skip
_SIGNS = "$€£¥₹₩₽₿"
_CODES = "USD|EUR|GBP|JPY|CHF"
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}

_UNITS = {  # one, many; what is written the same way for both stands once
    "km/h": "kilometer per hour|kilometers per hour", "km²": "square kilometer|square kilometers",
    "m²": "square meter|square meters", "m³": "cubic meter|cubic meters",
    "m/s": "meter per second|meters per second",
    "km": "kilometer|kilometers", "m": "meter|meters", "cm": "centimeter|centimeters",
    "mm": "millimeter|millimeters", "µm": "micrometer|micrometers", "nm": "nanometer|nanometers",
    "mi": "mile|miles", "ft": "foot|feet", "yd": "yard|yards", "mph": "mile per hour|miles per hour",
    "kg": "kilogram|kilograms", "g": "gram|grams", "mg": "milligram|milligrams", "µg": "microgram|micrograms",
    "lb": "pound|pounds", "lbs": "pound|pounds", "oz": "ounce|ounces",
    "L": "liter|liters", "l": "liter|liters", "ml": "milliliter|milliliters", "mL": "milliliter|milliliters",
    "°C": "degree Celsius|degrees Celsius",
    "°F": "degree Fahrenheit|degrees Fahrenheit", "°": "degree|degrees",
    "ms": "millisecond|milliseconds", "sec": "second|seconds",
    "min": "minute|minutes", "mins": "minute|minutes",
    "h": "hour|hours", "hr": "hour|hours", "hrs": "hour|hours",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz",
    "kB": "kilobyte|kilobytes", "KB": "kilobyte|kilobytes", "MB": "megabyte|megabytes",
    "GB": "gigabyte|gigabytes", "TB": "terabyte|terabytes",
    "Mbps": "megabit per second|megabits per second", "Gbps": "gigabit per second|gigabits per second",
    "W": "watt|watts", "kW": "kilowatt|kilowatts", "MW": "megawatt|megawatts",
    "kWh": "kilowatt hour|kilowatt hours", "V": "volt|volts", "mA": "milliampere|milliamperes",
    "mAh": "milliampere hour|milliampere hours", "dB": "decibel|decibels",
    "¢": "cent|cents", "px": "pixel|pixels",
    "fps": "frame per second|frames per second", "kcal": "kilocalorie|kilocalories",
}  # fmt: skip
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_PER = {
    "s": "second", "h": "hour", "hr": "hour", "hour": "hour", "day": "day", "week": "week", "month": "month",
    "mo": "month", "year": "year", "yr": "year", "min": "minute", "minute": "minute", "person": "person",
    "user": "user", "kg": "kilogram", "lb": "pound", "kWh": "kilowatt hour", "night": "night", "unit": "unit",
}  # fmt: skip
_PER_WHAT = rf"(?:/(?P<{{0}}>{'|'.join(sorted(_PER, key=len, reverse=True))})(?!\w))?"
_THAN = (
    "as|more|less|the|better|worse|faster|slower|bigger|smaller|larger|higher|lower|cheaper|longer|shorter"
)
_HALVES = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅛": (1, 8)}


def money(match: re.Match[str]) -> str:
    """ "$5.99", "€1.2 million", "$5-10", "20 USD", "$9.99/month"."""
    sign = match["money_sign"] or match["money_sign_behind"]
    low, high = match["money"] or match["money_before"], match["money_to"]
    scale = match["money_scale"]
    one, many, cent, cents = _CURRENCIES[sign]
    land = _LANDS[match["money_land"] or "US"]
    one, many = land + one, land + many
    minus = "minus " if match["money_minus"] else ""
    per = f" per {_PER[match['money_per']]}" if match["money_per"] else ""
    if scale or high:
        words = decimal(low) + (f" to {decimal(high)}" if high else "")
        return f"{minus}{words}{' ' + _SCALES.get(scale.lower(), scale) if scale else ''} {many}{per}"
    whole, _, part = low.replace(",", "").partition(".")
    if part and cent and len(part) == 2 and len(whole) <= 15:
        parts = [f"{decimal(whole)} {one if int(whole) == 1 else many}"] if int(whole) else []
        if int(part):
            parts.append(f"{cardinal(int(part))} {cent if int(part) == 1 else cents}")
        return minus + (" and ".join(parts) or f"zero {many}") + per
    return f"{minus}{decimal(low)} {one if number(low) == 1 else many}{per}"


def percent(match: re.Match[str]) -> str:
    """ "5%", "10-15 %", "3‰"."""
    words = _range(match["percent"], match["percent_to"])
    return f"{words} {'percent' if match['percent_sign'] == '%' else 'per mille'}"


def measure(match: re.Match[str]) -> str:
    """ "5 km", "20–25°C", "60 kg/person"."""
    one, _, many = _UNITS[match["measure_unit"]].partition("|")
    low, high = match["measure"], match["measure_to"]
    unit = one if not high and abs(number(low)) == 1 else many or one
    per = f" per {_PER[match['measure_per']]}" if match["measure_per"] else ""
    return f"{_range(low, high)} {unit}{per}"


def between(match: re.Match[str]) -> str:
    """ "3-5", "10 – 20"; two numbers of which the second is smaller, as in "12345-678", are no range."""
    low, high = match["between"], match["between_to"]
    if number(low) > number(high) and len(low) > 2:
        return f"{digits(low)} dash {digits(high)}"
    return _range(low, high)


def scaled(match: re.Match[str]) -> str:
    """ "8.3M", "10k", "10x"."""
    by = match["scaled_by"]
    return f"{decimal(match['scaled'])} {'times' if by == 'x' else _SCALES[by.lower()]}"


def feet(match: re.Match[str]) -> str:
    """5'11"."""
    return f"{decimal(match['feet'])} foot {decimal(match['feet_inches'])}"


def fraction(match: re.Match[str]) -> str:
    """ "1/2", "2 3/4", "½", "24/7", "50/50"."""
    whole, above, below = match["fraction_whole"], match["fraction"], match["fraction_of"]
    pair = _HALVES.get(match["fraction_sign"] or "") or (int(above), int(below))
    if pair in ((24, 7), (9, 11)) or pair[0] == pair[1]:
        return f"{cardinal(pair[0])} {cardinal(pair[1])}"
    words = fraction_parts(*pair)
    if not whole:
        return words
    return f"{decimal(whole)} and {'a' + words[3:] if words in ('one half', 'one quarter') else words}"


def size(match: re.Match[str]) -> str:
    """ "1920x1080"."""
    return f"{decimal(match['size'])} by {decimal(match['size_by'])}"


def rating(match: re.Match[str]) -> str:
    """ "4.5/5"."""
    return f"{decimal(match['rating'])} out of {decimal(match['rating_of'])}"


def _range(low: str, high: str | None) -> str:
    return decimal(low) + (f" to {decimal(high)}" if high else "")


_MINUS = r"(?:(?<![\w)])[-−])?"
AMOUNTS = {
    "money_": (
        rf"(?<![\w.,])(?P<money_minus>[-−])?(?:(?P<money_land>US|CA?|AU?|NZ|HK)(?=\$))?"
        rf"(?:(?P<money_sign>[{_SIGNS}])[ ]?(?P<money>{NUMBER})"
        rf"(?:[ ]?{DASH}[ ]?[{_SIGNS}]?(?P<money_to>{NUMBER}))?(?:[ ]?(?P<money_scale>{_SCALE}))?"
        rf"|(?P<money_before>{NUMBER})[ ]?(?P<money_sign_behind>[$€£¥₹₩₽]|(?:{_CODES})\b))"
        + _PER_WHAT.format("money_per")
        + r"(?![\w])",
        money,
    ),
    "percent_": (
        (
            rf"{_FREE}(?P<percent>{_MINUS}{NUMBER})(?:[ ]?{DASH}[ ]?(?P<percent_to>{NUMBER}))?[ ]?"
            r"(?P<percent_sign>[%‰])(?!\w)"
        ),
        percent,
    ),
    "measure_": (
        (
            rf"{_FREE}(?P<measure>{_MINUS}{NUMBER})(?:[ ]?{DASH}[ ]?(?P<measure_to>{NUMBER}))?[ ]?"
            rf"(?P<measure_unit>{_UNIT})(?![\w²³]){_PER_WHAT.format('measure_per')}"
        ),
        measure,
    ),
    "scaled_": (
        rf"{_FREE}(?P<scaled>{NUMBER})(?:(?P<scaled_by>[kM]|x(?=[ ](?:{_THAN})\b)|bn|(?<=\.\d)B)(?!\w))",
        scaled,
    ),
    "feet_": (r"(?<![\w.,])(?P<feet>\d)['’′](?P<feet_inches>\d|1[01])(?:[\"”″]|(?!\w))", feet),
    "size_": (rf"{_FREE}(?P<size>{NUMBER})(?:x|×(?=\d{{3}}))(?P<size_by>{NUMBER})(?![\w])", size),
    "rating_": (r"(?<![\w.,])(?P<rating>\d{1,3}\.\d{1,3})/(?P<rating_of>\d{1,3})(?![\w/])", rating),
    "fraction_": (
        (
            rf"{_FREE}(?:(?P<fraction_whole>\d{{1,6}})(?:[ ](?=\d{{1,3}}/)|[ ]?(?=[½⅓⅔¼¾⅕⅛])))?"
            r"(?:(?P<fraction>\d{1,3})/(?P<fraction_of>\d{1,3})|(?P<fraction_sign>[½⅓⅔¼¾⅕⅛]))(?![\w/])"
        ),
        fraction,
    ),
    "between_": (
        rf"{_FREE}(?<!\d[-–])(?P<between>{NUMBER})(?:{DASH}|[ ][–—][ ])(?P<between_to>{NUMBER})(?![\w]|-\d)",
        between,
    ),
}
