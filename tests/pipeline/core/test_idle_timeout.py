"""The idle timeout: from the end of playback, once per reply, and never while anything goes on."""

from collections.abc import Callable

from pipeline.commands import (
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeadlinePassed,
    GenerationFinished,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    TruncateItem,
    UpdateSession,
)
from pipeline.config import Patch
from tests.pipeline.playbook import Playbook, user

Play = Callable[..., Playbook]


def vad(**members: object) -> Patch:
    return {
        "audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000, **members}}}
    }


def answered(play: Play, patch: Patch | None = None) -> Playbook:
    """The assistant has just been sent two seconds of speech, at 10 s; they are played until 12 s."""
    script = play(patch or vad())
    script.now = 10.0
    script.tell(CreateItem(user("Hello.")), CreateResponse(), TextGenerated("resp_1", "Hi."))
    script.tell(SpeechSynthesized("resp_1", bytes(96_000)), GenerationFinished("resp_1", "stop")).skip()
    script.tell(SpeechFinished("resp_1")).expect(*["..."] * 6, "> deadline at 17.000 s")
    return script


def test_the_silence_is_committed_and_the_assistant_speaks(play: Play) -> None:
    script = answered(play)
    script.now = 16.0
    script.append(6000).skip()
    script.now = 17.0

    script.tell(DeadlinePassed()).expect(
        "timeout_triggered item_3 1000-6000",  # what came since the reply was played
        "committed item_3 after item_2",
        "item.added item_3 user heard '' after item_2",
        "item.done item_3 user heard '' after item_2",
        "> drop audio before 6000",
        "response.created resp_2",
        "> generate resp_2 with lab/llm, speak as Ann",
        "> no deadline",
    )
    assert script.context("resp_2") == [
        "user: Hello.",
        "assistant: Hi.",
        "user: [The user has been silent for a while.]",
    ]


def test_it_does_not_repeat_until_another_reply_is_over(play: Play) -> None:
    script = answered(play)
    script.now = 17.0
    script.tell(DeadlinePassed(), DeadlinePassed()).skip()
    assert sum(line.startswith("timeout_triggered") for line in script.story) == 1

    script.now = 20.0
    script.tell(TextGenerated("resp_2", "Still there?"), GenerationFinished("resp_2", "stop")).skip()
    script.tell(SpeechFinished("resp_2")).expect(*["..."] * 6, "> deadline at 25.000 s")


def test_speech_stops_the_clock(play: Play) -> None:
    script = answered(play)
    script.now = 13.0
    script.speak(32).expect(
        "speech_started item_3 at 0", "> listen item_3 from 0 with lab/stt", "> no deadline"
    )

    script.now = 17.0
    script.tell(DeadlinePassed()).expect()  # it rang before it could be taken back


def test_what_the_client_does_stops_the_clock(play: Play) -> None:
    script = answered(play).append(200).skip()
    script.tell(CommitAudio()).expect(*["..."] * 6, "> no deadline")

    script = answered(play)
    script.tell(CreateResponse()).expect("response.created resp_2", "> generate ...", "> no deadline")


def test_a_player_that_stops_early_starts_it_early(play: Play) -> None:
    script = answered(play)
    script.now = 11.0
    script.tell(TruncateItem("item_2", 0, 900)).expect(
        "> cut audio item_2 at 900", "item.truncated item_2 at 900", "> deadline at 16.000 s"
    )


def test_it_follows_the_configuration(play: Play) -> None:
    script = answered(play)
    script.tell(UpdateSession(vad(idle_timeout_ms=6000))).expect(
        "> configure", "session.updated", "> deadline at 18.000 s"
    )
    script.tell(UpdateSession({"audio": {"input": {"turn_detection": None}}})).expect(
        "> configure", "session.updated", "> no deadline"
    )
    script.tell(UpdateSession(vad())).expect("> configure", "session.updated", "> deadline at 17.000 s")
    script.tell(UpdateSession({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}})).expect(
        "> configure", "session.updated", "> no deadline"
    )


def test_without_automatic_answers_only_the_silence_is_told(play: Play) -> None:
    script = answered(play, vad(create_response=False))
    script.now = 17.0
    script.tell(DeadlinePassed()).expect(
        "timeout_triggered item_3 0-0",
        "committed item_3 after item_2",
        "item.added item_3 user heard '' after item_2",
        "item.done item_3 user heard '' after item_2",
        "> no deadline",
    )


def test_before_the_first_reply_there_is_no_clock(play: Play) -> None:
    script = play(vad())
    script.append(1000).expect()
    script.tell(DeadlinePassed()).expect()
