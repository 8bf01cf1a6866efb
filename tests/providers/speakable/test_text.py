"""Markdown, addresses and pictures in replies: what is spoken for them, however the reply is cut."""

import asyncio
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.speakable import Piece, SpeakableText
from providers.speakable.text import MAX_STRETCH


def speak(*segments: str, language: str = "en-us", tags: str = "", numbers: bool = False) -> str:
    text = SpeakableText(language, numbers=numbers, tags=tags)
    return "".join(piece.spoken for segment in segments for piece in text.take(segment))


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("A plain sentence: isn't it? (Yes.)", "A plain sentence: isn't it? (Yes.)"),
        ("**bold**, *it*, ***both***, __b__, _i_, ~~old~~.", "bold, it, both, b, i, old."),
        ("Run `pip install` now", "Run pip install now"),
        ("the snake_case_name of __init__", "the snake case name of init"),
        ("2 * 3 and 2*3", "2 * 3 and 2*3"),
        ("see [the docs](https://example.com/a_(b) \"title\").", "see the docs."),
        ("see [the docs][1] and ![a cat](cat.png)", "see the docs and a cat"),
        ("It is so.[1] Or so [^note].", "It is so. Or so."),
        ("[sic] stays", "[sic] stays"),
        ("<b>bold</b><br/> a<br>b <span class=\"x\">c</span>", "bold ab c"),
        ("<!-- a > b --> &amp; so on &copy;", "& so on ©"),
        ("Enter <your name> as List<String>, 2 < 3", "Enter your name as List String, 2 < 3"),
        ("<speak>Hi <break time=\"1s\"/>there</speak>", "Hi there"),
        ("\\*not bold\\* \\(x\\)", "*not bold* x"),
        ("Home → Settings → Sound", "Home to Settings to Sound"),
        ("tea • coffee • juice", "tea, coffee, juice"),
    ],
)  # fmt: skip
def test_marks_inside_of_a_line_are_not_spoken(written: str, spoken: str) -> None:
    assert speak(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello 😀 world 👍🏽! 👩‍👩‍👧 Bye 🇩🇪.", "Hello world! Bye."),
        ("✅ Done ❤️", "Done "),
        ("Press 1️⃣ or #️⃣", "Press 1 or #"),
        ("Good :) yes", "Good yes"),
        ("क्‍ष می‌خواهم ½ ① é", "क्‍ष می‌خواهم ½ ① é"),
    ],
)
def test_pictures_are_not_spoken_and_letters_are(written: str, spoken: str) -> None:
    assert speak(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("https://www.example.com.", "example dot com."),
        ("http://foo-bar.org/docs/to-start/?q=1#top,", "foo dash bar dot org slash docs slash to start,"),
        ("(https://example.com/a/b/c/d)", "(example dot com)"),
        ("https://example.com/x7f9a8b7c6", "example dot com"),
        ("https://user:pw@example.com:8080/", "example dot com"),
        ("<https://example.com>", "example dot com"),
        ("Ask example.com, or GitHub.com!", "Ask example dot com, or GitHub dot com!"),
        ("jo.doe+x@mail.example.co.uk", "jo dot doe plus x at mail dot example dot co dot uk"),
        ("Node.js e.g. file.txt etc. 3.14 U.S.", "Node.js e.g. file.txt etc. 3.14 U.S."),
    ],
)  # fmt: skip
def test_addresses_are_said_as_people_say_them(written: str, spoken: str) -> None:
    assert speak(written) == spoken


@pytest.mark.parametrize(
    ("language", "spoken"),
    [
        ("de-DE", "Siehe example Punkt com, jo ät ex Punkt de, 5 %, 3-4"),
        ("fr", "Siehe example point com, jo arobase ex point de, 5 %, 3-4"),
        ("ru", "Siehe example.com, jo@ex.de, 5 %, 3-4"),
    ],
)
def test_other_languages_keep_their_figures(language: str, spoken: str) -> None:
    written = "Siehe **https://example.com**, jo@ex.de, 5 %, 3-4"

    assert speak(written, language=language, numbers=True) == spoken


def test_headings_items_and_rules_become_sentences() -> None:
    written = (
        "# Title #\n\n**Part one**\n- one\n* two!\n+ [ ] three\n  - four\n1. five\n2) six:\n> said\n---\n"
        "Title\n=====\nend\n"
    )

    assert speak(written) == (
        "Title.\n\nPart one.\none.\ntwo!\nthree.\nfour.\n1. five.\n2) six:\nsaid\nTitle\nend\n"
    )


def test_tables_are_read_row_by_row() -> None:
    written = (
        "Prices:\n| Name | Price |\n|:-----|------:|\n| Tea \\| hot | **2** |\n|  | 3 |\na | b\n\nor a | b\n"
    )

    assert speak(written) == "Prices:\nName, Price.\nTea hot, 2.\n3.\na, b.\n\nor a | b\n"


def test_blocks_of_code_are_not_spoken() -> None:
    block = "```python\nif x:\n    print('**hi**')\n# no heading\n~~~\n```\n"

    assert speak(f"Like this:\n{block}Done.") == "Like this:\nDone."
    assert speak("~~~~\n```\n~~~\n~~~~~\nDone.") == "Done."
    assert speak("Like this: ```python\nprint()\n```\nDone.") == "Like this: \nDone."
    assert speak("Say ```one``` and\n```two``` too.") == "Say one and\ntwo too."
    assert speak("```\nnever closed") == ""


def test_marks_that_the_voice_understands_stay() -> None:
    tags = r"\[[a-z_ ]+\]|<break[^<>]*/>"
    written = "[laugh] So *that* <break time='1s'/> [speak in a_low voice]\n```\n[laugh]\n```\n"

    assert (
        speak(written, tags=tags, numbers=True)
        == "[laugh] So that <break time='1s'/> [speak in a_low voice]\n"
    )
    assert speak(written) == "[laugh] So that [speak in a low voice]\n"
    assert speak("[laugh](https://a.b/c) [laugh]", tags=tags) == "laugh [laugh]"


MARKDOWN = (
    "# Head\n\nSome **bold** text, with `code` here. \n- item one\n- item two\n\n| a | b |\n|---|---|\n"
    "| c | d |\n\n```js\nlet x = 1;\n```\n> quote 😀\n\nSee example.com now."
)


def test_words_are_the_same_wherever_the_reply_is_cut_between_them() -> None:
    whole = speak(MARKDOWN)
    cuts = [at for at in range(1, len(MARKDOWN)) if MARKDOWN[at - 1] == "\n" or MARKDOWN[at - 2 : at] == ". "]

    assert speak(*(MARKDOWN[a:b] for a, b in zip([0, *cuts], [*cuts, len(MARKDOWN)], strict=True))) == whole
    for at in cuts:
        assert speak(MARKDOWN[:at], MARKDOWN[at:]) == whole


PARTS = st.one_of(
    st.text(alphabet="*_`~[]()<>|#-=+\\/&;:.!?@\n\r 0159aZ$%€é😀\u200d\ufe0f½²", max_size=60),
    st.text(max_size=40),
    st.sampled_from(
        ["```", "\n```\n", "| a | b |\n", "|---|\n", "[a](b)", "https://a.com/b", "$5.99 ", "2024-05-01",
         "[laugh]", "<b>", "&amp;", "5 km", "10:30 am", "99999999999999999999", "1/0", "0/0", "-", "v1.2.3",
         "+49 30 123"]
    ),
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(PARTS, max_size=8), st.booleans(), st.sampled_from(["", "en-us", "en-GB", "de", "x"]))
@example(["a\x1cb", "```\x85", "`"], True, "en")
def test_nothing_of_the_original_is_lost_count_of(segments: list[str], numbers: bool, language: str) -> None:
    text = SpeakableText(language, numbers=numbers, tags=r"\[[a-z]+\]")
    for segment in segments:
        pieces = text.take(segment)

        assert sum(piece.source for piece in pieces) == len(segment)
        at = 0
        for piece in pieces:
            if piece.verbatim:
                assert piece.spoken == segment[at : at + piece.source]
            at += piece.source


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize(
    "unit",
    ["*", "**a", "_", "_a", "`", "~", "~~~", "[", "[a](", "](", "]([", "[^", "[1]", "![", "\\", "|", "| a",
     "- ", "> ", "#", "<", "<a ", "<a b=", 'a="', "<!--", "-->", "&", "http://", "https://a.b/)", "a.", "a@",
     "a@b.", "www.", " ", "\t", "\n", "1", "1,", "1.", "1-", "1/", "1:", "1x", "1 ", "1 000", "+1 ", "$",
     "$1", "$1-", "May ", "May 1, ", "a.m", "vs.", "=", "= ", "^", "½", ":)", "(", ")", "'", '"', "【1", "😀",
     "\u200d", "\ufe0f"],
)  # fmt: skip
def test_time_is_linear_in_the_text(unit: str, numbers: bool) -> None:
    hostile = (unit * (4000 // len(unit) + 1))[:4000]
    text = SpeakableText("en", numbers=numbers, tags=r"<break[^<>]{0,100}/>")
    started = time.thread_time()

    text.take(hostile)

    assert time.thread_time() - started < 1  # 4 to 80 ms; were it quadratic, it would be seconds


async def test_a_long_segment_lets_others_work() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    pieces: list[Piece] = await SpeakableText("en").feed("Some **words** here. " * 2000)
    task.cancel()

    assert turns >= 42_000 // MAX_STRETCH
    assert sum(piece.source for piece in pieces) == 42_000
    assert "".join(piece.spoken for piece in pieces) == "Some words here. " * 2000
