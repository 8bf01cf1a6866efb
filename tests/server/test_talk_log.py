"""The timeline and the latencies of a conversation, from scripted events and moments alone."""

import base64
from typing import Any

import pytest

from server.talk.playback import Playback, Truncation
from server.talk.turnlog import Row, TurnLog
from server.talk.turns import latencies

Script = list[tuple[float, dict[str, Any]]]

SECOND_OF_PCM = base64.b64encode(bytes(48_000)).decode()


def session(**given: Any) -> dict[str, Any]:
    return {
        "type": "session.created",
        "session": {"audio": {"input": {"transcription": {"model": "m"}, **given}}},
    }


def spoken(item: str, at: float, start_ms: int, end_ms: int) -> Script:
    """A turn that the server detects: it stops at `at` seconds."""
    return [
        (start_ms / 1000, speech("started", item, audio_start_ms=start_ms)),
        (at, speech("stopped", item, audio_end_ms=end_ms)),
        (at, {"type": "input_audio_buffer.committed", "item_id": item}),
    ]


def speech(what: str, item: str, **more: Any) -> dict[str, Any]:
    return {"type": f"input_audio_buffer.speech_{what}", "item_id": item, **more}


def heard(what: str, item: str, **more: Any) -> dict[str, Any]:
    return {"type": f"conversation.item.input_audio_transcription.{what}", "item_id": item, **more}


def created(response: str) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response, "status": "in_progress"}}


def done(response: str, status: str = "completed", **details: Any) -> dict[str, Any]:
    return {
        "type": "response.done",
        "response": {"id": response, "status": status, "status_details": details or None},
    }


def said(response: str, text: str) -> dict[str, Any]:
    return {"type": "response.output_audio_transcript.delta", "response_id": response, "delta": text}


def sounded(response: str) -> dict[str, Any]:
    return {"type": "response.output_audio.delta", "response_id": response, "delta": SECOND_OF_PCM}


def play(log: TurnLog, script: Script) -> list[Row]:
    rows = []
    for at, event in script:
        rows += log.receive(at, event)
    return rows


def test_a_spoken_turn_becomes_rows_in_order() -> None:
    log = TurnLog(lambda ms: 2000.0 if ms >= 2000 else None)
    for until_ms in range(20, 3001, 20):
        log.audio_sent(until_ms / 1000, float(until_ms))

    rows = play(
        log,
        [
            (0.0, session()),
            *spoken("item_1", 2.5, 300, 2500)[:1],
            (1.0, heard("delta", "item_1", delta="What ")),
            (2.0, heard("delta", "item_1", delta="time")),
            *spoken("item_1", 2.5, 300, 2500)[1:],
            (2.52, heard("completed", "item_1", transcript="What time is it?")),
            (2.53, created("resp_1")),
            (2.55, said("resp_1", "It is ")),
            (2.6, sounded("resp_1")),
            (2.62, said("resp_1", "noon.")),
            (2.7, sounded("resp_1")),
            (2.8, done("resp_1")),
        ],
    )

    assert [(row.at, row.label, row.text) for row in rows if not row.growing] == [
        (0.3, "speech started", "at 0.30 s of the recording"),
        (2.5, "speech stopped", "at 2.50 s; the voice had ended at 2.00 s"),
        (2.52, "heard", "What time is it?"),
        (2.53, "response created", ""),
        (2.55, "first text", "550 ms after the voice ended"),
        (2.6, "first audio", "600 ms after the voice ended"),
        (2.8, "reply", "It is noon."),
        (2.8, "response completed", "2.00 s of speech"),
    ]
    assert [row.text for row in rows if row.growing] == ["What ", "What time", "It is ", "It is noon."]
    assert log.idle


def test_a_growing_row_is_replaced_under_its_own_key() -> None:
    log = TurnLog()

    rows = play(log, [*spoken("a", 1, 0, 1000), (1.1, heard("delta", "a", delta="Hi"))])
    rows += play(log, [(1.2, heard("completed", "a", transcript="Hi!"))])

    assert rows[-1].key == rows[-2].key
    assert rows[-2].growing
    assert not rows[-1].growing


def suggested(item: str, probability: float, silence_ms: int) -> dict[str, Any]:
    told = {"utterance_index": 0, "audio_duration_ms": 900, "inference_ms": 40.0}
    return {
        "type": "turn_suggestion",
        "item_id": item,
        "probability": probability,
        "trailing_silence_ms": silence_ms,
        **told,
    }


def test_suggestions_and_what_became_of_them_are_rows_of_their_turn() -> None:
    log = TurnLog()
    begun, *ended = spoken("item_1", 2.5, 300, 2500)
    revoked = {"type": "turn_suggestion_revoked", "item_id": "item_1", "utterance_index": 0}

    rows = play(
        log,
        [
            begun,
            (1.0, suggested("item_1", 0.9312, 192)),
            (1.1, revoked),
            (2.2, suggested("item_1", 1, 448)),
            *ended,
        ],
    )

    assert [(row.at, row.label, row.text) for row in rows[1:4]] == [
        (1.0, "turn suggested", "0.93 after 192 ms of silence"),
        (1.1, "suggestion revoked", "not over after all"),
        (2.2, "turn suggested", "1.00 after 448 ms of silence"),
    ]
    assert len({row.key for row in rows}) == len(rows) == 5
    assert len(log.turns) == 1


def test_a_silence_that_timed_out_is_answered_and_has_no_words_to_wait_for() -> None:
    log = TurnLog()
    timeout = {
        "type": "input_audio_buffer.timeout_triggered",
        "item_id": "item_2",
        "audio_start_ms": 4000,
        "audio_end_ms": 9000,
    }
    committed = {"type": "input_audio_buffer.committed", "item_id": "item_2"}

    [row] = play(log, [(0.0, session()), (9.0, timeout), (9.0, committed)])
    assert (row.label, row.text) == ("idle timeout", "nobody spoke from 4.00 s to 9.00 s")
    assert not log.idle

    play(log, [(9.1, created("resp_1")), (9.9, done("resp_1"))])
    assert log.idle


def test_latencies_count_from_when_the_last_voiced_sample_was_sent() -> None:
    log = TurnLog(lambda ms: 1990.0)
    for until_ms in range(20, 3001, 20):
        log.audio_sent(0.1 + until_ms / 1000, float(until_ms))  # the sender was 100 ms late throughout

    play(
        log,
        [*spoken("a", 2.6, 0, 2500), (2.7, heard("completed", "a", transcript="x")), (2.71, created("r"))],
    )
    play(log, [(2.8, said("r", "y")), (2.9, sounded("r")), (3.0, done("r"))])

    assert {each.name: each.ms for each in latencies(log.turns[0])} == pytest.approx(
        {
            "speech stopped": 500,
            "final transcript": 600,
            "response created": 610,
            "first text": 700,
            "first audio": 800,
            "response done": 900,
        }
    )
    assert log.turns[0].speed == pytest.approx(1.0 / 0.29)


def test_sounds_in_the_silence_that_ended_a_turn_are_not_its_end() -> None:
    asked: list[float] = []

    def voice_end_before(ms: float) -> float:
        asked.append(ms)
        return 1000.0

    log = TurnLog(voice_end_before)
    detection = {"type": "server_vad", "silence_duration_ms": 500}

    play(log, [(0.0, session(turn_detection=detection)), *spoken("a", 1.6, 0, 1600)])

    assert asked == [1180]  # 500 ms before the turn ended, and a little later


def test_a_typed_turn_counts_from_the_sending() -> None:
    log = TurnLog()

    log.text_sent(0.5)
    waiting = log.idle
    rows = play(log, [(0.6, created("r")), (0.7, said("r", "Hello.")), (0.8, done("r"))])

    assert not waiting
    assert log.idle
    assert {each.name: each.ms for each in latencies(log.turns[0])} == {
        "response created": pytest.approx(100),
        "first text": pytest.approx(200),
        "first audio": None,
        "response done": pytest.approx(300),
    }
    assert rows[1].text == "200 ms after the message"


def test_several_turns_keep_their_own_replies() -> None:
    log = TurnLog()

    play(log, [*spoken("a", 1, 0, 1000), (1.0, created("r1")), (1.1, said("r1", "One.")), (1.2, done("r1"))])
    play(
        log, [*spoken("b", 3, 2000, 3000), (3.0, created("r2")), (3.1, said("r2", "Two.")), (3.2, done("r2"))]
    )
    play(
        log,
        [
            (3.3, heard("completed", "b", transcript="second")),
            (3.4, heard("completed", "a", transcript="first")),
        ],
    )

    assert [(turn.transcript, turn.reply) for turn in log.turns] == [("first", "One."), ("second", "Two.")]
    assert log.idle


def test_a_response_that_goes_on_after_a_tool_call_belongs_to_the_same_turn() -> None:
    log = TurnLog()
    call = {
        "type": "response.function_call_arguments.done",
        "response_id": "r1",
        "name": "clock",
        "arguments": "{}",
    }

    rows = play(log, [*spoken("a", 1, 0, 1000), (1.1, created("r1")), (1.2, call), (1.3, done("r1"))])
    play(log, [(1.4, created("r2")), (1.5, said("r2", "Noon.")), (1.6, done("r2"))])

    assert [(row.label, row.text) for row in rows if row.label == "function call"] == [
        ("function call", "clock({})")
    ]
    assert [(turn.reply, turn.response_ids) for turn in log.turns] == [("Noon.", ["r1", "r2"])]


@pytest.mark.parametrize("missing", [0, 1, 2, 3, 4])
def test_a_turn_is_under_way_until_all_of_it_has_come(missing: int) -> None:
    log = TurnLog()
    script = [
        *spoken("a", 1, 0, 1000)[:2],
        (1.0, {"type": "input_audio_buffer.committed", "item_id": "a"}),
        (1.1, heard("completed", "a", transcript="x")),
        (1.2, created("r")),
        (1.3, done("r")),
    ]

    play(log, script[: 1 + missing])

    assert not log.idle


def test_without_transcription_none_is_waited_for() -> None:
    log = TurnLog()

    play(
        log,
        [(0.0, session(transcription=None)), *spoken("a", 1, 0, 1000), (1.2, created("r")), (1.3, done("r"))],
    )

    assert log.idle


def test_a_failed_transcription_is_shown_and_not_waited_for() -> None:
    log = TurnLog()
    error = {"type": "server_error", "code": None, "message": "the engine died"}

    rows = play(log, [*spoken("a", 1, 0, 1000), (1.1, heard("failed", "a", error=error))])
    play(log, [(1.2, created("r")), (1.3, done("r"))])

    assert (rows[-1].label, rows[-1].text, rows[-1].bad) == (
        "not understood",
        "the engine died (server_error)",
        True,
    )
    assert log.idle


def test_a_turn_that_is_talked_over_before_its_reply_began_is_not_waited_for() -> None:
    log = TurnLog()

    play(log, [*spoken("a", 1, 0, 1000), (1.1, heard("completed", "a", transcript="x"))])
    play(log, [*spoken("b", 2, 1100, 2000), (2.1, heard("completed", "b", transcript="y"))])
    play(log, [(2.2, created("r")), (2.3, done("r"))])

    assert log.idle
    assert [turn.response_ids for turn in log.turns] == [[], ["r"]]


def test_a_failed_response_says_why() -> None:
    log = TurnLog()
    error = {"type": "server_error", "code": "upstream_timeout", "message": "the model did not answer"}

    rows = play(log, [*spoken("a", 1, 0, 1000), (1.1, created("r")), (1.2, done("r", "failed", error=error))])

    assert (rows[-1].label, rows[-1].bad) == ("response failed", True)
    assert rows[-1].text == "the model did not answer (upstream_timeout)"
    assert log.turns[0].failed


def test_an_interrupted_response_is_no_failure() -> None:
    log = TurnLog()

    play(log, [*spoken("a", 1, 0, 1000), (1.1, created("r"))])
    rows = play(log, [(1.2, done("r", "cancelled", type="cancelled", reason="turn_detected"))])

    assert (rows[-1].label, rows[-1].text, rows[-1].bad) == ("response cancelled", "turn detected", False)
    assert not log.turns[0].failed


def test_events_nobody_knows_and_members_that_are_missing_do_no_harm() -> None:
    log = TurnLog()

    rows = play(
        log,
        [
            (0.1, {"type": "rate_limits.updated"}),
            (0.2, {"type": "something.new", "x": 1}),
            (0.3, {}),
            (0.4, {"type": "error", "error": None}),
            (0.5, {"type": "response.done", "response": {"id": "unknown"}}),
        ],
    )

    assert [row.label for row in rows] == ["error", "response "]
    assert log.errors == ["no reason was given"]


def test_an_interruption_leaves_what_had_been_played() -> None:
    playback = Playback()
    playback.add(1.0, "item_1", 0, bytes(48_000))
    playback.add(1.1, "item_1", 0, bytes(48_000))

    unheard = playback.interrupt(2.5)
    playback.add(2.6, "item_1", 0, bytes(48_000))  # was already on its way

    assert unheard == [Truncation("item_1", 0, 1500)]
    assert len(playback.pcm) == 72_000


def test_replies_wait_for_each_other_to_be_played() -> None:
    playback = Playback()
    playback.add(1.0, "item_1", 0, bytes(48_000))
    playback.add(1.2, "item_2", 0, bytes(48_000))

    assert playback.interrupt(2.25) == [Truncation("item_2", 0, 250)]


def test_a_reply_that_was_heard_to_its_end_is_not_truncated() -> None:
    playback = Playback()
    playback.add(1.0, "item_1", 0, bytes(48_000))

    assert playback.interrupt(2.5) == []
    assert playback.interrupt(2.6) == []
