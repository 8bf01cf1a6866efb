"""The turn detector by itself: thresholds, and borders that are exact to the tick."""

from collections.abc import Sequence

import pytest

from pipeline.config import ServerVad, TurnDetection
from pipeline.core.turns import SpeechBegan, SpeechEnded, TurnDetector, windows
from pipeline.ticks import TICKS_PER_MS

FRAME = 512
Border = SpeechBegan | SpeechEnded


def run(
    probabilities: Sequence[float],
    detection: TurnDetection,
    detector: TurnDetector | None = None,
    first: int = 0,
) -> list[Border]:
    """Feed one frame per probability and return the borders found."""
    detector, limits = detector or TurnDetector(), windows(detection)
    found: list[Border | None] = []
    for i, probability in enumerate(probabilities, first):
        end = FRAME * (i + 1)
        found.append(detector.feed(FRAME * i, end, probability, limits.threshold))
        if limits.silence is not None:
            found.append(detector.end_after(limits.silence, end))
    return [border for border in found if border is not None]


def vad(silence_ms: int = 64, threshold: float = 0.5) -> ServerVad:
    return ServerVad(threshold=threshold, silence_duration_ms=silence_ms)


@pytest.mark.parametrize(
    ("threshold", "probability", "is_speech"),
    [
        (0.5, 0.5, True),
        (0.5, 0.499, False),
        (0.9, 0.89, False),
        (0.9, 0.9, True),
        (0.0, 0.0, True),
        (1.0, 0.999, False),
        (1.0, 1.0, True),
    ],
)
def test_speech_begins_at_the_threshold(threshold: float, probability: float, is_speech: bool) -> None:
    found = run([probability], vad(threshold=threshold))

    assert found == ([SpeechBegan(0)] if is_speech else [])


@pytest.mark.parametrize(
    ("threshold", "probability", "is_silence"),
    [
        (0.5, 0.34, True),
        (0.5, 0.36, False),  # doubtful: between the threshold and what is clearly below it
        (0.9, 0.74, True),
        (0.9, 0.76, False),
        (0.1, 0.005, True),  # however low the threshold is, something counts as silence
        (0.1, 0.02, False),
    ],
)
def test_silence_begins_only_clearly_below_the_threshold(
    threshold: float, probability: float, is_silence: bool
) -> None:
    found = run([1.0, probability, probability], vad(64, threshold))

    assert found[1:] == ([SpeechEnded(FRAME * 3)] if is_silence else [])


def test_a_doubtful_frame_lets_a_silence_that_has_begun_go_on() -> None:
    assert run([1, 0, 0.4, 0.4], vad(96)) == [SpeechBegan(0), SpeechEnded(FRAME * 4)]


def test_speech_within_the_window_starts_the_silence_anew() -> None:
    assert run([1, 0, 0, 1, 0, 0, 0], vad(96)) == [SpeechBegan(0), SpeechEnded(FRAME * 7)]


@pytest.mark.parametrize("silence_ms", [0, 1, 31, 32, 33, 100, 200, 500, 777, 1000])
def test_the_end_of_a_turn_is_the_last_speech_and_the_whole_silence_window(silence_ms: int) -> None:
    speech_end = 10 * FRAME
    found = run([1] * 10 + [0] * 60, vad(silence_ms))

    assert found == [SpeechBegan(0), SpeechEnded(speech_end + silence_ms * TICKS_PER_MS)]


@pytest.mark.parametrize("silence_ms", [32, 320, 500])
def test_a_turn_ends_with_the_first_frame_that_completes_its_window(silence_ms: int) -> None:
    frames = -(-silence_ms // 32)

    assert run([1] + [0] * (frames - 1), vad(silence_ms)) == [SpeechBegan(0)]
    assert len(run([1] + [0] * frames, vad(silence_ms))) == 2


def test_two_turns_are_found_one_after_the_other() -> None:
    assert run([0, 1, 0, 0, 0, 1, 0, 0], vad(64)) == [
        SpeechBegan(FRAME),
        SpeechEnded(FRAME * 4),
        SpeechBegan(FRAME * 5),
        SpeechEnded(FRAME * 8),
    ]


def test_settings_may_change_in_mid_speech() -> None:
    detector = TurnDetector()
    assert run([1, 0, 0], vad(1000), detector) == [SpeechBegan(0)]

    # 96 ms of silence are there with the next frame, so a window of 80 ms has passed already.
    assert run([0], vad(80), detector, first=3) == [SpeechEnded(FRAME + 80 * TICKS_PER_MS)]


def test_a_higher_threshold_holds_from_the_next_frame_on() -> None:
    detector = TurnDetector()
    assert run([0.6], vad(64, 0.5), detector) == [SpeechBegan(0)]

    assert run([0.6, 0.6], vad(64, 0.9), detector, first=1) == [SpeechEnded(FRAME * 3)]


def test_a_reset_forgets_the_speech() -> None:
    detector = TurnDetector()
    run([1, 0], vad(64), detector)

    detector.reset()

    assert not detector.speaking
    assert run([0, 0, 0], vad(64), detector, first=2) == []
    assert run([1], vad(64), detector, first=5) == [SpeechBegan(FRAME * 5)]
