"""The scores of `benchmarks.turns`: what is a false cut-off, an end, a delay, and what they add up to."""

import numpy as np
import pytest

from benchmarks.turns.corpus import Clip
from benchmarks.turns.engine_ride import Heard
from benchmarks.turns.report import Results, as_json
from benchmarks.turns.scores import MISSED_MS, Score, bootstrap, faster_than_silence, judge, score
from benchmarks.turns.takes import Pause

PAUSES = (Pause(1500, 2000), Pause(2200, 2300), Pause(2500, 3500))


def clip(name: str = "a", source: str = "one", kind: str = "made pauses") -> Clip:
    """Speech from 1000 to 4000 ms, with a pause of half a second, a short one, and one of a second."""
    return Clip(name, kind, "nobody", source, "", 1, bytes(32_000 * 14), 1000, 4000, PAUSES)


def test_the_first_end_from_the_true_end_on_counts() -> None:
    outcome = judge(clip(), Heard(ends=[4400, 5000]))
    assert (outcome.cut, outcome.cut_pauses, outcome.delay, outcome.missed) == (0, 0, 400, False)


def test_an_end_before_the_true_end_is_a_false_cut_off() -> None:
    outcome = judge(clip(), Heard(ends=[1800, 4400]))
    assert (outcome.cut, outcome.pauses, outcome.cut_pauses, outcome.delay) == (1, 2, 1, 400)


def test_a_verdict_that_comes_when_the_next_word_has_begun_belongs_to_the_pause_before_it() -> None:
    assert judge(clip(), Heard(ends=[2040, 4400])).cut_pauses == 1


def test_two_ends_in_one_pause_are_one_pause() -> None:
    outcome = judge(clip(), Heard(ends=[2700, 3200, 4400]))
    assert (outcome.cut, outcome.cut_pauses) == (2, 1)


def test_an_end_in_mid_word_is_a_cut_off_of_no_pause() -> None:
    outcome = judge(clip(), Heard(ends=[1200, 4400]))
    assert (outcome.cut, outcome.cut_pauses) == (1, 0)


@pytest.mark.parametrize("ends", [[], [1800], [4000 + MISSED_MS + 1]])
def test_an_end_that_never_comes_is_missed_and_counts_as_the_longest_wait(ends: list[float]) -> None:
    outcome = judge(clip(), Heard(ends=ends))
    assert (outcome.missed, outcome.delay) == (True, MISSED_MS)


def test_scores_add_up() -> None:
    ends = [[4100], [4200], [4300], [1800, 4400]]
    outcomes = [judge(clip(str(i), str(i)), Heard(ends=list(each))) for i, each in enumerate(ends)]
    total = score(outcomes)
    assert (total.clips, total.pauses) == (4, 8)
    assert (total.cut, total.cut_pauses, total.missed) == (0.25, 0.125, 0.0)
    assert total.median == 250
    assert total.p95 == pytest.approx(385)
    assert total.cut_interval[0] <= 0.25 <= total.cut_interval[1]
    assert total.median_interval[0] <= 250 <= total.median_interval[1]


def test_clips_of_one_source_are_drawn_together() -> None:
    draws = bootstrap(["a", "b", "b", "b"], seed=1, draws=200)
    for draw in draws:
        counts = np.bincount(draw, minlength=4)
        assert counts[1] == counts[2] == counts[3]
        assert counts[0] + counts[1] == 2


def test_copies_of_the_same_speech_do_not_make_a_figure_surer() -> None:
    few = [judge(clip(str(i), str(i)), Heard(ends=[4000 + 100 * i])) for i in range(6)]
    many = [each for each in few for _ in range(20)]
    intervals = [score(each).median_interval for each in (few, many)]
    widths = [high - low for low, high in intervals]
    assert widths[1] >= 0.8 * widths[0]


def plain(cut: float, delay: float) -> Score:
    return Score(1, 1, cut, (cut, cut), cut, 0.0, delay, (delay, delay), delay, (delay, delay))


CURVE = {300: plain(0.8, 400), 500: plain(0.4, 600), 1000: plain(0.1, 1100)}


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (0.4, (500, 600, False)),
        (0.6, (400, 500, False)),
        (0.25, (750, 850, False)),
        (0.05, (1000, 1100, True)),  # no window of the curve is as careful
        (0.9, (300, 400, False)),  # the shortest window is more careful already
    ],
)
def test_silence_is_compared_at_the_same_share_of_cut_offs(
    cut: float, expected: tuple[float, float, bool]
) -> None:
    found = faster_than_silence(plain(cut, 300), CURVE, lambda each: each.median)
    assert found is not None
    assert found[:2] == pytest.approx(expected[:2])
    assert found[2] is expected[2]


def test_without_a_curve_there_is_nothing_to_compare_with() -> None:
    assert faster_than_silence(plain(0.2, 300), {}, lambda each: each.median) is None


def test_the_report_holds_every_figure_and_every_clip() -> None:
    quiet = Clip("hush", "no speech", "nobody", "noise", "", 1, bytes(32_000 * 60), events=3)
    results = Results([clip(), clip("b", "two", "complete"), quiet], ["a package: gone"])
    results.heard["silence 500"] = {
        "a": Heard([900], [1800, 4600]),
        "b": Heard([900], [4600]),
        "hush": Heard([5000, 9000], [6000, 9900]),
    }
    results.talked_over["silence 500"] = {"b": Heard([1250]), "hush": Heard([5000])}
    report = as_json(results)
    system = report["systems"]["silence 500"]
    assert report["missing"] == ["a package: gone"]
    assert system["all"]["cut"] == 0.5
    assert system["kinds"]["complete"]["cut"] == 0
    assert system["false_interruptions_per_hour"] == {"idle": 120, "talking": 60}
    assert system["interruptions"] == {"heard": 1, "of": 1, "median_ms": 250}
    assert [each["name"] for each in report["clips"]] == ["a", "b", "hush"]
    assert report["clips"][0]["ends_ms"] == {"silence 500": [1800, 4600]}
