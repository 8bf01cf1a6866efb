"""What clients ask of the transcription beyond the protocol, and how the voice sounded."""

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.commands import CommitAudio, CreateItem, TranscriptReady, TurnJudged, UpdateSession
from pipeline.effects import Emit, StartUtterance, TranscribeClip
from pipeline.events import TranscriptionCompleted
from pipeline.items import InputAudio, MessageItem
from providers.contracts import SttOptions
from tests.pipeline.core.conftest import Play
from tests.pipeline.core.test_speculation import LISTENED, SERVER_VAD, taking
from tests.pipeline.core.test_spoken_turns import PUSH_TO_TALK, listening
from tests.pipeline.playbook import Playbook

PROFILE = {"emotion": [{"label": "calm", "confidence": 0.8}]}
HINTED = {"prompt": "Names.", "language_hints": ["de", "en"], "vad_threshold": 0.4}


def options(script: Playbook) -> tuple[str, SttOptions]:
    """Model and options of the last transcription that was asked for."""
    orders = [effect for effect in script.effects if isinstance(effect, StartUtterance | TranscribeClip)]
    return orders[-1].model, orders[-1].options


def asked(stt: Mapping[str, Any], transcription: Any = ()) -> Any:
    patch: Any = listening(None, **({"transcription": transcription} if transcription != () else {}))
    return {**patch, "provider_data": {"stt": stt}}


@pytest.mark.parametrize(
    ("transcription", "wanted"),
    [
        ({}, SttOptions(prompt="Names.", languages=("de", "en"), settings=HINTED)),
        ({"prompt": "Mine."}, SttOptions(prompt="Mine.", languages=("de", "en"), settings=HINTED)),
        ({"language": "fr"}, SttOptions("fr", "Names.", settings=HINTED)),
        ({"languages": ("it",)}, SttOptions(prompt="Names.", languages=("it",), settings=HINTED)),
    ],
)
def test_the_members_of_the_protocol_go_first(play: Play, transcription: Any, wanted: SttOptions) -> None:
    script = play(asked(HINTED, transcription))
    script.append(500).expect("> listen item_1 ...")

    assert options(script) == ("lab/stt", wanted)


def test_they_hold_where_nobody_wants_to_see_transcripts(play: Play) -> None:
    script = play(asked(HINTED, None))
    script.append(500).expect("> listen item_1 ...")

    assert options(script) == (
        "lab/default-stt",
        SttOptions(prompt="Names.", languages=("de", "en"), settings=HINTED),
    )


def test_they_hold_for_recordings_inside_items_and_from_the_next_one_on(play: Play) -> None:
    script = play(asked({"vadThreshold": 0.1}))
    script.tell(UpdateSession({"provider_data": {"stt": {"vad_threshold": 0.9, "languageHints": ["de"]}}}))
    script.skip().tell(CreateItem(MessageItem("a", "user", (InputAudio(pcm=bytes(3200)),))))
    script.expect("> keep clip ...", "> transcribe ...", "...", "...")

    given = {"vad_threshold": 0.9, "languageHints": ["de"]}
    assert options(script) == ("lab/stt", SttOptions(languages=("de",), settings=given))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"voice_profile": True}, True),
        ({"voiceProfile": True}, True),
        ({"voice_profile": {"top_n": 2}}, True),
        ({"voice_profile": {"enabled": False}}, False),
        ({"voice_profile": False}, False),
        ({}, False),
    ],
)
def test_how_a_voice_sounds_is_told_to_those_who_ask(play: Play, wanted: Any, told: bool) -> None:
    script = play({**PUSH_TO_TALK, "provider_data": {"stt": wanted}})
    script.append(500).tell(CommitAudio()).skip()

    script.tell(TranscriptReady("item_1", "Hi", voice_profile=PROFILE)).expect(
        "transcription.delta ...", "transcription.completed ..."
    )
    assert profiles(script) == [PROFILE if told else None]


def test_of_a_turn_in_pieces_the_last_profile_counts(play: Play) -> None:
    asks: Any = {**SERVER_VAD, "provider_data": {"stt": {"voice_profile": True}}}
    script = play(asks, turn_taking=taking())
    script.speak(192).pause(128).tell(TurnJudged("item_1", 16 * LISTENED, 0.9))
    script.tell(TranscriptReady("item_1", "Hello", voice_profile={"age": []}))
    script.speak(32).pause(480).skip()

    script.tell(TranscriptReady("item_1", "there.", segment=1, voice_profile=PROFILE)).expect(
        "transcription.delta ...", "transcription.completed item_1 'Hello there.' ...", "> generate ..."
    )
    assert profiles(script) == [PROFILE]


def profiles(script: Playbook) -> list[Any]:
    """The profiles of the transcripts that the client was told."""
    events = [effect.event for effect in script.effects if isinstance(effect, Emit)]
    return [event.voice_profile for event in events if isinstance(event, TranscriptionCompleted)]
