"""Replies that are prepared before their turn is over: used, revoked, outdated; the latter leave no trace."""

from collections.abc import Callable

import pytest

from pipeline.commands import (
    ClearAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    GenerationFailed,
    GenerationFinished,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    ToolCallGenerated,
    ToolCallOpened,
    TranscriptGrew,
    TranscriptReady,
    TurnJudged,
    UpdateSession,
)
from pipeline.config import Patch
from pipeline.effects import Emit, StartGeneration, StopGeneration
from pipeline.turn_taking import Speculation, TurnTaking
from tests.pipeline.playbook import Playbook, snapshot, user

Play = Callable[..., Playbook]

LISTENED = 192 + 128  # ms of speech, and of the silence after which it is judged
SERVER_VAD: Patch = {
    "audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 480}}}
}


def taking(mode: Speculation = "auto") -> TurnTaking:
    return TurnTaking(speculation=mode, min_interruption_ms=0, echo_guard=False, has_turn_model=True)


def suggested(play: Play, text: str = "Hello there.", mode: Speculation = "auto") -> Playbook:
    """A user said something, sounds finished, and the words are known; a reply is being prepared."""
    script = play(SERVER_VAD, turn_taking=taking(mode))
    script.speak(192).pause(128).skip()
    script.tell(TurnJudged("item_1", 16 * LISTENED, 0.9)).expect("> finish segment item_1 at 320")
    script.tell(TranscriptReady("item_1", text)).expect(
        f"transcription.delta item_1 {text!r}", "> speculate resp_1 with lab/llm, speak as Ann"
    )
    return script


COMMITTED = (
    "speech_stopped item_1 at 672",
    "committed item_1 after None",
    "item.added item_1 user heard None after None",
    "item.done item_1 user heard None after None",
    "> finish listening item_1 0-672",
    "> drop audio before 672",
)
OPENED = (
    "output_item.added resp_1[0] item_2 assistant in_progress",
    "item.added item_2 assistant in_progress after item_1",
    "part.added item_2 audio",
    "> first output resp_1 after 0.000 s",
)


def test_what_was_prepared_is_told_when_the_turn_is_over(play: Play) -> None:
    script = suggested(play)
    assert script.context("resp_1") == ["user: Hello there."]
    script.tell(TextGenerated("resp_1", "Well. ")).expect("> speak resp_1 'Well. '")
    script.tell(TextGenerated("resp_1", "How are you?"), SpeechSynthesized("resp_1", bytes(4800))).expect()

    script.pause(352).expect(
        *COMMITTED,
        "response.created resp_1",
        "transcription.completed item_1 'Hello there.' 0.672 s",
        "> speculation resp_1 used",
        *OPENED,
        "transcript.delta item_2 'Well. '",
        "transcript.delta item_2 'How are you?'",
        "audio.delta item_2 100 ms",
    )
    script.tell(GenerationFinished("resp_1", "stop")).expect(
        "> speak resp_1 'How are you?'", "> finish speaking resp_1"
    )
    script.tell(SpeechFinished("resp_1")).expect(
        "audio.done item_2",
        "transcript.done item_2 'Well. How are you?'",
        "part.done item_2 audio 'Well. How are you?'",
        "item.done item_2 assistant spoken 'Well. How are you?' after item_1",
        "output_item.done resp_1[0] item_2 assistant spoken 'Well. How are you?'",
        "response.done resp_1 completed [item_2] 7+5 tokens",
    )
    assert sum(isinstance(effect, StartGeneration) for effect in script.effects) == 1


def test_a_whole_short_reply_waits_for_the_end_of_the_turn(play: Play) -> None:
    script = suggested(play)
    script.tell(TextGenerated("resp_1", "Yes"), GenerationFinished("resp_1", "stop")).expect(
        "> speak resp_1 'Yes'"
    )

    script.pause(352).expect(
        *COMMITTED,
        "response.created resp_1",
        "transcription.completed item_1 'Hello there.' 0.672 s",
        "> speculation resp_1 used",
        *OPENED,
        "transcript.delta item_2 'Yes'",
        "> finish speaking resp_1",
    )


def test_speech_that_goes_on_leaves_no_trace_of_the_reply(play: Play) -> None:
    script = suggested(play)
    script.tell(TextGenerated("resp_1", "Well. "), SpeechSynthesized("resp_1", bytes(4800))).skip()

    script.speak(32).expect(
        "> listen item_1.1 from 192 with lab/stt", "> stop resp_1", "> speculation resp_1 revoked"
    )
    script.tell(TextGenerated("resp_1", "more"), SpeechSynthesized("resp_1", bytes(4800))).expect()
    script.tell(GenerationFinished("resp_1", "stop"), SpeechFinished("resp_1")).expect()

    script.tell(TranscriptGrew("item_1", "How are", segment=1)).expect(
        "transcription.delta item_1 ' How are'"
    )
    script.pause(480).skip()
    script.tell(TranscriptReady("item_1", "How are you?", segment=1)).expect(
        "transcription.delta item_1 ' you?'",
        "transcription.completed item_1 'Hello there. How are you?' 0.832 s",
        "> generate resp_2 with lab/llm, speak as Ann",
    )
    assert script.context("resp_2") == ["user: Hello there. How are you?"]


def test_a_revoked_reply_changes_nothing_that_is_remembered_of_the_conversation(play: Play) -> None:
    script = suggested(play)
    before = snapshot(script.engine._state.conversation)

    script.tell(TextGenerated("resp_1", "Well. "), ToolCallOpened("resp_1", 0, "call_1", "buy")).speak(
        32
    ).skip()

    assert snapshot(script.engine._state.conversation) == before


def test_calls_are_held_until_the_turn_is_over(play: Play) -> None:
    script = suggested(play)
    script.tell(
        ToolCallOpened("resp_1", 0, "call_1", "buy"),
        ToolCallGenerated("resp_1", 0, '{"count": 1}'),
        GenerationFinished("resp_1", "tool_calls"),
    ).expect()

    script.pause(352).expect(
        *COMMITTED,
        "response.created resp_1",
        "transcription.completed item_1 'Hello there.' 0.672 s",
        "> speculation resp_1 used",
        "output_item.added resp_1[0] item_2 call_1 buy() in_progress",
        "item.added item_2 call_1 buy() in_progress after item_1",
        "arguments.delta item_2 call_1 '{\"count\": 1}'",
        'arguments.done item_2 call_1 buy({"count": 1})',
        'item.done item_2 call_1 buy({"count": 1}) after item_1',
        'output_item.done resp_1[0] item_2 call_1 buy({"count": 1})',
        "response.done resp_1 completed [item_2] 7+3 tokens",
    )


def test_a_model_that_fails_in_advance_is_asked_again_once_the_turn_is_over(play: Play) -> None:
    script = suggested(play)
    script.tell(GenerationFailed("resp_1", "server_error", "broken")).expect("> speculation resp_1 failed")

    script.pause(32).expect()
    script.pause(320).expect(
        *COMMITTED,
        "response.created resp_2",
        "transcription.completed item_1 'Hello there.' 0.672 s",
        "> generate resp_2 with lab/llm, speak as Ann",
    )


@pytest.mark.parametrize("order", [CommitAudio(), ClearAudio()])
def test_a_turn_that_the_client_ends_is_not_answered_in_advance(play: Play, order: CommitAudio) -> None:
    script = suggested(play)
    script.tell(order).skip()

    assert StopGeneration("resp_1") in script.effects
    assert not any("response.created" in line for line in script.story)


def test_a_change_of_the_session_has_the_reply_made_anew(play: Play) -> None:
    script = suggested(play)
    script.tell(UpdateSession({"instructions": "Be brief."})).expect(
        "> stop resp_1",
        "> speculation resp_1 outdated",
        "> configure",
        "session.updated",
        "> speculate resp_2 with lab/llm, speak as Ann",
    )
    assert script.context("resp_2") == ["system: Be brief.", "user: Hello there."]


def test_a_conversation_that_changed_meanwhile_makes_the_reply_useless(play: Play) -> None:
    script = suggested(play)
    script.tell(CreateItem(user("By the way."))).skip()

    script.pause(352).skip()

    assert "> speculation resp_1 outdated" in script.story
    assert "> generate resp_1 with lab/llm, speak as Ann" in script.story
    last = [effect for effect in script.effects if isinstance(effect, StartGeneration)][-1]
    assert [message.text for message in last.request.messages] == ["By the way.", "Hello there."]  # type: ignore[union-attr]


def test_nothing_is_prepared_while_another_response_runs(play: Play) -> None:
    script = play(SERVER_VAD, turn_taking=taking())
    script.speak(192).tell(CreateResponse()).pause(128).skip()
    script.tell(TurnJudged("item_1", 16 * LISTENED, 0.9), TranscriptReady("item_1", "Hi.")).expect(
        "> finish segment item_1 at 320", "transcription.delta item_1 'Hi.'"
    )


def test_switched_off_it_only_suggests(play: Play) -> None:
    script = play(SERVER_VAD, turn_taking=taking("off"))
    script.speak(192).pause(128).skip()
    script.tell(TurnJudged("item_1", 16 * LISTENED, 0.9)).expect()
    assert [report.outcome for report in script.decisions("item_1")] == ["wait", "suggest"]


def test_always_needs_no_suggestion(play: Play) -> None:
    script = play(SERVER_VAD, turn_taking=taking("always"))
    script.speak(192).pause(96).skip()
    script.pause(32).expect("> finish segment item_1 at 320", "> judge item_1 0-320")
    script.tell(TurnJudged("item_1", 16 * LISTENED, 0.1)).tell(TranscriptReady("item_1", "So and")).expect(
        "transcription.delta item_1 'So and'", "> speculate resp_1 with lab/llm, speak as Ann"
    )


def test_a_turn_without_words_prepares_nothing(play: Play) -> None:
    script = play(SERVER_VAD, turn_taking=taking())
    script.speak(192).pause(128).skip()
    script.tell(TurnJudged("item_1", 16 * LISTENED, 0.9), TranscriptReady("item_1", "")).expect(
        "> finish segment item_1 at 320"
    )


def test_late_deltas_of_one_segment_come_before_those_of_the_next(play: Play) -> None:
    script = play(SERVER_VAD, turn_taking=taking())
    script.speak(192).pause(128).tell(TurnJudged("item_1", 16 * LISTENED, 0.9)).speak(32).skip()

    script.tell(TranscriptGrew("item_1", "you?", segment=1)).expect()
    script.tell(TranscriptReady("item_1", "How are")).expect(
        "transcription.delta item_1 'How are'", "transcription.delta item_1 ' you?'"
    )


def test_clients_hear_of_suggestions_only_when_they_ask(play: Play) -> None:
    asked = {**SERVER_VAD, "provider_data": {"turn_suggestions": True}}
    script = play(asked, turn_taking=taking("off"))
    script.speak(192).pause(128).skip()
    script.tell(TurnJudged("item_1", 16 * LISTENED, 0.9)).expect(
        "turn_suggestion item_1 #0 0.90 after 128 of silence"
    )
    script.speak(32).expect("turn_suggestion_revoked item_1 #0")


def test_no_event_of_a_speculation_is_emitted_before_the_turn_is_over(play: Play) -> None:
    script = suggested(play)
    known = len(script.effects)
    script.tell(TextGenerated("resp_1", "One. Two. Three. "), SpeechSynthesized("resp_1", bytes(4800)))
    script.tell(GenerationFinished("resp_1", "stop")).skip()

    assert not any(isinstance(effect, Emit) for effect in script.effects[known:])
