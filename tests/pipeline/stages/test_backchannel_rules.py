"""When a listener may make a sound, as stories of frames: at which millisecond of the turn it is decided."""

from typing import Self

import pytest

from pipeline.extensions import Backchannel
from pipeline.stages.backchannel_rules import BackchannelRules, phrase_in
from pipeline.ticks import TICKS_PER_MS

FRAME = 32  # ms


class Story:
    """One session's audio, frame by frame. Every decision is for a sound, unless a story says otherwise."""

    def __init__(self, *, sounds: bool = True, **settings: object) -> None:
        self.rules = BackchannelRules()
        self.configure(**settings)
        self.ms = 0
        self.now = 100.0
        self.moments: list[int] = []  # ms of audio
        self._sounds = sounds

    def configure(self, **settings: object) -> Self:
        self.rules.configure(Backchannel(enabled=True, **settings), 0.5)  # type: ignore[arg-type]
        return self

    def switched_off(self) -> Self:
        self.rules.configure(Backchannel(), 0.5)
        self.rules.turn_closed()
        return self

    def turn(self) -> Self:
        self.rules.turn_opened()
        return self

    def speak(self, ms: int, probability: float = 0.9) -> Self:
        for _ in range(ms // FRAME):
            start = self.ms
            self.ms += FRAME
            self.now += FRAME / 1000
            if self.rules.frame(start * TICKS_PER_MS, self.ms * TICKS_PER_MS, probability, self.now):
                self.moments.append(self.ms)
                if self._sounds:
                    self.rules.decided(sounded=True)
        return self

    def pause(self, ms: int) -> Self:
        return self.speak(ms, 0.0)


def test_the_first_sound_waits_until_the_user_has_spoken_for_a_while() -> None:
    assert Story().turn().speak(1600).moments == [800]
    assert Story(min_speech_ms=320).turn().speak(640).moments == [320]
    assert Story().turn().speak(768).moments == []


def test_without_a_turn_there_is_nothing_to_react_to() -> None:
    story = Story().pause(3200).turn().speak(640)
    story.rules.turn_closed()
    assert story.speak(6400).moments == []


def test_sounds_keep_their_distance() -> None:
    assert Story().turn().speak(9600).moments == [800, 4800, 8800]
    assert Story(min_gap_ms=1600).turn().speak(4992).moments == [800, 2400, 4000]


def test_a_turn_has_no_more_than_allowed() -> None:
    assert Story(max_per_turn=2).turn().speak(32_000).moments == [800, 4800]
    assert Story(max_per_turn=0).turn().speak(32_000).moments == []


def test_the_distance_holds_across_turns_and_the_count_does_not() -> None:
    story = Story(max_per_turn=1).turn().speak(1600)
    story.rules.turn_closed()
    story.pause(640).turn().speak(6400)
    assert story.moments == [800, 4800]


def test_a_decision_for_silence_is_made_again_after_an_interval() -> None:
    story = Story(sounds=False, eval_interval_ms=640).turn().speak(960)
    story.rules.decided(sounded=False)
    story.speak(960)
    assert story.moments == [800, 1440]
    # While somebody still thinks about it nobody else does.
    assert story.speak(6400).moments == [800, 1440]


def test_what_has_failed_is_left_alone_as_if_it_had_been_heard() -> None:
    story = Story(sounds=False).turn().speak(800)
    story.rules.decided(sounded=False, rest=True)
    assert story.speak(4000).moments == [800, 4800]


def test_where_a_pause_is_required_speech_alone_does_not_do() -> None:
    story = Story(require_pause=True).turn().speak(3200)
    assert story.moments == []
    assert story.pause(192).moments == []
    assert story.pause(32).moments == [3424]


def test_a_doubtful_frame_is_no_pause() -> None:
    story = Story(require_pause=True).turn().speak(1600).speak(640, 0.4)
    assert story.moments == []
    assert story.pause(224).moments == [2464]
    again = (
        Story(require_pause=True, min_gap_ms=0, eval_interval_ms=0).turn().speak(1600).pause(128).speak(32)
    )
    assert again.pause(192).moments == []


def test_who_is_silent_for_longer_has_probably_finished() -> None:
    story = Story(min_speech_ms=3200).turn().speak(2560).pause(1280)
    assert story.moments == []
    assert story.speak(64).moments == [3872]


def test_who_has_probably_finished_is_left_alone() -> None:
    story = Story().turn()
    story.rules.probably_over(True)
    assert story.speak(1600).moments == []
    story.rules.probably_over(False)
    assert story.speak(32).moments == [1632]


def test_nothing_is_said_into_a_reply() -> None:
    story = Story().turn()
    story.rules.reply_began("resp_1")
    assert story.speak(1600).moments == []
    story.rules.sent(1.0, story.now)  # of which the client has a second to play
    story.rules.reply_over("resp_1")
    assert story.rules.assistant_speaks(story.now)
    assert story.speak(960).moments == []
    assert story.speak(64).moments == [1600 + 1024]


def test_speech_that_was_sent_together_is_heard_one_piece_after_the_other() -> None:
    rules = BackchannelRules()
    rules.sent(1.0, 10.0)
    rules.sent(0.5, 10.0)
    assert rules.assistant_speaks(11.4)
    assert not rules.assistant_speaks(11.5)
    rules.sent(2.0, 20.0)
    rules.playback_stopped(20.5)
    assert not rules.assistant_speaks(20.5)
    rules.playback_stopped(30.0)
    assert not rules.assistant_speaks(21.0)


def test_switched_on_in_mid_turn_it_counts_from_the_next_speech_on() -> None:
    story = Story().switched_off()
    story.ms = 6400
    story.configure()
    assert story.speak(1600).moments == [7200]
    assert story.rules.is_open


def test_switched_on_in_a_silence_it_waits_for_speech() -> None:
    story = Story().switched_off().configure().pause(6400)
    assert not story.rules.is_open
    assert story.speak(960).moments == [7200]


def test_once_a_turn_is_over_speech_alone_begins_none() -> None:
    story = Story().turn()
    story.rules.turn_closed()
    assert story.speak(6400).moments == []


def test_switching_it_off_and_on_forgets_what_was_going_on() -> None:
    story = Story(sounds=False).turn().speak(960)
    story.rules.reply_began("resp_1")
    story.switched_off().configure()
    assert not story.rules.assistant_speaks(story.now)
    assert story.speak(960).moments == [800, 1760]


def test_settings_that_change_in_mid_turn_count_at_once() -> None:
    story = Story(min_gap_ms=60_000).turn().speak(1600).configure(min_gap_ms=1600)
    assert story.speak(1600).moments == [800, 2400]


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("I see", "I see"),
        (' "i see."\n', "I see"),
        ("UH-HUH!", "Uh-huh"),
        ("Oh wow", None),
        ("NONE", None),
        ("", None),
        ("I see what you mean", None),
    ],
)
def test_of_given_phrases_one_is_chosen_or_none(answer: str, phrase: str | None) -> None:
    assert phrase_in(answer, ("Uh-huh", "I see"), only=True) == phrase


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("i see.", "I see"),
        ("Oh wow!", "Oh wow"),
        ("なるほど。", "なるほど"),
        ("None.", None),
        ("(silence)", None),
        ("You said: I went there yesterday", None),
        ("Supercalifragilisticexpialidocious", None),
        ("...", None),
    ],
)
def test_without_given_phrases_a_model_may_find_its_own(answer: str, phrase: str | None) -> None:
    assert phrase_in(answer, ("Uh-huh", "I see"), only=False) == phrase
