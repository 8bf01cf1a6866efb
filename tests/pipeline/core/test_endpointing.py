"""The decision of semantic_vad: how much silence ends a turn, from the sound, the engine and the words."""

from dataclasses import replace
from itertools import pairwise, takewhile
from math import exp
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Eagerness
from pipeline.core import endpointing
from pipeline.core.endpointing import MAX_WAITS_MS, Decision, Evidence, decide
from pipeline.core.wording import judge_wording
from tests.pipeline.core.spoken_sentences import SENTENCES, cuts

EAGERNESSES: tuple[Eagerness, ...] = get_args(Eagerness)
PATIENT_FIRST: tuple[Eagerness, ...] = ("low", "medium", "high")

OPEN = [
    "I'd like a coffee and",
    "What is the",
    "My name is",
    "Can you",
    "My number is five five five",
    "I was, um",
]
DOUBTFUL = ["I went home", "I'd like a coffee with milk", "Paris"]
COMPLETE = [
    "Yes, please.",
    "What time is it?",
    "That's all.",
    "415-555-0199",
    "I want to go home now, please",
]

texts = st.none() | st.sampled_from([*OPEN, *DOUBTFUL, *COMPLETE]) | st.text(max_size=60)
opinions = st.none() | st.floats(0.0, 1.0)
pauses = st.builds(
    Evidence,
    silence_ms=st.integers(0, 10_000),
    speech_ms=st.integers(0, 100_000),
    sound=opinions,
    engine=opinions,
    text=texts,
)
eagernesses = st.sampled_from(EAGERNESSES)


def pause(
    sound: float | None = None, text: str | None = None, engine: float | None = None, silence_ms: int = 350
) -> Evidence:
    return Evidence(silence_ms, 1200, sound, engine, text)


def wait(eagerness: Eagerness = "medium", **known: object) -> int:
    return decide(pause(**known), eagerness).wait_ms  # type: ignore[arg-type]


# --- what always holds -----------------------------------------------------------------------------------


@given(pauses, eagernesses)
def test_no_wait_is_longer_than_published_nor_shorter_than_a_pause_between_words(
    evidence: Evidence, eagerness: Eagerness
) -> None:
    decision = decide(evidence, eagerness)

    assert 160 <= decision.wait_ms <= MAX_WAITS_MS[eagerness]
    assert decision.reason


@given(pauses, eagernesses, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_who_sounds_more_finished_is_never_waited_for_longer(
    evidence: Evidence, eagerness: Eagerness, one: float, other: float
) -> None:
    less, more = sorted([one, other])

    lower = decide(replace(evidence, sound=less), eagerness)
    higher = decide(replace(evidence, sound=more), eagerness)

    assert higher.wait_ms <= lower.wait_ms
    assert higher.likely >= lower.likely


@given(pauses, eagernesses, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_an_engine_that_is_surer_of_the_end_never_makes_the_wait_longer(
    evidence: Evidence, eagerness: Eagerness, one: float, other: float
) -> None:
    less, more = sorted([one, other])

    lower = decide(replace(evidence, engine=less), eagerness)
    higher = decide(replace(evidence, engine=more), eagerness)

    assert higher.wait_ms <= lower.wait_ms
    assert higher.likely >= lower.likely


@given(pauses)
def test_who_is_less_eager_never_waits_less(evidence: Evidence) -> None:
    waits = [decide(evidence, eagerness).wait_ms for eagerness in PATIENT_FIRST]

    assert waits == sorted(waits, reverse=True)
    assert waits[0] > waits[2]


@given(pauses)
def test_auto_is_medium_and_eagerness_does_not_change_what_is_likely(evidence: Evidence) -> None:
    decisions = {eagerness: decide(evidence, eagerness) for eagerness in EAGERNESSES}

    assert decisions["auto"] == decisions["medium"]
    assert len({(decision.likely, decision.reason) for decision in decisions.values()}) == 1


@given(pauses, eagernesses)
def test_the_wait_does_not_change_while_nothing_becomes_known(
    evidence: Evidence, eagerness: Eagerness
) -> None:
    later = replace(evidence, silence_ms=evidence.silence_ms + 32)

    assert decide(later, eagerness).wait_ms == decide(evidence, eagerness).wait_ms


@pytest.mark.parametrize("eagerness", EAGERNESSES)
@pytest.mark.parametrize("text", [None, *OPEN, *DOUBTFUL, *COMPLETE])
@pytest.mark.parametrize("engine", [None, 0.1, 0.6, 0.99])
def test_a_slightly_lower_probability_costs_little(
    eagerness: Eagerness, text: str | None, engine: float | None
) -> None:
    waits = [wait(eagerness, sound=sound / 200, text=text, engine=engine) for sound in range(201)]

    # Half a percent: at most a quarter more, and never near a second.
    steps = list(pairwise(waits))
    assert max(before / after for before, after in steps) < 1.25
    assert max(before - after for before, after in steps) < MAX_WAITS_MS[eagerness] / 8


@given(pauses, eagernesses)
def test_words_that_lack_their_successor_never_shorten_the_wait(
    evidence: Evidence, eagerness: Eagerness
) -> None:
    unknown = replace(evidence, text=None)

    assert all(
        decide(replace(evidence, text=text), eagerness).wait_ms >= decide(unknown, eagerness).wait_ms
        for text in OPEN
    )


# --- the waits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sound", [0.93, 0.97, 1.0])
@pytest.mark.parametrize("text", [None, *DOUBTFUL, *COMPLETE])
def test_what_is_surely_over_is_answered_at_once(sound: float, text: str | None) -> None:
    assert [wait(eagerness, sound=sound, text=text) for eagerness in PATIENT_FIRST] == [250, 170, 160]
    assert decide(pause(sound, text), "medium").likely


@pytest.mark.parametrize("sound", [0.0, 0.02, 0.04])
@pytest.mark.parametrize("text", [None, *OPEN, *DOUBTFUL[:1]])
def test_what_is_surely_unfinished_gets_much_time_and_most_if_the_words_agree(
    sound: float, text: str | None
) -> None:
    waits = [wait(eagerness, sound=sound, text=text) for eagerness in PATIENT_FIRST]

    assert all(ms >= least for ms, least in zip(waits, (5000, 2500, 1500), strict=True))
    if text in OPEN:
        assert all(ms > 0.85 * most for ms, most in zip(waits, (8000, 4000, 2000), strict=True))
    assert not decide(pause(sound, text), "medium").likely


@pytest.mark.parametrize("text", OPEN)
@pytest.mark.parametrize("sound", [0.9, 0.95, 1.0])
def test_open_words_that_sound_finished_are_waited_for_a_little(text: str, sound: float) -> None:
    waits = [wait(eagerness, sound=sound, text=text) for eagerness in PATIENT_FIRST]

    assert 1100 <= waits[0] <= 2300
    assert 800 <= waits[1] <= 1250
    assert 330 <= waits[2] <= 560
    assert not decide(pause(sound, text), "medium").likely


@pytest.mark.parametrize("text", ["Yes, please.", "What time is it?", "415-555-0199"])
@pytest.mark.parametrize("sound", [0.02, 0.05, 0.1])
def test_complete_words_that_sound_unfinished_are_waited_for_a_little(text: str, sound: float) -> None:
    waits = [wait(eagerness, sound=sound, text=text) for eagerness in PATIENT_FIRST]

    assert 1100 <= waits[0] <= 4000
    assert 900 <= waits[1] <= 2000
    assert 350 <= waits[2] <= 1150
    assert not decide(pause(sound, text), "medium").likely


@pytest.mark.parametrize("eagerness", ["low", "medium"])
@pytest.mark.parametrize("which", ["known", "new"])
def test_no_witness_alone_cuts_off_what_is_evidently_unfinished(eagerness: Eagerness, which: str) -> None:
    patient = 1000 if eagerness == "medium" else 1500
    unfinished = [text for line in SENTENCES[which] for text, is_open in cuts(line) if is_open]

    by_sound = [
        wait(eagerness, sound=1.0, text=text) for text in unfinished if judge_wording(text).kind == "open"
    ]
    by_words = [wait(eagerness, sound=0.03, text=text) for text in unfinished]
    by_engine = [wait(eagerness, sound=0.03, text=text, engine=1.0) for text in unfinished]

    assert len(by_sound) > 100
    assert min(by_sound) >= 0.42 * patient
    assert min(by_words) >= 1.9 * patient
    assert min(by_engine) >= 0.35 * patient


@pytest.mark.parametrize(("eagerness", "silence_ms"), [("low", 1600), ("medium", 1000), ("high", 600)])
def test_when_nothing_is_known_silence_decides(eagerness: Eagerness, silence_ms: int) -> None:
    nothing = decide(pause(), eagerness)

    assert nothing == Decision(silence_ms, likely=False, reason="by silence")
    assert decide(pause(text=""), eagerness) == nothing
    assert all(0.55 * silence_ms < wait(eagerness, text=text) < silence_ms for text in COMPLETE)
    assert all(2 * silence_ms < wait(eagerness, text=text) < 3 * silence_ms for text in OPEN)


@pytest.mark.parametrize(("eagerness", "at_once"), [("low", 250), ("medium", 170), ("high", 160)])
def test_an_engine_that_hears_ends_of_turns_can_do_without_the_sound(
    eagerness: Eagerness, at_once: int
) -> None:
    assert wait(eagerness, engine=0.95) == at_once
    assert wait(eagerness, engine=0.02) > MAX_WAITS_MS[eagerness] / 2
    assert wait(eagerness, engine=0.95, text="I want the") > 1.5 * at_once


def test_the_engine_and_the_sound_weigh_each_other() -> None:
    assert wait(engine=0.7, sound=0.8) < min(wait(engine=0.7), wait(sound=0.8))
    assert wait(engine=0.1, sound=0.9) > wait(sound=0.9)
    assert wait(engine=0.9, sound=0.1) > wait(engine=0.9)


# --- what is likely --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sound", "likely"), [(0.0, False), (0.49, False), (0.5, True), (0.51, True), (1.0, True)]
)
def test_from_a_half_on_an_end_is_likely(sound: float, likely: bool) -> None:
    assert decide(pause(sound), "medium").likely is likely
    assert decide(pause(engine=sound), "medium").likely is likely


def test_words_alone_make_an_end_likely_once_they_cannot_be_late_any_more() -> None:
    known = [decide(pause(text="Yes, please.", silence_ms=ms), "medium").likely for ms in (32, 192, 320, 500)]

    assert known == [False, False, True, True]
    assert not decide(pause(text="I went home", silence_ms=900), "medium").likely


def test_a_complete_beginning_is_no_end_while_words_are_missing() -> None:
    beginning = Evidence(300, 4000, sound=0.5, text="Okay.")
    all_of_it = Evidence(300, 700, sound=0.5, text="Okay.")

    assert decide(beginning, "medium") == decide(replace(beginning, text=None), "medium")
    assert decide(all_of_it, "medium").wait_ms < decide(beginning, "medium").wait_ms


# --- reasons ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (pause(0.93), "sounds finished (0.93)"),
        (pause(0.12), "sounds unfinished (0.12)"),
        (pause(0.12, "I went home and"), "sounds unfinished (0.12), text ends with a conjunction ('and')"),
        (pause(0.9, "I went and"), "text ends with a conjunction ('and'), but sounds finished (0.90)"),
        (pause(0.2, "What time is it?"), "sounds unfinished (0.20), but text ends with a question mark"),
        (pause(text="My number is 555 5"), "by silence, digits still coming (4)"),
        (pause(text="It's spelled J O"), "by silence, letters still coming (2)"),
        (pause(text="415 555 0199"), "by silence, all digits are there (10)"),
        (pause(text="Yes."), "by silence, text is a short answer"),
        (pause(engine=0.8), "the engine finds it over (0.80)"),
        (pause(0.6, engine=0.1), "the engine finds it not over (0.10), but sounds finished (0.60)"),
    ],
)
def test_the_reason_names_the_evidence(evidence: Evidence, reason: str) -> None:
    assert decide(evidence, "medium").reason == reason


def test_every_cue_has_its_odds_and_its_words() -> None:
    texts = [*OPEN, *COMPLETE, "Well, -", "If it rains on Sunday", "First I want to know", "I was,", "Oh no!"]
    texts += [text for line in SENTENCES["new"] for text, _ in cuts(line)]

    described = {judge_wording(text).cue: decide(pause(text=text), "medium").reason for text in texts}

    assert len(described) >= 15
    assert all(reason != "by silence" for cue, reason in described.items() if cue is not None)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ", min_size=5, max_size=40))
def test_the_reason_never_quotes_the_speaker(secret: str) -> None:
    decision = decide(pause(0.9, f"my password is {secret} and the"), "medium")

    assert decision.reason == "text ends with an article ('the'), but sounds finished (0.90)"


@pytest.mark.parametrize("odd", [float("nan"), -1.0, 2.0, float("inf")])
def test_a_probability_out_of_bounds_does_no_harm(odd: float) -> None:
    assert wait(sound=odd) in (170, 2500)


# --- the page that explains it ---------------------------------------------------------------------------

PAGE = Path(__file__).parents[3] / "docs" / "turn-taking.md"


def rows(header: str) -> list[list[str]]:
    """The cells of the page's table with that first column, below its header."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {header} |"))
    table = takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_page_shows_the_waits() -> None:
    shown = rows("sum of log odds")

    assert len(shown) == len(endpointing._STEPS)
    for step, row in zip(reversed(endpointing._STEPS), shown, strict=True):
        waits = [endpointing._wait(step, endpointing._LOG_WAITS[eagerness]) for eagerness in PATIENT_FIRST]
        assert float(row[0].split()[0]) == step
        assert row[1] == f"{1 / (1 + exp(-step)):.2f}"
        assert row[2:] == [f"{wait_ms} ms" for wait_ms in waits]


def test_the_page_shows_what_the_words_add() -> None:
    shown = rows("the words end with")[:-1]

    for table, part in ((endpointing._OPEN, shown[:17]), (endpointing._COMPLETE, shown[17:])):
        assert {row[0].split(",")[0]: float(row[1]) for row in part} == table
    for name, _, examples in shown:
        for example in examples.replace("**", "").split(";"):
            assert judge_wording(example).cue == name.split(",")[0]


def test_the_examples_of_the_page_are_true() -> None:
    shown = rows("sound")

    assert len(shown) == 7
    for sound, text, *waits, reason in shown:
        evidence = pause(float(sound) if sound else None, text or None)
        decided = [decide(evidence, eagerness) for eagerness in PATIENT_FIRST]
        assert waits == [f"{decision.wait_ms} ms" for decision in decided]
        assert {decision.reason for decision in decided} == {reason}
