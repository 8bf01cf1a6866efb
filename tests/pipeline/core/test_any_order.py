"""Any sequence of orders and facts, also late, doubled and foreign ones, keeps the rules of the protocol."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pipeline.commands import (
    AudioAppended,
    CancelResponse,
    ClearAudio,
    Command,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeadlinePassed,
    DeleteItem,
    EchoJudged,
    EndOfTurnHeard,
    EngineFact,
    FrameScored,
    GenerationFailed,
    GenerationFinished,
    ListingFailed,
    PlaybackStopped,
    Refuse,
    ResponseParams,
    RetrieveItem,
    SpeechFinished,
    SpeechSynthesized,
    StartSession,
    TextGenerated,
    ToolAnswered,
    ToolCallGenerated,
    ToolCallOpened,
    ToolsListed,
    TranscriptGrew,
    TranscriptGuessed,
    TranscriptionBroke,
    TranscriptReady,
    TruncateItem,
    TurnJudged,
    UpdateSession,
)
from pipeline.config import RetentionRatio, merge
from pipeline.core.engine import Engine
from pipeline.core.state import EngineLimits
from pipeline.effects import CheckEcho, Emit, JudgeTurn, ListTools, RunTool, StartUtterance
from pipeline.errors import InvalidRequest
from pipeline.events import ErrorRaised
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    ItemReference,
    McpApprovalResponse,
    MessageItem,
    OutputText,
    ToolFailure,
)
from pipeline.tools import McpTools, ServerTools, Tool, ToolFilter, WebSearch
from pipeline.turn_taking import TurnTaking
from providers.contracts import FunctionTool, LlmUsage, NamedToolChoice, TextMark
from providers.tools.contracts import RemoteTool
from tests.chance import examples
from tests.pipeline.playbook import FRAME, FakeCatalog, counting_ids, session_config, snapshot
from tests.pipeline.witness import Witness

pytestmark = pytest.mark.timeout(600)  # one test, which takes twenty seconds on a quiet machine

LIMITS = EngineLimits(
    max_items=12,
    max_buffer_seconds=2,
    max_pending_transcripts=3,
    max_parallel_responses=3,
    max_reply_chars=60,
    max_output_items=4,
)
which = st.integers(0, 12)  # one of what there is, the newest first, which is where the races are
words = st.sampled_from(["", "Hi", "One two, three four. ", "Five.\n", " six seven"])
modalities = st.sampled_from([("text",), ("audio",), ("text", "audio")])
LAB = McpTools("lab", "https://lab/mcp", never=ToolFilter(("free",)))
tools: st.SearchStrategy[tuple[Tool, ...]] = st.sampled_from(
    [(), (FunctionTool("f"),), (FunctionTool("f"), LAB, WebSearch()), (LAB,)]
)
called = st.sampled_from(["f", "f", "free", "free", "guarded", "web_search"])
choices = st.sampled_from(["auto", "none", NamedToolChoice("f")])
detections = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["server_vad", "semantic_vad"]),
        "threshold": st.sampled_from([0.0, 0.5, 1.0]),
        "silence_duration_ms": st.sampled_from([0, 64, 100, 500]),
        "idle_timeout_ms": st.sampled_from([None, 100]),
        "prefix_padding_ms": st.sampled_from([0, 100, 10_000]),
        "eagerness": st.sampled_from(["low", "high"]),
        "create_response": st.booleans(),
        "interrupt_response": st.booleans(),
    },
)
rules = st.builds(
    TurnTaking,
    speculation=st.sampled_from(["auto", "always", "off"]),
    min_interruption_ms=st.sampled_from([0, 64]),
    echo_guard=st.booleans(),
    ignore_backchannels=st.booleans(),
    suggestion_events=st.booleans(),
    has_turn_model=st.sampled_from([True, True, False]),
)
updates = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["lab/llm", "lab/other", "missing"]),
        "instructions": words,
        "output_modalities": modalities,
        "tools": tools,
        "tool_choice": choices,
        "provider_data": st.sampled_from([None, {"auto_tool_response": True}]),
        "truncation": st.sampled_from(["auto", "disabled", RetentionRatio(0.5, 12), RetentionRatio(1.0, 20)]),
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "turn_detection": detections,
                        "transcription": st.none() | st.just({"model": "lab/stt"}),
                    },
                ),
                "output": st.fixed_dictionaries({"voice": st.sampled_from(["Ann", "nobody"])}),
            },
        ),
    },
)


class AnyOrder(RuleBasedStateMachine):
    @initialize(patch=updates, turn_taking=rules, silence_ms=st.sampled_from([64, 480]))
    def begin(self, patch: dict[str, Any], turn_taking: TurnTaking, silence_ms: int) -> None:
        quick = session_config({"audio": {"input": {"turn_detection": {"silence_duration_ms": silence_ms}}}})
        self.engine = Engine(
            merge(quick, {**patch, "tool_choice": "auto"}),
            FakeCatalog(),
            default_stt="lab/stt",
            limits=LIMITS,
            turn_taking=turn_taking,
            server_tools=ServerTools(mcp=True, search_engines=("lab",)),
            new_id=counting_ids(),
        )
        self.witness = Witness(self.engine)
        self.ticks = 0
        self.now = 0.0
        self.asked: list[JudgeTurn | CheckEcho] = []
        self.unjudged: list[tuple[int, int]] = []
        self.runs: list[RunTool] = []
        self.lists: list[str] = []
        self.items = ["mine"]  # ids that a client can have heard of
        self.tell(StartSession())

    def tell(self, command: Command) -> None:
        before = None if isinstance(command, EngineFact) else snapshot(self.engine)

        effects = self.engine.handle(command, self.now)

        self.witness.saw(command, effects)
        if effects and isinstance(effects[0], Emit) and isinstance(effects[0].event, ErrorRaised):
            assert effects[0].event.client_event_id == getattr(command, "event_id", None)
            assert snapshot(self.engine) == before
        self.asked += [e for e in effects if isinstance(e, JudgeTurn | CheckEcho)]
        self.runs += [e for e in effects if isinstance(e, RunTool)]
        self.lists += [e.item_id for e in effects if isinstance(e, ListTools)]
        self.items += [e.item_id for e in effects if isinstance(e, StartUtterance)]
        self.items += [id for id in self.witness.order if id not in self.items]

    def item(self, number: int) -> str:
        return _pick(["gone", *self.items], number)

    def response(self, number: int) -> str:
        return _pick(["gone", *self.witness.responses, *self.witness.prepared], number)

    # --- orders ---------------------------------------------------------------------------------------

    @rule(patch=updates)
    def update(self, patch: dict[str, Any]) -> None:
        self.tell(UpdateSession(patch, "e"))

    @rule()
    def refuse(self) -> None:
        self.tell(Refuse(InvalidRequest("what?"), "e"))

    @rule()
    def commit(self) -> None:
        self.tell(CommitAudio("e"))

    @rule()
    def clear(self) -> None:
        self.tell(ClearAudio("e"))

    @rule(
        id=st.none() | which,
        previous=st.none() | st.just("root") | which,
        role=st.sampled_from(["user", "system", "assistant"]),
        clip=st.booleans(),
    )
    def create_message(self, id: int | None, previous: int | str | None, role: str, clip: bool) -> None:
        self.tell(CreateItem(self._message(id, role, clip), self._place(previous), "e"))

    @rule(id=st.none() | which, call=which, output=st.booleans())
    def create_call(self, id: int | None, call: int, output: bool) -> None:
        name = "" if id is None else self.item(id)
        call_id = f"call_{call % 4}" if call % 5 else ""
        item: Item = (
            FunctionCallOutput(name, call_id, "x") if output else FunctionCall(name, call_id, "f", "{}")
        )
        self.tell(CreateItem(item, None, "e"))

    def _message(self, id: int | None, role: str, clip: bool) -> MessageItem:
        name = "" if id is None else self.item(id)
        if role == "user" and clip:
            return MessageItem(name, "user", (InputText("Hear:"), InputAudio(pcm=bytes(320))))
        if role == "assistant":
            return MessageItem(name, "assistant", (OutputText("Said."),) if clip else ())
        return MessageItem(name, "system" if role == "system" else "user", (InputText("Hi"),))

    def _place(self, previous: int | str | None) -> str | None:
        return self.item(previous) if isinstance(previous, int) else previous

    @rule(item=which)
    def retrieve(self, item: int) -> None:
        self.tell(RetrieveItem(self.item(item), "e"))

    @rule(item=which)
    def delete(self, item: int) -> None:
        self.tell(DeleteItem(self.item(item), "e"))

    @rule(item=which, index=st.sampled_from([0, 0, 0, 1]), ms=st.sampled_from([0, 10, 30, 100_000]))
    def truncate(self, item: int, index: int, ms: int) -> None:
        self.tell(TruncateItem(self.item(item), index, ms, "e"))

    @rule(
        inside=st.booleans(),
        overrides=st.fixed_dictionaries(
            {}, optional={"output_modalities": modalities, "tools": tools, "tool_choice": choices}
        ),
        input=st.none() | st.lists(st.tuples(which, st.booleans(), st.booleans()), max_size=3),
    )
    def respond(
        self, inside: bool, overrides: dict[str, Any], input: list[tuple[int, bool, bool]] | None
    ) -> None:
        entries = None
        if input is not None:
            entries = tuple(
                ItemReference(self.item(id)) if reference else self._message(id, "user", clip)
                for id, reference, clip in input
            )
        self.tell(CreateResponse(ResponseParams(overrides, inside, entries), "e"))

    @rule(response=st.none() | which)
    def cancel(self, response: int | None) -> None:
        self.tell(CancelResponse(None if response is None else self.response(response), "e"))

    # --- facts ----------------------------------------------------------------------------------------

    @rule(frames=st.integers(1, 8))
    def hear(self, frames: int) -> None:
        for _ in range(frames):
            self.unjudged.append((self.ticks, self.ticks + FRAME))
            self.ticks += FRAME
        self.tell(AudioAppended(self.ticks))

    @rule(probabilities=st.lists(st.sampled_from([0.0, 0.0, 0.4, 0.9]), min_size=1, max_size=12))
    def judge(self, probabilities: list[float]) -> None:
        for probability in probabilities:
            if not self.unjudged:
                self.hear(1)
            start, end = self.unjudged.pop(0)
            self.tell(FrameScored(start, end, probability))

    @rule(speech=st.integers(1, 6), pause=st.integers(0, 4))
    def speak(self, speech: int, pause: int) -> None:
        """Most likely a turn, whole or still open."""
        self.judge([0.9] * speech + [0.0] * pause)

    @rule(speech=st.integers(4, 9), pause=st.integers(6, 16), text=words, goes_on=st.booleans())
    def seem_to_have_finished(self, speech: int, pause: int, text: str, goes_on: bool) -> None:
        """Most likely a suggestion, and a reply that is made in advance."""
        self.clear()
        self.judge([0.0] * len(self.unjudged) + [0.9] * speech + [0.0] * pause)
        self.answer(0, 0.95, False)
        if self.witness.listening is not None:
            self.tell(
                TranscriptReady(self.witness.listening, text.strip(), segment=self.witness.segment or 0)
            )
        self.write(0, "Yes, of course. ")
        self.judge([0.9, 0.9] if goes_on else [0.0] * 16)
        self.finish(0, "stop")

    @rule(sound=st.integers(1, 12), pause=st.integers(0, 10), echo=st.booleans(), text=words)
    def make_a_sound_while_the_assistant_is_heard(
        self, sound: int, pause: int, echo: bool, text: str
    ) -> None:
        self.respond(True, {"output_modalities": ("audio",)}, None)
        self.write(0, "One two, three four. ")
        self.say(0, 1000, 9)
        self.judge([0.0] * len(self.unjudged) + [0.9] * sound)
        self.answer(0, None, echo)
        if self.witness.listening is not None:
            self.tell(TranscriptReady(self.witness.listening, text.strip()))
        self.judge([0.0] * (pause + 1))

    @rule(question=which, probability=st.sampled_from([None, 0.05, 0.6, 0.95]), echo=st.booleans())
    def answer(self, question: int, probability: float | None, echo: bool) -> None:
        """What a judge says, perhaps a second time, perhaps too late."""
        if not self.asked:
            return
        match self.asked[-1 - question % len(self.asked)]:
            case JudgeTurn(item_id, _, end):
                self.tell(TurnJudged(item_id, end, probability))
            case CheckEcho(start, end):
                self.tell(EchoJudged(start, end, echo))

    @rule(item=which, text=words, segment=st.integers(0, 2), probability=st.sampled_from([None, 0.0, 0.97]))
    def suppose(self, item: int, text: str, segment: int, probability: float | None) -> None:
        if probability is None:
            self.tell(TranscriptGuessed(self.item(item), text, segment))
        else:
            self.tell(EndOfTurnHeard(self.item(item), probability, segment))

    @rule(seconds=st.sampled_from([0.05, 0.2, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tell(DeadlinePassed())

    @rule(item=which, ms=st.sampled_from([0, 10, 100_000]))
    def stop_the_player(self, item: int, ms: int) -> None:
        self.tell(PlaybackStopped(self.item(item), ms))

    @rule(clip=st.booleans(), words=st.booleans())
    def ask_about_what_is_not_understood_yet(self, clip: bool, words: bool) -> None:
        """A response that has to wait, and perhaps what it waits for."""
        if clip:
            self.create_message(None, None, "user", True)
        else:
            self.hear(4)
            self.commit()
        self.respond(True, {}, None)
        if words:
            self.transcribe(0, "Hi", 0, "f")

    @rule(how=st.sampled_from(["truncate", "delete", "replace"]))
    def meddle_with_what_is_being_written(self, how: str) -> None:
        self.respond(True, {}, None)
        self.tell(TextGenerated(self.response(0), "One two, three four. "))
        item_id = self.witness.order[-1] if self.witness.order else "gone"
        if how == "truncate":
            self.tell(TruncateItem(item_id, 0, 5, "e"))
        else:
            self.tell(DeleteItem(item_id, "e"))
        if how == "replace":
            self.tell(CreateItem(MessageItem(item_id, "user", (InputText("Mine"),)), None, "e"))

    @rule(
        item=which,
        text=words,
        index=st.sampled_from([0, 0, 1]),
        how=st.sampled_from("gfb"),
        segment=st.sampled_from([0, 0, 1, 2]),
    )
    def transcribe(self, item: int, text: str, index: int, how: str, segment: int = 0) -> None:
        facts: dict[str, Command] = {
            "g": TranscriptGrew(self.item(item), text, segment=segment),
            "f": TranscriptReady(self.item(item), text.strip(), index, segment=segment),
            "b": TranscriptionBroke(self.item(item), "provider_error", "gone", index),
        }
        self.tell(facts[how])

    @rule(response=which, text=words)
    def write(self, response: int, text: str) -> None:
        self.tell(TextGenerated(self.response(response), text))

    @rule(response=which, index=st.integers(0, 2), call=which, name=called, arguments=words)
    def call(self, response: int, index: int, call: int, name: str, arguments: str) -> None:
        id = self.response(response)
        self.tell(ToolCallOpened(id, index, f"call_{call % 4}" if call % 5 else "/", name))
        self.tell(ToolCallGenerated(id, index, arguments))

    @rule(list=which, works=st.booleans())
    def list_tools(self, list: int, works: bool) -> None:
        id = _pick(["gone", *self.lists], list)
        listed = ToolsListed(id, (RemoteTool("free"), RemoteTool("guarded")))
        self.tell(listed if works else ListingFailed(id, "gone"))

    @rule(run=which, works=st.booleans())
    def answer_call(self, run: int, works: bool) -> None:
        """What a tool says, perhaps a second time, perhaps too late."""
        if self.runs:
            order = self.runs[-1 - run % len(self.runs)]
            failure = None if works else ToolFailure("http_error", "gone")
            self.tell(ToolAnswered(order.response_id, order.call_id, "x" if works else None, failure))

    @rule(item=which, approve=st.booleans())
    def approve(self, item: int, approve: bool) -> None:
        self.tell(CreateItem(McpApprovalResponse("", self.item(item), approve), None, "e"))

    @rule(names=st.lists(called, min_size=1, max_size=3), reason=st.sampled_from(["tool_calls", "length"]))
    def use_tools(self, names: list[str], reason: Any) -> None:
        """Most likely a round of calls, and the start of the next one."""
        self.tell(UpdateSession({"tools": (FunctionTool("f"), LAB, WebSearch(max_steps=2))}, "e"))
        self.list_tools(0, True)
        self.respond(True, {}, None)
        for index, name in enumerate(names):
            self.call(0, index, index + 1, name, "{}")
        self.finish(0, reason)
        self.fall_silent(0)
        for number in range(len(names)):
            self.answer_call(number, True)

    @rule(response=which, ms=st.integers(0, 40), chars=st.integers(0, 20))
    def say(self, response: int, ms: int, chars: int) -> None:
        id = self.response(response)
        seen = self.witness.prepared.get(id) or self.witness.responses.get(id)
        if seen is not None and not seen.speaks:
            return  # no voice is ever started for it
        self.tell(SpeechSynthesized(id, bytes(48 * ms), (TextMark(chars, 24 * ms),)))

    @rule(response=which, reason=st.sampled_from(["stop", "tool_calls", "length", "content_filter"]))
    def finish(self, response: int, reason: Any) -> None:
        self.tell(GenerationFinished(self.response(response), reason, LlmUsage(1, 1)))

    @rule(response=which)
    def fall_silent(self, response: int) -> None:
        self.tell(SpeechFinished(self.response(response)))

    @rule(response=which)
    def fail(self, response: int) -> None:
        self.tell(GenerationFailed(self.response(response), "provider_error", "gone"))

    # --- the end --------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Once every engine has done its work, nothing waits for ever."""
        if not hasattr(self, "witness"):
            return
        for item_id in self.items:
            for index in (0, 1):
                for segment in range(40):
                    self.tell(TranscriptReady(item_id, "Said.", index, segment=segment))
        for number in range(200):  # clips of asides have ids that only the engine knows
            self.tell(TranscriptReady(f"item_{number}", "Said.", 1))
        for _ in range(60):  # rounds, and responses that follow from what came before
            for response_id in [id for id, seen in self.witness.responses.items() if not seen.done]:
                self.tell(GenerationFinished(response_id, "stop"))
                self.tell(SpeechFinished(response_id))
            for run in self.runs:
                self.tell(ToolAnswered(run.response_id, run.call_id, "x"))
            self.runs.clear()
        assert all(seen.done for seen in self.witness.responses.values())


def _pick(ids: Sequence[str], number: int) -> str:
    return ids[-1 - number % len(ids)]


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = examples(150, steps=40)
