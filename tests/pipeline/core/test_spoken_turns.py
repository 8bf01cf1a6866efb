"""Spoken turns: detected or committed by hand, their transcripts, and the answers that wait for them."""

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.commands import (
    ClearAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    FrameScored,
    GenerationFinished,
    SpeakerHeard,
    TextGenerated,
    TranscriptGrew,
    TranscriptionBroke,
    TranscriptReady,
    UpdateSession,
)
from pipeline.config import LOGPROBS
from pipeline.core.state import EngineLimits
from pipeline.effects import StartUtterance, TranscribeClip
from pipeline.items import InputAudio, MessageItem
from providers.contracts import LlmUsage, SttOptions, SttUsage, TokenLogprob, TranscriptSegment
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import FRAME, Playbook, snapshot, user


def listening(turn_detection: Mapping[str, Any] | None = None, **input: Any) -> dict[str, Any]:
    """A configuration whose answers are text and whose turns end after 320 ms of silence."""
    detection = None if turn_detection is None else {"silence_duration_ms": 320, **turn_detection}
    return {"output_modalities": ("text",), "audio": {"input": {"turn_detection": detection, **input}}}


VAD = listening({})
PUSH_TO_TALK = listening(None)


def spoken_turn(script: Playbook) -> Playbook:
    """640 ms of silence, 640 ms of speech and the silence that ends the turn."""
    return script.pause(640).speak(640).pause(320)


def test_a_turn_is_found_transcribed_and_answered(play: Play) -> None:
    script = play(VAD)

    script.pause(640).expect()
    script.speak(32).expect(
        "> drop audio before 440",
        "speech_started item_1 at 440",
        "> listen item_1 from 440 with lab/stt",
    )
    script.speak(608).tell(TranscriptGrew("item_1", "Hel")).expect("transcription.delta item_1 'Hel'")
    script.pause(288).expect()
    script.pause(32).expect(
        "speech_stopped item_1 at 1600",
        "committed item_1 after None",
        "item.added item_1 user heard None after None",
        "item.done item_1 user heard None after None",
        "> finish listening item_1 440-1600",
        "> drop audio before 1600",
        "response.created resp_1",
    )
    script.tell(TranscriptReady("item_1", "Hello.")).expect(
        "transcription.delta item_1 'lo.'",
        "transcription.completed item_1 'Hello.' 1.160 s",
        "> generate resp_1 with lab/llm",
    )
    assert script.context("resp_1") == ["user: Hello."]


def test_a_turn_committed_by_hand_is_answered_when_asked(play: Play) -> None:
    script = play(PUSH_TO_TALK)

    script.append(500).expect("> listen item_1 from 0 with lab/stt")
    script.append(500).tell(TranscriptGrew("item_1", "Hi ")).expect()  # the client does not know item_1 yet
    script.tell(CommitAudio()).expect(
        "committed item_1 after None",
        "item.added item_1 user heard None after None",
        "item.done item_1 user heard None after None",
        "> finish listening item_1 0-1000",
        "transcription.delta item_1 'Hi '",
        "> drop audio before 1000",
    )
    script.tell(CreateResponse()).expect("response.created resp_1")
    script.tell(TranscriptReady("item_1", "Hi there.")).expect(
        "transcription.delta item_1 'there.'",
        "transcription.completed item_1 'Hi there.' 1.000 s",
        "> generate resp_1 with lab/llm",
    )
    script.append(200).tell(CommitAudio()).expect(
        "> listen item_2 from 1000 with lab/stt", "committed item_2 after item_1", *["..."] * 4
    )


def test_a_final_text_that_takes_words_back_is_told_without_another_delta(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.append(500).tell(TranscriptGrew("item_1", "I scream"), CommitAudio()).skip()

    script.tell(TranscriptReady("item_1", "Ice cream.")).expect(
        "transcription.completed item_1 'Ice cream.' 0.500 s"
    )


@pytest.mark.parametrize("ms", [0, 99])
def test_less_than_100_ms_cannot_be_committed(play: Play, ms: int) -> None:
    script = play(PUSH_TO_TALK)
    if ms:
        script.append(ms).skip()

    script.tell(CommitAudio("e1")).expect("error input_audio_buffer_commit_empty - e1")
    script.append(100 - ms).skip().tell(CommitAudio()).expect("committed item_1 after None", *["..."] * 4)


def test_a_commit_with_turn_detection_takes_what_is_there(play: Play) -> None:
    script = play(VAD)
    script.pause(320).expect()

    script.tell(CommitAudio()).expect(
        "> listen item_1 from 0 with lab/stt",
        "committed item_1 after None",
        *["..."] * 2,
        "> finish listening item_1 0-320",
        "> drop audio before 320",
    )


def test_a_commit_in_mid_speech_ends_the_turn_and_the_rest_is_a_new_one(play: Play) -> None:
    script = play(VAD)
    script.speak(320).skip()

    script.tell(CommitAudio()).expect("committed item_1 after None", *["..."] * 4)
    script.speak(32).expect(
        "speech_started item_2 at 320",  # no padding from before the commit
        "> listen item_2 from 320 with lab/stt",
    )


def test_a_commit_while_a_response_runs_lets_it_go_on(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.tell(CreateItem(user("Hi")), CreateResponse(), TextGenerated("resp_1", "Hel")).append(200).skip()

    script.tell(CommitAudio()).expect("committed item_3 after item_2", *["..."] * 4)
    script.tell(TextGenerated("resp_1", "lo")).expect("text.delta item_2 'lo'")
    script.tell(GenerationFinished("resp_1", "stop", LlmUsage(1, 1))).expect(
        *["..."] * 2,
        "item.done item_2 assistant 'Hello' after item_1",
        "output_item.done ...",
        "response.done resp_1 completed [item_2] 1+1 tokens",
    )


def test_clearing_forgets_audio_and_speech(play: Play) -> None:
    script = play(VAD)
    script.speak(320).skip()

    script.tell(ClearAudio()).expect("> stop listening item_1", "> drop audio before 320", "cleared")
    script.pause(960).expect()
    script.tell(TranscriptReady("item_1", "late"), TranscriptGrew("item_1", "late")).expect()


def test_clearing_what_is_recorded_by_hand_starts_anew(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.append(500).skip()

    script.tell(ClearAudio()).expect("> stop listening item_1", "> drop audio before 500", "cleared")
    script.append(200).expect("> listen item_2 from 500 with lab/stt")


def test_a_frame_judged_after_the_audio_went_away_means_nothing(play: Play) -> None:
    script = play(VAD)
    script.append(320).tell(ClearAudio()).skip()

    script.tell(FrameScored(0, FRAME, 0.9)).expect()


def test_nothing_but_noise_is_not_answered(play: Play) -> None:
    script = play(VAD)
    spoken_turn(script).skip()

    script.tell(TranscriptReady("item_1", "")).expect(
        "transcription.completed item_1 '' 1.160 s", "response.done resp_1 completed 0+0 tokens"
    )


def test_asked_for_by_the_client_even_silence_is_answered(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.append(500).tell(CommitAudio(), CreateResponse()).skip()

    script.tell(TranscriptReady("item_1", "")).expect(
        "transcription.completed item_1 '' 0.500 s", "> generate resp_1 with lab/llm"
    )


def test_a_session_without_transcription_events_still_understands(play: Play) -> None:
    script = play(listening({}, transcription=None))
    script.speak(320).expect("speech_started item_1 at 0", "> listen item_1 from 0 with lab/default-stt")
    script.tell(TranscriptGrew("item_1", "Hel")).expect()
    script.pause(320).skip()

    script.tell(TranscriptReady("item_1", "Hello.")).expect("> generate resp_1 with lab/llm")
    assert script.context("resp_1") == ["user: Hello."]


@pytest.mark.parametrize("visible", [True, False])
def test_a_transcription_that_fails_fails_the_answer(play: Play, visible: bool) -> None:
    script = play(VAD if visible else listening({}, transcription=None))
    spoken_turn(script).skip()

    script.tell(TranscriptionBroke("item_1", "provider_timeout", "gone")).expect(
        *(["transcription.failed item_1 provider_timeout"] if visible else []),
        "response.done resp_1 failed (provider_timeout) 0+0 tokens",
    )
    script.tell(TranscriptReady("item_1", "after all")).expect()
    script.tell(CreateResponse()).expect("response.created resp_2", "> generate resp_2 with lab/llm")


def test_a_transcription_that_failed_in_mid_speech_is_told_after_the_commit(play: Play) -> None:
    script = play(VAD)
    script.speak(320).skip().tell(TranscriptionBroke("item_1", "provider_error", "gone")).expect()

    script.pause(320).expect(
        "speech_stopped item_1 at 640",
        "committed item_1 after None",
        *["..."] * 4,
        "response.created resp_1",
        "transcription.failed item_1 provider_error",
        "response.done resp_1 failed (provider_error) 0+0 tokens",
    )


def test_a_transcription_that_failed_before_a_commit_by_hand_is_told_after_it(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.append(320).skip().tell(TranscriptionBroke("item_1", "provider_error", "gone")).expect()

    script.tell(CommitAudio()).expect(
        "committed item_1 after None", *["..."] * 4, "transcription.failed item_1 provider_error"
    )
    script.tell(CreateResponse()).expect("response.created resp_1", "> generate resp_1 with lab/llm")


def test_a_response_waits_for_every_transcript_before_it(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.append(200).tell(CommitAudio()).append(200).tell(CommitAudio(), CreateResponse()).skip()

    script.tell(TranscriptReady("item_2", "two.")).expect("...", "transcription.completed item_2 'two.' ...")
    script.tell(TranscriptReady("item_1", "One,")).expect(
        "...", "transcription.completed item_1 'One,' ...", "> generate resp_1 with lab/llm"
    )
    assert script.context("resp_1") == ["user: One,", "user: two."]


def test_deleting_the_turn_that_a_response_waits_for_lets_it_go_on(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.tell(CreateItem(user("Hi"))).append(200).tell(CommitAudio(), CreateResponse()).skip()

    script.tell(DeleteItem("item_2")).expect(
        "> forget item_2", "item.deleted item_2", "> generate resp_1 with lab/llm"
    )
    script.tell(TranscriptReady("item_2", "late")).expect()
    assert script.context("resp_1") == ["user: Hi"]


def test_deleting_the_turn_that_is_being_answered_by_itself_ends_the_answer(play: Play) -> None:
    script = play(VAD)
    spoken_turn(script).skip()

    script.tell(DeleteItem("item_1")).expect(
        "> forget item_1", "item.deleted item_1", "response.done resp_1 completed 0+0 tokens"
    )


def test_an_item_cannot_take_the_id_of_the_turn_that_is_being_spoken(play: Play) -> None:
    script = play(VAD)
    script.speak(320).skip()

    script.tell(CreateItem(user("me", id="item_1"))).expect("error item_create_duplicate_item_id -")
    script.pause(320).expect("...", "committed item_1 after None", *["..."] * 5)


def test_speech_without_end_is_committed_when_the_buffer_is_full(play: Play) -> None:
    script = play(VAD, limits=EngineLimits(max_buffer_seconds=1))
    script.speak(992).skip()

    script.speak(32).expect(
        "speech_stopped item_1 at 1024",
        "committed item_1 after None",
        *["..."] * 4,
        "response.created resp_1",
    )
    script.speak(32).expect("speech_started item_2 at 1024", "> listen item_2 ...", "response.done ...")


def test_a_silent_microphone_fills_no_memory(play: Play) -> None:
    script = play(VAD)
    script.pause(6016).expect("> drop audio before 1016")


def test_long_prefix_padding_is_kept_for(play: Play) -> None:
    script = play(listening({"prefix_padding_ms": 10_000}))
    script.pause(12_800).skip()

    script.speak(32).expect("...", "speech_started item_1 at 2800", "> listen item_1 from 2800 with lab/stt")


def test_too_much_audio_waiting_for_its_transcript_is_refused(play: Play) -> None:
    script = play(PUSH_TO_TALK, limits=EngineLimits(max_pending_transcripts=1))
    script.append(200).tell(CommitAudio()).append(200).skip()
    clip = MessageItem("", "user", (InputAudio(pcm=bytes(2)),))

    script.tell(CommitAudio()).expect("error too_many_pending_transcripts -")
    script.tell(CreateItem(clip)).expect("error too_many_pending_transcripts -")
    script.tell(TranscriptReady("item_1", "one")).skip()
    script.tell(CommitAudio()).expect("committed item_2 after item_1", *["..."] * 4)


# --- which turns are answered, and what interrupts ---------------------------------------------------


@pytest.mark.parametrize("interrupt", [True, False])
@pytest.mark.parametrize("create", [True, False])
def test_answering_and_interrupting_can_be_switched_off_apart(
    play: Play, create: bool, interrupt: bool
) -> None:
    script = play(listening({"create_response": create, "interrupt_response": interrupt}))
    script.tell(CreateItem(user("Hi")), CreateResponse()).skip()

    script.speak(32).expect(
        "speech_started item_2 at 0",
        "> listen item_2 from 0 with lab/stt",
        *(
            ["> stop resp_1", "response.done resp_1 cancelled (turn_detected) 5+0 tokens"]
            if interrupt
            else []
        ),
    )
    script.pause(320).expect(
        "speech_stopped item_2 at 352",
        "committed item_2 after item_1",
        *["..."] * 4,
        *(["response.created resp_2"] if interrupt and create else []),
    )


def test_an_update_between_the_end_of_speech_and_the_answer_does_not_change_that_answer(play: Play) -> None:
    script = play(VAD)
    spoken_turn(script).skip()

    script.tell(UpdateSession({"instructions": "Rhyme!"})).expect("> configure", "session.updated")
    script.tell(TranscriptReady("item_1", "Hello.")).expect("...", "...", "> generate resp_1 with lab/llm")
    assert script.context("resp_1") == ["user: Hello."]

    script.tell(GenerationFinished("resp_1", "stop"), CreateResponse()).skip()
    assert script.context("resp_2") == ["system: Rhyme!", "user: Hello."]


def test_turn_detection_switched_off_in_mid_speech_leaves_the_commit_to_the_client(play: Play) -> None:
    script = play(VAD)
    script.speak(320).skip()

    script.tell(UpdateSession({"audio": {"input": {"turn_detection": None}}})).expect(
        "> configure", "session.updated"
    )
    script.pause(960).expect()
    script.tell(CommitAudio()).expect(
        "committed item_1 after None",
        *["..."] * 2,
        "> finish listening item_1 0-1280",
        "> drop audio before 1280",
    )


def test_turn_detection_switched_on_takes_over_what_was_recorded_by_hand(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.append(320).skip()

    script.tell(UpdateSession(VAD)).expect("> stop listening item_1", "> configure", "session.updated")
    script.speak(32).expect("speech_started item_2 at 0", "> listen item_2 from 0 with lab/stt")


def test_a_change_of_type_in_mid_speech_holds_for_the_silence_that_follows(play: Play) -> None:
    script = play(listening({"silence_duration_ms": 10_000}))
    script.speak(320).skip()

    semantic = {"type": "semantic_vad", "eagerness": "high"}
    script.tell(UpdateSession({"audio": {"input": {"turn_detection": semantic}}})).skip()
    script.pause(576).expect()
    script.pause(32).expect("speech_stopped item_1 at 920", *["..."] * 6)


def test_the_hints_of_a_session_reach_its_transcriptions(play: Play) -> None:
    hints = {"language": "de", "prompt": "Namen", "keywords": ("Godot",), "delay": "low"}
    script = play({**listening(None, transcription=hints), "include": (LOGPROBS,)})
    script.append(200).expect("> listen item_1 from 0 with lab/stt")
    clip = MessageItem("", "user", (InputAudio(pcm=bytes(100)),))
    script.tell(CreateItem(clip)).skip()

    wanted = SttOptions("de", "Namen", keywords=("Godot",), delay="low", logprobs=True)
    orders = [e for e in script.effects if isinstance(e, StartUtterance | TranscribeClip)]
    assert [order.options for order in orders] == [wanted, wanted]


def test_segments_languages_and_counts_of_the_engine_reach_the_client(play: Play) -> None:
    script = play(PUSH_TO_TALK)
    script.append(500).tell(
        TranscriptGrew("item_1", "Hi", (TokenLogprob("Hi", -0.1, b"Hi"),)),
        SpeakerHeard("item_1", TranscriptSegment("seg_1", "Hi", "A", 0.0, 0.4)),
    ).skip()

    script.tell(CommitAudio()).expect(
        "committed item_1 after None",
        *["..."] * 3,
        "transcription.delta item_1 'Hi' ['Hi']",  # in the order in which they came
        "transcription.segment item_1 A 'Hi'",
        "> drop audio before 500",
    )
    script.tell(
        TranscriptReady("item_1", "Hi", 0, (TokenLogprob("Hi", -0.1, b"Hi"),), ("en",), SttUsage(9, 1))
    ).expect("transcription.completed item_1 'Hi' 9+1 tokens in en ['Hi']")


def test_a_client_that_wants_no_transcripts_gets_no_segments(play: Play) -> None:
    script = play(listening(None, transcription=None))
    script.append(500).tell(CommitAudio()).skip()

    script.tell(
        SpeakerHeard("item_1", TranscriptSegment("seg_1", "Hi", "A", 0.0, 0.4)),
        SpeakerHeard("item_9", TranscriptSegment("seg_1", "Hi", "A", 0.0, 0.4)),
        TranscriptReady("item_1", "Hi"),
    ).expect()


def test_audio_keeps_the_settings_that_it_was_sent_under(play: Play) -> None:
    script = play(listening({"threshold": 1.0}))
    script.append(64).tell(UpdateSession({"audio": {"input": {"turn_detection": {"threshold": 0.5}}}})).skip()

    script.tell(FrameScored(0, FRAME, 0.9), FrameScored(FRAME, 2 * FRAME, 0.9)).expect()
    script.speak(32).expect("speech_started item_1 at 0", "> listen item_1 ...")


def test_updates_without_audio_between_them_do_not_pile_up(play: Play) -> None:
    script = play(VAD)
    before = len(str(snapshot(script.engine)))
    for threshold in (0.1, 0.2, 0.3, 0.5):
        script.tell(UpdateSession({"audio": {"input": {"turn_detection": {"threshold": threshold}}}}))

    script.expect(*["> configure", "session.updated"] * 4)
    assert len(str(snapshot(script.engine))) == before
