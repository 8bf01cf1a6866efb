"""Figures and signs in English words, and the ones that are left alone."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.speakable.english import find_numbers
from providers.speakable.english.numerals import cardinal, ordinal, year


def say(text: str, language: str = "en-us") -> str:
    said, at = "", 0
    for edit in find_numbers(language)(text):
        said += text[at : edit.start] + edit.spoken
        at = edit.end
    return said + text[at:]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        # Numbers
        ("5.", "five."),
        ("room 101, floor 3", "room one hundred one, floor three"),
        ("1,234,567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
        ("3.14", "three point one four"),
        ("-5 and −2.5", "minus five and minus two point five"),
        ("007", "zero zero seven"),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
        ("1st, 2nd, 23rd, 100th", "first, second, twenty-third, one hundredth"),
        ("GPT-4 and covid-19", "GPT-four and covid-nineteen"),
        ("1,2,3 A4 mp3 H2O 5K 1e6", "1,2,3 A4 mp3 H2O 5K 1e6"),
        # Money
        ("$5", "five dollars"),
        ("$1", "one dollar"),
        ("$5.99", "five dollars and ninety-nine cents"),
        ("£1.01", "one pound and one penny"),
        ("$0.50", "fifty cents"),
        ("$0.00", "zero dollars"),
        ("$3.5", "three point five dollars"),
        ("$1.2 million", "one point two million dollars"),
        ("$5k or $100M", "five thousand dollars or one hundred million dollars"),
        ("$5-10 or $5–$10", "five to ten dollars or five to ten dollars"),
        ("20 USD or 5€", "twenty US dollars or five euros"),
        ("$9.99/month", "nine dollars and ninety-nine cents per month"),
        ("-$3", "minus three dollars"),
        ("it costs £1,299.00 each", "it costs one thousand two hundred ninety-nine pounds each"),
        ("C$20, A$1 and US$5", "twenty Canadian dollars, one Australian dollar and five dollars"),
        ("50¢, 100 $", "fifty cents, one hundred dollars"),
        ("8.3M users, 10k a day", "eight point three million users, ten thousand a day"),
        ("10x faster than 3x + 1", "ten times faster than 3x plus one"),
        # Percent, measures, ranges, fractions
        ("8.5%", "eight point five percent"),
        ("10-15 %", "ten to fifteen percent"),
        ("1 km or 5 km", "one kilometer or five kilometers"),
        ("20–25°C, -3 °F", "twenty to twenty-five degrees Celsius, minus three degrees Fahrenheit"),
        ("10km/h, 60 mph", "ten kilometers per hour, sixty miles per hour"),
        ("5 m² of 3.5kg", "five square meters of three point five kilograms"),
        ("16 GB at 3 GHz", "sixteen gigabytes at three gigahertz"),
        ("3-5 days, 10 – 20", "three to five days, ten to twenty"),
        ("1-2-3", "one-two-three"),
        ("1/2, 2/3, 3/4 and 7/120", "one half, two thirds, three quarters and seven over one hundred twenty"),
        ("2 1/2 cups, 2½, ¾", "two and a half cups, two and a half, three quarters"),
        ("24/7 and 50/50, 4.5/5", "twenty-four seven and fifty fifty, four point five out of five"),
        ("5'11\" tall", "five foot eleven tall"),
        ("1920x1080", "one thousand nine hundred twenty by one thousand eighty"),
        # Dates and times
        ("2024-05-01", "May first, twenty twenty-four"),
        ("May 1st", "May first"),
        ("On Dec. 24, 2024.", "On December twenty-fourth, twenty twenty-four."),
        ("May 3-5", "May third to fifth"),
        ("on 1 May 2024", "on the first of May, twenty twenty-four"),
        ("the 2nd of June", "the second of June"),
        ("March 1999", "March nineteen ninety-nine"),
        ("in 1905, since 2000 (1789)", "in nineteen oh five, since two thousand (seventeen eighty-nine)"),
        ("in 1500 meters", "in fifteen hundred meters"),
        ("the 1990s and '80s", "the nineteen nineties and eighties"),
        ("1914-18, 1990–2000", "nineteen fourteen to eighteen, nineteen ninety to two thousand"),
        ("10:30 am, 5pm", "ten thirty AM, five PM"),
        ("at 9 a.m. Then at 10 p.m. we", "at nine AM. Then at ten PM we"),
        ("14:05, 9:00, 14:00, 0:00", "fourteen oh five, nine o'clock, fourteen hundred hours, midnight"),
        ("9am-5pm or 10:00–11:30", "nine AM to five PM or ten o'clock to eleven thirty"),
        ("on 3/14 and on 25/12", "on March fourteenth and on December twenty-fifth"),
        ("12:30:15", "twelve thirty and fifteen seconds"),
        ("3:1", "three to one"),
        # Telephone numbers and versions
        ("555-123-4567", "five five five, one two three, four five six seven"),
        ("(555) 123-4567", "five five five, one two three, four five six seven"),
        ("call 555-1234", "call five five five, one two three four"),
        ("+49 30 123456.", "plus four nine, three zero, one two three four five six."),
        ("978-3-16-148410-0", "nine seven eight, three, one six, one four eight four one zero, zero"),
        ("4111 1111 2222", "four one one one, one one one one, two two two two"),
        ("order 12345-678", "order one two three four five dash six seven eight"),
        ("v1.2.3 and 3.11.4", "version one point two point three and three point eleven point four"),
        ("127.0.0.1", "one hundred twenty-seven dot zero dot zero dot one"),
        # Signs
        ("2 + 2 = 4", "two plus two equals four"),
        ("5 - 3, 3*4", "five minus three, three times four"),
        ("6 ÷ 2, 5 × 3", "six divided by two, five times three"),
        ("x² + y^2 ≥ z", "x squared plus y squared is at least z"),
        ("10^6, 10^-3", "ten to the power of six, ten to the power of minus three"),
        ("a < b", "a is less than b"),
        ("~5, ≥5, #1, No. 5", "about five, at least five, number one, number five"),
        ("A & B @ home, e.g. this vs. that", "A and B at home, for example this versus that"),
        ("well-known - yes, a/b", "well-known - yes, a/b"),
    ],
)  # fmt: skip
def test_figures_are_said_as_people_say_them(written: str, spoken: str) -> None:
    assert say(written) == spoken


def test_the_order_of_day_and_month_is_that_of_the_country() -> None:
    assert say("5/1/2024", "en-us") == say("5/1/2024", "en") == "May first, twenty twenty-four"
    assert say("5/1/2024", "en-GB") == "January fifth, twenty twenty-four"
    assert say("25/12/2024", "en-us") == "December twenty-fifth, twenty twenty-four"


def test_what_cannot_be_a_date_or_a_time_is_no_date() -> None:
    assert "first" not in say("13/13/2024 and 2024-13-01")
    assert say("24:59:60") == "twenty-four:fifty-nine:sixty"


@given(st.integers(0, 10**15 - 1))
def test_words_of_a_number_add_up_to_it(value: int) -> None:
    small = {cardinal(number): number for number in range(100)}
    total = group = 0
    for word in cardinal(value).split():
        if word == "hundred":
            group *= 100
        elif word in ("thousand", "million", "billion", "trillion"):
            total += group * 1000 ** (("thousand", "million", "billion", "trillion").index(word) + 1)
            group = 0
        else:
            group += small[word]
    assert total + group == value


def test_numerals_that_are_irregular() -> None:
    assert [ordinal(value) for value in (1, 2, 3, 5, 8, 9, 12, 20, 21, 30, 100, 1_000_000)] == [
        "first", "second", "third", "fifth", "eighth", "ninth", "twelfth", "twentieth", "twenty-first",
        "thirtieth", "one hundredth", "one millionth",
    ]  # fmt: skip
    assert [year(value) for value in (1100, 1776, 1900, 1905, 2000, 2009, 2010, 2024)] == [
        "eleven hundred", "seventeen seventy-six", "nineteen hundred", "nineteen oh five", "two thousand",
        "two thousand nine", "twenty ten", "twenty twenty-four",
    ]  # fmt: skip


@given(
    st.text(alphabet="0123456789.,:;/-–+$€%°½²x kmGB()apst'vo", max_size=60), st.sampled_from(["en", "en-gb"])
)
def test_anything_with_figures_can_be_said(text: str, language: str) -> None:
    edits = list(find_numbers(language)(text))

    assert all(a.end <= b.start for a, b in pairwise(edits))
    assert all(edit.start < edit.end and edit.spoken and not re.search(r"\d", edit.spoken) for edit in edits)
