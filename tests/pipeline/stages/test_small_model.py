"""A question to a small model: one answer, or one kind of error, within its deadline."""

import asyncio
from dataclasses import dataclass, field

import pytest

from pipeline.events import RateLimit
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    MessageItem,
    OutputAudio,
    OutputText,
)
from pipeline.quota import Quota, QuotaExceededError
from pipeline.stages.small_model import SmallModelError, ask, said_in
from providers.contracts import Caller, LlmFinished, LlmUsage, SystemMessage, TextDelta
from providers.errors import OverloadedError
from tests.pipeline.scripted import Engines, ScriptedLlm, replying
from tests.virtual_time import in_virtual_time


@dataclass
class Asker:
    engines: Engines
    caller: Caller = field(default_factory=lambda: Caller("sess", "ann"))
    quota: Quota | None = None


async def answer(llm: ScriptedLlm, model: str = "lab/small", deadline: float = 2.0) -> str:
    return await ask(
        Asker(Engines(llm)), model, [SystemMessage("Hm?")], temperature=0.5, max_tokens=7, deadline=deadline
    )


class Purse:
    """A quota of so many requests."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.spent = 0

    def admit(self) -> None:
        if not self.requests:
            raise QuotaExceededError("Nothing is left.")
        self.requests -= 1

    def spend(self, tokens: int) -> None:
        self.spent += tokens

    def limits(self) -> tuple[RateLimit, ...]:
        return ()


@in_virtual_time
async def test_a_question_counts_against_the_quota_of_the_client() -> None:
    purse = Purse(1)
    llm = ScriptedLlm(TextDelta("Yes"), LlmFinished("stop", LlmUsage(7, 2)))
    asker = Asker(Engines(llm), quota=purse)
    assert await ask(asker, "lab/small", [SystemMessage("Hm?")], deadline=1) == "Yes"
    with pytest.raises(SmallModelError, match="Nothing is left"):
        await ask(asker, "lab/small", [SystemMessage("Hm?")], deadline=1)
    assert (purse.spent, len(llm.requests)) == (9, 1)


@in_virtual_time
async def test_an_answer_is_the_whole_text() -> None:
    llm = replying(" One moment. ")
    assert await answer(llm) == "One moment."

    (request,) = llm.requests
    assert (request.temperature, request.max_output_tokens, request.tools) == (0.5, 7, ())
    assert request.messages == (SystemMessage("Hm?"),)
    assert request.caller.user_id == "ann"
    assert llm.closed.is_set()


@in_virtual_time
async def test_a_late_answer_is_none() -> None:
    began = asyncio.get_running_loop().time()
    llm = ScriptedLlm(TextDelta("One"), asyncio.Event())
    with pytest.raises(SmallModelError, match="did not answer in 2 s"):
        await answer(llm)

    assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
    assert llm.closed.is_set()


@in_virtual_time
async def test_what_goes_wrong_has_one_name() -> None:
    with pytest.raises(SmallModelError, match="no model 'nobody'"):
        await answer(replying("Hm."), "nobody")
    with pytest.raises(SmallModelError, match="no capacity"):
        await answer(ScriptedLlm(OverloadedError("no capacity")))
    with pytest.raises(SmallModelError, match="crashed"):
        await answer(ScriptedLlm(ZeroDivisionError()))
    with pytest.raises(SmallModelError, match=r"cut off \(length\)"):
        await answer(ScriptedLlm(TextDelta("Let me"), LlmFinished("length")))
    with pytest.raises(SmallModelError, match="without saying why"):
        await answer(ScriptedLlm(TextDelta("Let me")))
    with pytest.raises(SmallModelError, match="more than was asked for"):
        await answer(ScriptedLlm(*[TextDelta("x" * 1000)] * 17, LlmFinished("stop")))


def test_the_end_of_a_conversation_is_read_as_lines() -> None:
    items: list[Item] = [
        MessageItem("1", "system", (InputText("Be kind."),)),
        MessageItem("2", "user", (InputAudio("Is it\n cold?"),)),
        MessageItem("3", "user", (InputAudio(None),)),
        FunctionCall("4", "call_1", "weather", '{"city": "Graz"}'),
        FunctionCallOutput("5", "call_1", "3 degrees"),
        MessageItem("6", "assistant", (OutputAudio("Rather."), OutputText("Yes."))),
        MessageItem("7", "user", (InputText("x" * 5000),)),
    ]
    assert said_in(items[:6], 5) == (
        "User: Is it cold?\n"
        'Assistant calls weather: {"city": "Graz"}\n'
        "Result: 3 degrees\n"
        "Assistant: Rather. Yes."
    )
    assert said_in(items, 0) == ""
    assert len(said_in(items, 1)) < 1100
