"""Sessions of type transcription: speech in, text out, and never an answer."""

from collections.abc import Mapping
from typing import Any

from pipeline.commands import (
    CommitAudio,
    TranscriptGrew,
    TranscriptionBroke,
    TranscriptReady,
    UpdateSession,
)
from tests.pipeline.core.conftest import Play


def transcribing(turn_detection: Mapping[str, Any] | None, **input: Any) -> dict[str, Any]:
    detection = None if turn_detection is None else {"silence_duration_ms": 320, **turn_detection}
    return {"type": "transcription", "audio": {"input": {"turn_detection": detection, **input}}}


def test_a_turn_is_transcribed_and_not_answered(play: Play) -> None:
    script = play(transcribing({}))

    script.pause(640).speak(640).expect(
        "> drop audio before 440",
        "speech_started item_1 at 440",
        "> listen item_1 from 440 with lab/stt",
    )
    script.pause(320).expect(
        "speech_stopped item_1 at 1600",
        "committed item_1 after None",
        "item.added item_1 user heard None after None",
        "item.done item_1 user heard None after None",
        "> finish listening item_1 440-1600",
        "> drop audio before 1600",
    )
    script.tell(TranscriptReady("item_1", "Hello.")).expect(
        "transcription.delta item_1 'Hello.'", "transcription.completed item_1 'Hello.' 1.160 s"
    )


def test_without_turn_detection_the_text_streams_while_the_audio_flows(play: Play) -> None:
    script = play(transcribing(None))

    script.append(500).expect("> listen item_1 from 0 with lab/stt")
    script.tell(TranscriptGrew("item_1", "Hi ")).expect("transcription.delta item_1 'Hi '")
    script.tell(CommitAudio()).expect("committed item_1 after None", *["..."] * 4)
    script.tell(TranscriptReady("item_1", "Hi there.")).expect(
        "transcription.delta item_1 'there.'", "transcription.completed item_1 'Hi there.' 0.500 s"
    )


def test_a_failure_is_told_and_the_next_item_goes_on(play: Play) -> None:
    script = play(transcribing(None))
    script.append(500).tell(CommitAudio()).skip()

    script.tell(TranscriptionBroke("item_1", "provider_timeout", "too slow")).expect(
        "transcription.failed item_1 provider_timeout..."
    )
    script.append(500).expect("> listen item_2 from 500 with lab/stt")


def test_a_failure_after_the_first_words_is_told_once_their_item_is_there(play: Play) -> None:
    script = play(transcribing(None))
    script.append(500).tell(TranscriptGrew("item_1", "Hi ")).skip()

    script.tell(TranscriptionBroke("item_1", "provider_timeout", "too slow")).expect()
    script.tell(CommitAudio()).expect(
        "committed item_1 after None",
        "item.added item_1 user heard None after None",
        "item.done item_1 user heard None after None",
        "> finish listening item_1 0-500",
        "> drop audio before 500",
        "transcription.failed item_1 provider_timeout...",
    )


def test_without_a_model_audio_is_committed_and_nobody_listens(play: Play) -> None:
    script = play(transcribing(None, transcription=None))

    script.append(500).tell(CommitAudio()).expect(
        "committed item_1 after None",
        "item.added item_1 user heard None after None",
        "item.done item_1 user heard None after None",
        "> finish listening item_1 0-500",
        "> drop audio before 500",
    )
    for _ in range(100):  # none of them waits for a transcript, so there is no limit to run into
        script.append(200).tell(CommitAudio()).expect("committed...", *["..."] * 4)


def test_a_model_chosen_in_mid_session_transcribes_from_the_next_item_on(play: Play) -> None:
    script = play(transcribing(None, transcription=None))
    script.append(500).tell(
        UpdateSession({"audio": {"input": {"transcription": {"model": "lab/other"}}}})
    ).skip()

    script.tell(CommitAudio()).skip()
    script.append(300).expect("> listen item_2 from 500 with lab/other")
