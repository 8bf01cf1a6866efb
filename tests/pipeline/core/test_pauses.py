"""Pauses inside turns: when a turn is judged, what suggestions come of it, and when semantic_vad ends it."""

from collections.abc import Callable

import pytest

from pipeline.commands import (
    ClearAudio,
    EndOfTurnHeard,
    TranscriptGuessed,
    TranscriptReady,
    TurnJudged,
    UpdateSession,
)
from pipeline.config import Eagerness, Patch
from pipeline.core.endpointing import Evidence, decide
from pipeline.core.pauses import CHECK_MS
from pipeline.effects import JudgeTurn
from pipeline.turn_taking import TurnTaking
from tests.pipeline.playbook import Playbook

Play = Callable[..., Playbook]

JUDGED = TurnTaking(speculation="off", min_interruption_ms=0, echo_guard=False, has_turn_model=True)
ALONE = TurnTaking(speculation="off", min_interruption_ms=0, echo_guard=False)
MAX_WAIT_MS: dict[Eagerness, int] = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}


def semantic(eagerness: Eagerness = "auto", **more: object) -> Patch:
    return {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}}, **more}


def server(silence_ms: int) -> Patch:
    return {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": silence_ms}}}}


def judged(script: Playbook) -> list[JudgeTurn]:
    return [effect for effect in script.effects if isinstance(effect, JudgeTurn)]


def stopped_at(script: Playbook) -> int | None:
    """The end of the first turn, in ms."""
    ends = [line for line in script.skip().story if line.startswith("speech_stopped")]
    return int(ends[0].split()[-1]) if ends else None


def answer(script: Playbook, probability: float | None) -> None:
    """The judge's answer to what it was asked last."""
    order = judged(script)[-1]
    script.tell(TurnJudged(order.item_id, order.end, probability, 40.0))


def wait_of(eagerness: Eagerness, **known: object) -> int:
    return decide(Evidence(silence_ms=192, speech_ms=320, **known), eagerness).wait_ms  # type: ignore[arg-type]


# --- when a turn is judged -----------------------------------------------------------------------------


def test_each_pause_is_judged_once(play: Play) -> None:
    script = play(semantic("low"), turn_taking=JUDGED)
    for _ in range(3):
        script.speak(320).pause(480)
        answer(script, 0.1)
    script.pause(480).skip().expect()

    assert [order.end // 16 for order in judged(script)] == [
        320 + CHECK_MS,
        800 + 320 + CHECK_MS,
        1600 + 320 + CHECK_MS,
    ]


def test_a_pause_between_words_is_not_judged(play: Play) -> None:
    script = play(semantic(), turn_taking=JUDGED)
    script.speak(320).pause(96).speak(320).pause(96).expect(
        "speech_started item_1 at 0", "> listen item_1 from 0 with lab/stt"
    )


def test_a_judgement_that_would_come_too_late_is_not_asked_for(play: Play) -> None:
    script = play(server(160), turn_taking=JUDGED)
    script.speak(320).pause(160).skip().expect()

    assert judged(script) == []


def test_a_judgement_of_an_earlier_pause_counts_for_nothing(play: Play) -> None:
    script = play(semantic("high"), turn_taking=JUDGED)
    script.speak(320).pause(192).skip()
    order = judged(script)[0]
    script.speak(32).pause(64)

    script.tell(TurnJudged("item_1", order.end, 0.99)).expect()


def test_without_a_model_nobody_is_asked(play: Play) -> None:
    script = play(semantic(), turn_taking=ALONE)
    script.speak(320).pause(640).skip().expect()

    assert judged(script) == []


# --- server_vad ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.99, None])
@pytest.mark.parametrize("silence_ms", [200, 333, 500, 777, 1000])
def test_server_vad_ends_after_exactly_its_silence_whatever_is_suggested(
    play: Play, silence_ms: int, probability: float | None
) -> None:
    script = play(server(silence_ms), turn_taking=JUDGED)
    script.speak(320)
    for _ in range(40):
        asked = len(judged(script))
        script.pause(32)
        if len(judged(script)) > asked:
            answer(script, probability)

    assert stopped_at(script) == 320 + silence_ms
    script.expect()


def test_suggestions_are_told_and_taken_back(play: Play) -> None:
    script = play({**server(800), "provider_data": {"turn_suggestions": True}}, turn_taking=JUDGED)
    script.speak(320).pause(192).skip()
    answer(script, 0.9)
    script.expect("turn_suggestion item_1 #0 0.90 after 192 of silence")
    script.speak(32).expect("turn_suggestion_revoked item_1 #0")

    script.pause(192).skip()
    answer(script, 0.8)
    script.expect("turn_suggestion item_1 #0 0.80 after 192 of silence")
    script.pause(608).skip()
    script.speak(32).pause(192).skip()
    answer(script, 0.7)
    script.expect("turn_suggestion item_2 #1 0.70 after 192 of silence")


def test_later_evidence_may_take_a_suggestion_back(play: Play) -> None:
    script = play({**server(1000), "provider_data": {"turn_suggestions": True}}, turn_taking=JUDGED)
    script.speak(320).pause(192).skip()
    answer(script, 0.8)
    script.expect("turn_suggestion ...")
    script.tell(TranscriptGuessed("item_1", "I would like to go to the")).expect(
        "turn_suggestion_revoked item_1 #0"
    )


# --- semantic_vad ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eagerness", ["low", "medium", "auto", "high"])
def test_who_sounds_finished_is_answered_soon(play: Play, eagerness: Eagerness) -> None:
    script = play(semantic(eagerness), turn_taking=JUDGED)
    script.speak(320).pause(192)
    answer(script, 0.98)
    script.pause(1024)

    expected = 320 + max(192, wait_of(eagerness, sound=0.98))
    assert stopped_at(script) == expected
    script.expect()


@pytest.mark.parametrize("eagerness", ["low", "medium", "auto", "high"])
def test_nobody_is_waited_for_longer_than_documented(play: Play, eagerness: Eagerness) -> None:
    script = play(semantic(eagerness), turn_taking=JUDGED)
    script.speak(320)
    script.tell(TranscriptGuessed("item_1", "I would like to and"))
    script.pause(192)
    answer(script, 0.0)
    script.pause(8000)
    end = stopped_at(script)

    assert end is not None
    assert end <= 320 + MAX_WAIT_MS[eagerness]
    script.expect()


def test_who_does_not_sound_finished_is_waited_for(play: Play) -> None:
    sure, unsure = play(semantic(), turn_taking=JUDGED), play(semantic(), turn_taking=JUDGED)
    for script, probability in ((sure, 0.95), (unsure, 0.05)):
        script.speak(320).pause(192)
        answer(script, probability)
        for _ in range(125):
            asked = len(judged(script))
            script.pause(32)
            if len(judged(script)) > asked:
                answer(script, probability)
    soon, late = stopped_at(sure), stopped_at(unsure)
    sure.expect()
    unsure.expect()

    assert soon is not None
    assert late is None or late > 2 * soon


def test_evidence_that_comes_late_ends_the_turn_at_once(play: Play) -> None:
    script = play(semantic(), turn_taking=JUDGED)
    script.speak(320).pause(192)
    answer(script, 0.2)
    script.pause(448).skip()

    script.tell(EndOfTurnHeard("item_1", 1.0)).skip()

    assert wait_of("auto", sound=0.2, engine=1.0) <= 640
    assert stopped_at(script) == 320 + 640  # where it was known, not where it would have ended had it been
    script.expect()


def test_the_transcription_may_say_that_the_turn_is_over(play: Play) -> None:
    script = play(semantic(), turn_taking=ALONE)
    script.speak(320).pause(192).skip()
    script.tell(TranscriptReady("item_1", "Yes, please."), EndOfTurnHeard("item_1", 0.97)).skip()
    script.pause(480)

    end = stopped_at(script)
    assert end is not None
    assert end <= 320 + 192 + 480
    assert script.decisions("item_1")[-1].evidence.engine == 0.97
    script.expect()


def test_speech_makes_the_opinion_of_the_transcription_void(play: Play) -> None:
    script = play(semantic("low"), turn_taking=ALONE)
    script.speak(320).pause(96)
    script.tell(EndOfTurnHeard("item_1", 0.97)).speak(64).pause(96).skip().expect()

    assert script.decisions("item_1")[-1].evidence.engine is None


def test_each_decision_can_be_explained(play: Play) -> None:
    script = play(semantic(), turn_taking=JUDGED)
    script.speak(320).pause(192)
    script.tell(TranscriptGuessed("item_1", "What time is it?"))
    answer(script, 0.9)
    script.pause(1024).skip().expect()

    reports = script.decisions("item_1")
    last = reports[-1]
    assert (last.detection, last.outcome) == ("semantic_vad", "end")
    assert last.evidence.sound == 0.9
    assert last.evidence.text == "What time is it?"
    assert last.decision is not None
    assert last.decision.reason


# --- changes in mid-turn ---------------------------------------------------------------------------------


def test_the_type_may_change_in_a_pause_and_holds_for_what_comes(play: Play) -> None:
    script = play(semantic("low"), turn_taking=JUDGED)
    script.speak(320).pause(192)
    answer(script, 0.01)
    script.tell(UpdateSession(server(400))).pause(256)

    assert stopped_at(script) == 320 + 400
    script.expect()


def test_no_audio_is_lost_when_it_is_switched_off_and_on_in_mid_turn(play: Play) -> None:
    script = play(semantic(), turn_taking=JUDGED)
    script.speak(320).pause(192)
    answer(script, 0.01)
    script.skip()

    script.tell(UpdateSession({"audio": {"input": {"turn_detection": None}}})).expect(
        "> configure", "session.updated"
    )
    script.append(320).tell(UpdateSession(semantic())).expect("> configure", "session.updated")
    script.speak(64).pause(192)
    answer(script, 0.99)
    script.pause(256).skip()

    # One turn, from its first word to its last.
    assert any(line.startswith("> finish listening item_1 0-") for line in script.story)
    assert sum(line.startswith("speech_started") for line in script.story) == 1


def test_what_was_cleared_is_not_suggested(play: Play) -> None:
    script = play({**semantic(), "provider_data": {"turn_suggestions": True}}, turn_taking=JUDGED)
    script.speak(320).pause(192).tell(ClearAudio()).skip()

    answer(script, 0.99)

    script.expect()
