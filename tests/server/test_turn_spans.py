"""Spans of turns, of replies made in advance and of sounds that interrupt nobody, told by the real engine."""

import json
from typing import Any, Self

import pytest

from pipeline.commands import (
    ClearAudio,
    Command,
    CommitAudio,
    CreateResponse,
    DeadlinePassed,
    GenerationFinished,
    SpeechFinished,
    SpeechSynthesized,
    StartSession,
    TextGenerated,
    TranscriptReady,
    TurnJudged,
)
from pipeline.config import Patch, SemanticVad, ServerVad, TurnDetection
from pipeline.core.endpointing import Decision, Evidence
from pipeline.effects import Emit, JudgeTurn, ReportTurnDecision, StartGeneration
from pipeline.events import BufferCommitted, SpeechStarted
from pipeline.turn_taking import TurnTaking
from server.spans import SessionTracer
from tests.markdown import blocks
from tests.pipeline.playbook import Playbook
from tests.server.test_spans import START, WITHOUT_CONTENT

SEMANTIC: TurnDetection = SemanticVad(eagerness="low")
OF_TURNS = {"detection", "audio_start_ms", "audio_end_ms", "decisions", "decisions_left_out"}


class Traced(Playbook):
    """A playbook that somebody traces."""

    def __init__(self, detection: TurnDetection = SEMANTIC, *, content: bool = False, **options: Any) -> None:
        patch: Patch = {"tracing": "auto", "audio": {"input": {"turn_detection": detection}}}
        taking = TurnTaking(min_interruption_ms=200, echo_guard=False, has_turn_model=True, **options)
        super().__init__(patch, turn_taking=taking)
        self.spans: list[Any] = []
        self._tracer = SessionTracer(
            "sess_1", self.spans.append, content=content, clock=lambda: START + self.now
        )
        self.tell(StartSession())

    def tell(self, *commands: Command) -> Self:
        for command in commands:
            before = len(self.effects)
            super().tell(command)
            for effect in self.effects[before:]:
                self._tracer.saw(effect)
        return self

    def append(self, ms: int) -> Self:
        self.now += ms / 1000
        return super().append(ms)

    def judge(self, probability: float) -> Self:
        """Answer the last question about the turn."""
        asked = [effect for effect in self.effects if isinstance(effect, JudgeTurn)][-1]
        return self.tell(TurnJudged(asked.item_id, asked.end, probability, 40.0))

    @property
    def prepared(self) -> str:
        """The response that is prepared in advance."""
        begun = [e.response_id for e in self.effects if isinstance(e, StartGeneration) and e.speculative]
        return begun[-1]

    def of_kind(self, kind: str) -> Any:
        (span,) = [span for span in self.spans if span["kind"] == kind]
        return span


def finished_turn(traced: Traced) -> Traced:
    """Speech, a pause in which the turn sounds finished, and silence until it has ended."""
    traced.speak(960).pause(192).judge(0.97)
    return traced.pause(3200)


def test_a_turn_is_a_span_with_what_was_decided_in_its_pauses() -> None:
    traced = Traced()
    traced.speak(960).pause(192).judge(0.97)
    traced.speak(320).pause(192).judge(0.96)
    traced.pause(3200)

    turn = traced.of_kind("turn")
    assert set(turn) == WITHOUT_CONTENT | OF_TURNS
    assert (turn["id"], turn["status"], turn["item_ids"]) == ("item_1", "ended", ["item_1"])
    assert (turn["detection"], turn["audio_start_ms"]) == ("semantic_vad", 0)
    assert turn["audio_end_ms"] > 960 + 192 + 320
    assert (turn["model"], turn["usage"], turn["first_output_ms"]) == (None, None, None)
    assert turn["start"] == START + 0.032  # the first frame of speech
    outcomes = [decision["outcome"] for decision in turn["decisions"] if decision["outcome"] != "wait"]
    assert outcomes == ["suggest", "revoke", "suggest", "end"]
    first = next(decision for decision in turn["decisions"] if decision["outcome"] == "suggest")
    last = turn["decisions"][-1]
    assert (first["sound"], first["silence_ms"], first["speech_ms"]) == (0.97, 192, 960)
    assert first["at_ms"] == 960 + 192
    assert (last["sound"], last["engine"]) == (0.96, None)
    assert last["silence_ms"] >= last["wait_ms"] > 0
    assert turn["reason"] == last["reason"] != ""
    assert turn["decisions_left_out"] == 0


def test_the_silence_that_server_vad_waits_for_is_no_decision() -> None:
    traced = finished_turn(Traced(ServerVad(silence_duration_ms=500)))

    turn = traced.of_kind("turn")
    assert (turn["detection"], turn["status"]) == ("server_vad", "ended")
    assert {decision["wait_ms"] for decision in turn["decisions"]} == {None}
    assert turn["audio_end_ms"] == 960 + 500


def test_what_the_client_ends_itself_says_so() -> None:
    traced = Traced().speak(960).tell(CommitAudio()).speak(960).tell(ClearAudio()).speak(320)

    turns = [span for span in traced.spans if span["kind"] == "turn"]
    assert [(turn["id"], turn["status"], turn["audio_end_ms"]) for turn in turns] == [
        ("item_1", "committed", None),
        ("item_2", "cleared", None),
    ]
    assert [turn["reason"] for turn in turns] == [None, None]


@pytest.mark.parametrize("content", [False, True])
def test_the_words_of_a_decision_are_written_only_where_they_are_wanted(content: bool) -> None:
    said = "w" * 300 + " a secret"
    traced = Traced(content=content)
    traced.speak(960).pause(192).judge(0.97).tell(TranscriptReady("item_1", said)).pause(3200)

    last = traced.of_kind("turn")["decisions"][-1]
    assert last.get("text") == (said[-200:] if content else None)
    assert content == ("a secret" in json.dumps(traced.spans))


def test_of_too_many_decisions_those_are_kept_that_changed_something() -> None:
    spans: list[Any] = []
    tracer = SessionTracer("sess_1", spans.append, content=False, clock=lambda: START)
    traced = Traced()
    for effect in traced.effects:
        tracer.saw(effect)
    tracer.saw(Emit(SpeechStarted("item_1", 0)))
    for number in range(200):
        outcome: Any = "suggest" if number in (3, 190) else "wait"
        decision = Decision(600, False, "by silence")
        tracer.saw(
            ReportTurnDecision("item_1", "semantic_vad", outcome, number, Evidence(32, number), decision)
        )
    tracer.saw(Emit(BufferCommitted("item_1", None)))

    (turn,) = spans
    kept = [decision["at_ms"] for decision in turn["decisions"]]
    assert kept == [3, *range(101, 200)]
    assert turn["decisions_left_out"] == 100


def test_a_reply_that_was_prepared_belongs_to_its_response() -> None:
    traced = Traced()
    traced.speak(960).pause(192).judge(0.97).tell(TranscriptReady("item_1", "Hello there."))
    prepared = traced.prepared
    traced.tell(TextGenerated(prepared, "Hi. "))
    traced.pause(3200)
    traced.tell(GenerationFinished(prepared, "stop"), SpeechFinished(prepared))

    response = traced.of_kind("response")
    assert (response["id"], response["model"], response["status"]) == (prepared, "lab/llm", "completed")
    assert response["first_output_ms"] == 0
    turn = traced.of_kind("turn")
    assert response["prepared_ms"] == pytest.approx(turn["audio_end_ms"] - 1152, abs=32)
    assert [span["kind"] for span in traced.spans].count("transcription") == 1


def test_a_reply_that_was_prepared_in_vain_is_a_span_of_its_own() -> None:
    traced = Traced()
    traced.speak(960).pause(192).judge(0.97).tell(TranscriptReady("item_1", "Hello there."))
    prepared = traced.prepared
    traced.pause(32).speak(320)

    speculation = traced.of_kind("speculation")
    assert set(speculation) == WITHOUT_CONTENT
    assert (speculation["id"], speculation["model"], speculation["status"]) == (
        prepared,
        "lab/llm",
        "revoked",
    )
    assert speculation["duration_ms"] == pytest.approx(64, abs=32)
    assert [span for span in traced.spans if span["kind"] == "response"] == []


def test_a_reply_that_nobody_had_prepared_says_so() -> None:
    traced = Traced()
    traced.tell(CreateResponse(), GenerationFinished("resp_1", "stop"))

    assert traced.of_kind("response")["prepared_ms"] is None


def test_a_sound_that_interrupts_nobody_is_a_span() -> None:
    traced = Traced().append(320)
    traced.tell(CreateResponse(), TextGenerated("resp_1", "Once upon a time. "))
    traced.tell(SpeechSynthesized("resp_1", bytes(48_000 * 20)))
    traced.pause(320).speak(96).pause(640)

    cough = traced.of_kind("dismissal")
    assert set(cough) == WITHOUT_CONTENT | {"audio_start_ms", "audio_end_ms"}
    assert (cough["id"], cough["status"], cough["reason"], cough["item_ids"]) == (
        None,
        "dismissed",
        "short",
        [],
    )
    assert cough["audio_start_ms"] == 640
    assert cough["duration_ms"] == cough["audio_end_ms"] - cough["audio_start_ms"]


def test_the_silence_of_an_idle_timeout_is_a_turn_in_which_nobody_spoke() -> None:
    traced = Traced(ServerVad(idle_timeout_ms=5000))
    traced.tell(CreateResponse(), GenerationFinished("resp_1", "stop"))
    for _ in range(160):
        traced.pause(32)
    traced.tell(DeadlinePassed())

    turn = traced.of_kind("turn")
    assert (turn["status"], turn["decisions"], turn["reason"]) == ("idle", [], None)
    assert turn["duration_ms"] == turn["audio_end_ms"] - turn["audio_start_ms"] >= 5000


def test_the_documented_turn_has_the_members_of_a_real_one() -> None:
    documented = json.loads(blocks("jsonl")[1].text)
    turn = finished_turn(Traced()).of_kind("turn")

    assert list(documented) == list(turn)
    assert list(documented["decisions"][0]) == list(turn["decisions"][0])
    assert 0 <= documented["decisions"][-1]["at_ms"] - documented["audio_end_ms"] < 32
    assert documented["reason"] == documented["decisions"][-1]["reason"]
