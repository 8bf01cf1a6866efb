"""Barge-in and cancel, at every moment of a response."""

from pipeline.commands import (
    CancelResponse,
    CommitAudio,
    CreateItem,
    CreateResponse,
    GenerationFinished,
    ResponseParams,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    TranscriptReady,
    TruncateItem,
)
from providers.contracts import TextMark
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import Playbook, user

VAD = {"audio": {"input": {"turn_detection": {"silence_duration_ms": 320}}}}
CANCELLED_SPEECH = (
    "audio.done item_2",
    "transcript.done item_2 'One two three.'",
    "part.done item_2 audio 'One two three.'",
    "item.done item_2 assistant spoken 'One two three.' incomplete after item_1",
    "output_item.done resp_1[0] item_2 assistant spoken 'One two three.' incomplete",
)


def answering(script: Playbook) -> Playbook:
    """The first words of an answer are written, and none of them is spoken yet."""
    return script.tell(
        CreateItem(user("Hi")), CreateResponse(), TextGenerated("resp_1", "One two three.")
    ).skip()


def test_speech_cuts_an_answer_off_in_its_first_frame(play: Play) -> None:
    script = answering(play(VAD))
    script.tell(SpeechSynthesized("resp_1", bytes(48_000), (TextMark(3, 12_000), TextMark(7, 24_000)))).skip()

    script.speak(32).expect(
        "speech_started item_3 at 0",
        "> listen item_3 from 0 with lab/stt",
        "> stop resp_1",
        *CANCELLED_SPEECH,
        "response.done resp_1 cancelled (turn_detected) [item_2] 5+4 tokens",
        "> stop playback",
    )
    script.tell(SpeechSynthesized("resp_1", bytes(100)), TextGenerated("resp_1", " Four.")).expect()
    script.tell(TruncateItem("item_2", 0, 500)).expect(
        "> cut audio item_2 at 500", "item.truncated item_2 at 500"
    )
    script.pause(320).skip().tell(TranscriptReady("item_3", "Stop.")).skip()
    assert script.context("resp_2") == ["user: Hi", "assistant: One", "user: Stop."]


def test_what_was_written_but_not_spoken_yet_was_not_heard(play: Play) -> None:
    script = answering(play())
    script.tell(SpeechSynthesized("resp_1", bytes(24_000), (TextMark(3, 12_000),)), CancelResponse()).skip()

    # The client has played all that it got, 500 ms, which is the first of the three words.
    script.tell(TruncateItem("item_2", 0, 500)).expect(
        "> cut audio item_2 at 500", "item.truncated item_2 at 500"
    )

    script.tell(CreateResponse()).skip()
    assert script.context("resp_2") == ["user: Hi", "assistant: One"]


def test_speech_before_the_first_audio_cuts_the_answer_off_too(play: Play) -> None:
    answering(play(VAD)).speak(32).expect(
        "speech_started item_3 at 0",
        "> listen ...",
        "> stop resp_1",
        *CANCELLED_SPEECH,
        "response.done resp_1 cancelled (turn_detected) [item_2] 5+4 tokens",
    )


def test_speech_before_the_first_word_leaves_no_item(play: Play) -> None:
    script = play(VAD)
    script.tell(CreateResponse()).skip()

    script.speak(32).expect(
        "speech_started item_1 at 0",
        "> listen ...",
        "> stop resp_1",
        "response.done resp_1 cancelled (turn_detected) 0+0 tokens",
    )


def test_speech_while_an_answer_waits_for_its_transcript_is_answered_together(play: Play) -> None:
    script = play(VAD)
    script.speak(320).pause(320).skip()

    script.speak(32).expect(
        "speech_started item_2 at 640",
        "> listen item_2 ...",
        "response.done resp_1 cancelled (turn_detected) 0+0 tokens",  # nothing runs yet, so nothing stops
    )
    script.tell(TranscriptReady("item_1", "Wait,")).expect("...", "transcription.completed item_1 ...")
    script.pause(320).skip().tell(TranscriptReady("item_2", "what?")).skip()
    assert script.context("resp_2") == ["user: Wait,", "user: what?"]


def test_speech_after_everything_was_generated_has_nothing_to_cancel(play: Play) -> None:
    script = answering(play(VAD))
    script.tell(SpeechSynthesized("resp_1", bytes(48_000), (TextMark(14, 24_000),))).finish("resp_1").skip()

    script.speak(32).expect(
        "speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", "> stop playback"
    )
    script.tell(TruncateItem("item_2", 0, 600)).expect(
        "> cut audio item_2 at 600", "item.truncated item_2 at 600"
    )


def test_speech_while_only_the_voice_is_still_at_work_cuts_it_off(play: Play) -> None:
    script = answering(play(VAD))
    script.tell(GenerationFinished("resp_1", "stop")).skip()

    script.speak(32).expect(
        "speech_started item_3 at 0",
        "> listen ...",
        "> stop resp_1",
        *CANCELLED_SPEECH,
        "response.done resp_1 cancelled (turn_detected) [item_2] ...",
    )
    script.tell(SpeechFinished("resp_1")).expect()


def test_speech_leaves_responses_outside_the_conversation_alone(play: Play) -> None:
    script = play(VAD)
    script.tell(CreateResponse(ResponseParams(in_conversation=False))).skip()

    script.speak(32).expect("speech_started item_1 at 0", "> listen ...")
    script.tell(GenerationFinished("resp_1", "stop")).expect("response.done resp_1 completed out-of-band ...")


def test_cancelling_ends_what_runs_in_the_conversation(play: Play) -> None:
    script = answering(play())

    script.tell(CancelResponse()).expect(
        "> stop resp_1",
        *CANCELLED_SPEECH,
        "response.done resp_1 cancelled (client_cancelled) [item_2] 5+4 tokens",
    )
    script.tell(CancelResponse(event_id="again")).expect("error response_cancel_not_active - again")


def test_cancelling_before_any_item_gives_an_empty_response(play: Play) -> None:
    script = play()
    script.tell(CreateResponse()).skip()

    script.tell(CancelResponse("resp_1")).expect(
        "> stop resp_1", "response.done resp_1 cancelled (client_cancelled) 0+0 tokens"
    )


def test_cancelling_a_response_that_still_waits_stops_no_generation(play: Play) -> None:
    script = play({"audio": {"input": {"turn_detection": None}}})
    script.append(200).tell(CommitAudio(), CreateResponse()).skip()

    script.tell(CancelResponse()).expect("response.done resp_1 cancelled (client_cancelled) 0+0 tokens")
    script.tell(TranscriptReady("item_1", "Hi")).expect("...", "transcription.completed ...")


def test_cancelling_by_a_foreign_id_is_refused_and_the_response_runs_on(play: Play) -> None:
    script = play()
    script.tell(CreateResponse()).skip()

    script.tell(CancelResponse("resp_77", "e1")).expect("error response_cancel_not_active - e1")
    script.tell(GenerationFinished("resp_1", "stop")).expect("response.done resp_1 completed ...")


def test_cancelling_without_an_id_does_not_reach_outside_the_conversation(play: Play) -> None:
    script = play()
    script.tell(CreateResponse(ResponseParams(in_conversation=False))).skip()

    script.tell(CancelResponse()).expect("error response_cancel_not_active -")
    script.tell(CancelResponse("resp_1")).expect(
        "> stop resp_1", "response.done resp_1 cancelled out-of-band (client_cancelled) 0+0 tokens"
    )
