"""What interrupts the assistant while it is heard, and what does not: coughs, echoes, listener sounds."""

from collections.abc import Callable

import pytest

from pipeline.commands import (
    ClearAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    EchoJudged,
    SpeechSynthesized,
    TextGenerated,
    TranscriptGrew,
    TranscriptionBroke,
    TranscriptReady,
)
from pipeline.config import Patch
from pipeline.core.interruptions import is_backchannel
from pipeline.turn_taking import TurnTaking
from tests.pipeline.playbook import Playbook, user

Play = Callable[..., Playbook]

VAD: Patch = {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 480}}}}
PATIENT = TurnTaking(min_interruption_ms=200, echo_guard=False)
GUARDED = TurnTaking(min_interruption_ms=200, echo_guard=True)
POLITE = TurnTaking(min_interruption_ms=200, echo_guard=False, ignore_backchannels=True)

CUT_OFF = (
    "> stop resp_1",
    "audio.done item_2",
    "transcript.done item_2 'One two three.'",
    "part.done item_2 audio 'One two three.'",
    "item.done item_2 assistant spoken 'One two three.' incomplete after item_1",
    "output_item.done resp_1[0] item_2 assistant spoken 'One two three.' incomplete",
    "response.done resp_1 cancelled (turn_detected) [item_2] ...",
    "> stop playback",
)


def speaking(play: Play, rules: TurnTaking, seconds: float = 10.0) -> Playbook:
    """The assistant is heard for so long from now on."""
    script = play(VAD, turn_taking=rules)
    script.tell(CreateItem(user("Count.")), CreateResponse(), TextGenerated("resp_1", "One two three."))
    script.tell(SpeechSynthesized("resp_1", bytes(round(48_000 * seconds)))).skip()
    return script


def test_a_cough_does_not_interrupt(play: Play) -> None:
    script = speaking(play, PATIENT)

    script.speak(192).expect()
    script.pause(224).expect()
    script.pause(32).expect("> dismiss 0-448 as short")
    script.pause(640).expect()


def test_an_interruption_is_one_once_it_has_lasted_and_nothing_of_it_is_lost(play: Play) -> None:
    script = speaking(play, PATIENT)
    script.pause(640).speak(192).expect()

    script.speak(32).expect(
        "> drop audio before 440",
        "speech_started item_3 at 440",  # where it began, prefix padding included
        "> listen item_3 from 440 with lab/stt",
        *CUT_OFF,
    )


def test_syllables_with_short_gaps_count_together(play: Play) -> None:
    script = speaking(play, PATIENT)
    script.speak(96).pause(128).speak(64).pause(96).expect()

    script.speak(64).expect("speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", *CUT_OFF)


def test_when_nothing_is_heard_of_the_assistant_speech_begins_at_once(play: Play) -> None:
    script = speaking(play, PATIENT, seconds=1.0)
    script.now = 1.31  # it has been played, and its last sound has died away

    script.speak(32).expect(
        "speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", *CUT_OFF[:-1]
    )


def test_while_the_model_thinks_speech_interrupts_at_once(play: Play) -> None:
    script = play(VAD, turn_taking=GUARDED)
    script.tell(CreateItem(user("Count.")), CreateResponse()).skip()

    script.speak(32).expect(
        "speech_started item_2 at 0",
        "> listen item_2 from 0 with lab/stt",
        "> stop resp_1",
        "response.done resp_1 cancelled (turn_detected) ...",
    )


@pytest.mark.parametrize("order", [CommitAudio(), ClearAudio()])
def test_the_client_may_end_it_while_it_is_being_judged(play: Play, order: CommitAudio) -> None:
    script = speaking(play, GUARDED)
    script.speak(224).expect("> check echo 0-224")

    script.tell(order).skip()
    script.tell(EchoJudged(0, 224 * 16, is_echo=False)).expect()

    assert not any("speech_started" in line for line in script.story)
    script.now = 20.0
    script.speak(32).skip()
    assert any("speech_started" in line for line in script.story)


# --- echoes --------------------------------------------------------------------------------------------


def test_the_assistants_own_words_do_not_interrupt_it(play: Play) -> None:
    script = speaking(play, GUARDED)
    script.speak(224).expect("> check echo 0-224")
    script.tell(EchoJudged(0, 224 * 16, is_echo=True)).expect()

    script.speak(192).expect()
    script.speak(32).expect("> check echo 0-448")
    script.tell(EchoJudged(0, 448 * 16, is_echo=True)).expect()
    script.pause(256).expect("> dismiss 248-704 as echo")


def test_a_user_who_talks_over_the_echo_interrupts(play: Play) -> None:
    script = speaking(play, GUARDED)
    script.speak(224).tell(EchoJudged(0, 224 * 16, is_echo=True)).skip()
    script.speak(224).expect("> check echo 0-448")
    script.tell(EchoJudged(0, 448 * 16, is_echo=False)).expect()  # one answer may be wrong
    script.speak(224).expect("> check echo 72-672")

    script.tell(EchoJudged(72 * 16, 672 * 16, is_echo=False)).expect(
        "speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", *CUT_OFF
    )


def test_what_cannot_be_told_yet_is_compared_again_soon(play: Play) -> None:
    script = speaking(play, GUARDED)
    script.speak(224).expect("> check echo 0-224")
    script.tell(EchoJudged(0, 224 * 16, None)).expect()

    script.speak(64).expect()
    script.speak(32).expect("> check echo 0-320")
    script.tell(EchoJudged(0, 320 * 16, is_echo=False)).expect(
        "speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", *CUT_OFF
    )


def test_what_was_too_short_to_tell_is_taken_for_a_person(play: Play) -> None:
    script = speaking(play, GUARDED)
    script.speak(224).tell(EchoJudged(0, 224 * 16, None)).skip()

    script.pause(224).expect()
    script.pause(32).expect("speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", *CUT_OFF)


def test_an_echo_longer_than_the_reply_is_still_an_echo(play: Play) -> None:
    script = speaking(play, GUARDED, seconds=0.2)
    script.speak(224).tell(EchoJudged(0, 224 * 16, is_echo=True)).skip()
    script.now = 0.6  # longer than what was sent lasts

    script.speak(192).expect()
    script.pause(256).expect("> dismiss ... as echo")


def test_an_answer_about_something_else_is_ignored(play: Play) -> None:
    script = speaking(play, GUARDED)
    script.speak(224).expect("> check echo 0-224")
    script.tell(EchoJudged(0, 999, is_echo=False)).expect()
    script.tell(EchoJudged(0, 224 * 16, is_echo=False)).expect(
        "speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", *CUT_OFF
    )


def test_the_echo_of_a_long_reply_does_not_fill_the_buffer(play: Play) -> None:
    script = speaking(play, GUARDED, seconds=60.0)
    for _ in range(100):
        script.speak(224)
        for line in script.skip().story[-3:]:
            if line.startswith("> check echo"):
                start, end = (16 * int(ms) for ms in line.removeprefix("> check echo ").split("-"))
                script.tell(EchoJudged(start, end, is_echo=True))

    script.expect()
    assert not any("speech_started" in line for line in script.story)
    assert script.engine._listener.buffered < 16_000 * 8


# --- listener sounds -----------------------------------------------------------------------------------


def test_a_listener_sound_is_heard_and_ignored(play: Play) -> None:
    script = speaking(play, POLITE)
    script.speak(224).expect("> listen item_3 from 0 with lab/stt")
    script.pause(256).expect("> finish segment item_3 at 480")

    script.tell(TranscriptReady("item_3", "Mhm.")).expect(
        "> dismiss 0-480 as backchannel", "> stop listening item_3"
    )
    script.pause(960).expect()


def test_words_that_say_more_interrupt(play: Play) -> None:
    script = speaking(play, POLITE)
    script.speak(224).expect("> listen item_3 from 0 with lab/stt")

    script.tell(TranscriptGrew("item_3", "Yeah but wait")).expect(
        "speech_started item_3 at 0", "transcription.delta item_3 'Yeah but wait'", *CUT_OFF
    )


def test_whoever_talks_on_interrupts_whatever_the_words(play: Play) -> None:
    script = speaking(play, POLITE)
    script.speak(992).expect("> listen item_3 from 0 with lab/stt")

    script.speak(32).expect("speech_started item_3 at 0", *CUT_OFF)


def test_a_listener_sound_that_goes_on_is_listened_to_further(play: Play) -> None:
    script = speaking(play, POLITE)
    script.speak(224).pause(256).expect(
        "> listen item_3 from 0 with lab/stt", "> finish segment item_3 at 480"
    )
    script.speak(32).expect("> listen item_3.1 from 512 with lab/stt")

    script.tell(
        TranscriptReady("item_3", "Yeah."), TranscriptGrew("item_3", "that is wrong", segment=1)
    ).expect(
        "speech_started item_3 at 0",
        "transcription.delta item_3 'Yeah.'",
        "transcription.delta item_3 ' that is wrong'",
        *CUT_OFF,
    )


def test_what_cannot_be_understood_interrupts(play: Play) -> None:
    script = speaking(play, POLITE)
    script.speak(224).expect("> listen item_3 from 0 with lab/stt")

    script.tell(TranscriptionBroke("item_3", "server_error", "broken")).expect(
        "speech_started item_3 at 0", *CUT_OFF
    )


@pytest.mark.parametrize(
    "text", ["", "Mhm.", "Yeah, yeah.", "Okay", "I see.", "Uh-huh", "Right, okay.", "Ja.", "Sí, sí"]
)
def test_these_only_say_that_somebody_listens(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text", ["Stop.", "No.", "Yeah but", "Wait", "Okay stop that now", "What?", "yes yes yes yes"]
)
def test_these_say_more(text: str) -> None:
    assert not is_backchannel(text)
