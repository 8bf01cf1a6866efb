"""The contract of language models."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

from openparley.testing.common import Check, ContractError, collect, expect, first_of, nothing_left
from providers.contracts import (
    AssistantMessage,
    Caller,
    FunctionTool,
    ImagePart,
    Llm,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    RouteTaken,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)
from providers.errors import ProviderError

__all__ = ["LLM_CHECKS", "check_llm"]

_ASK = LlmRequest((SystemMessage("Be brief."), UserMessage((TextPart("Say hello."),))))
_CLOCK = FunctionTool(
    "clock", "Tells the time", {"type": "object", "properties": {"zone": {"type": "string"}}}
)
_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAA"
    "AAYAAjCB0C8AAAAASUVORK5CYII="
)
_CALL = ToolCall("call_1", "clock", "{}", json.dumps({"another-kind": {"thought": "x"}}))

# Conversations as sessions really produce them, some of which services refuse unless they are put in shape.
_CONVERSATIONS: Mapping[str, LlmRequest] = {
    "only instructions": LlmRequest((SystemMessage("Greet the caller."),)),
    "an assistant that greeted first": LlmRequest(
        (AssistantMessage("Welcome!"), UserMessage((TextPart("Hello."),)))
    ),
    "an assistant that spoke last": LlmRequest(
        (UserMessage((TextPart("Hello."),)), AssistantMessage("Hi, I am"))
    ),
    "two users in a row": LlmRequest((UserMessage((TextPart("One."),)), UserMessage((TextPart("Two."),)))),
    "a call and its output": LlmRequest(
        (
            UserMessage((TextPart("What time is it?"),)),
            AssistantMessage("Let me see.", (_CALL,)),
            ToolMessage("call_1", "clock", "It is noon."),
        ),
        (_CLOCK,),
    ),
    "two calls at once": LlmRequest(
        (
            UserMessage((TextPart("What time is it?"),)),
            AssistantMessage("", (_CALL, replace(_CALL, id="call_2"))),
            ToolMessage("call_1", "clock", "noon"),
            ToolMessage("call_2", "clock", '{"hour": 12}'),
        ),
        (_CLOCK,),
    ),
    "a user who goes on after an output": LlmRequest(
        (
            AssistantMessage("", (_CALL,)),
            ToolMessage("call_1", "clock", "noon"),
            UserMessage((TextPart("Thanks."),)),
        ),
        (_CLOCK,),
    ),
    "instructions in between": LlmRequest(
        (UserMessage((TextPart("Hello."),)), SystemMessage("Be rude."), UserMessage((TextPart("Well?"),)))
    ),
    "an image": LlmRequest((UserMessage((TextPart("What is it?"), ImagePart(_PIXEL))),)),
    "every setting": replace(
        _ASK,
        temperature=0.7,
        max_output_tokens=64,
        top_p=0.9,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        stop=("END",),
        reasoning_effort="low",
        parallel_tool_calls=True,
        caller=Caller("sess", "user", {"tier": "free"}),
    ),
}


async def _answers(llm: Llm) -> None:
    events = await collect(llm.generate(_ASK))
    _check_order(events)
    spoken = "".join(event.text for event in events if isinstance(event, TextDelta))
    expect(bool(spoken.strip()), "a model that is asked to say something says something")


async def _takes_every_conversation(llm: Llm) -> None:
    for name, request in _CONVERSATIONS.items():
        try:
            _check_order(await collect(llm.generate(request)))
        except ProviderError as error:
            raise ContractError(f"a conversation with {name} is answered, not refused: {error}") from error


async def _keeps_conversations_apart(llm: Llm) -> None:
    answers = await asyncio.gather(*(collect(llm.generate(_ASK)) for _ in range(4)))
    for events in answers:
        _check_order(events)


async def _stops_when_closed(llm: Llm) -> None:
    before = asyncio.all_tasks()
    await first_of(llm.generate(_ASK))
    await nothing_left(before)
    _check_order(await collect(llm.generate(_ASK)))  # and it works afterwards


async def _stops_when_cancelled(llm: Llm) -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(collect(llm.generate(_ASK)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await nothing_left(before)


def _check_order(events: list[LlmEvent]) -> None:
    expect(bool(events), "a stream yields at least one event")
    expect(isinstance(events[-1], LlmFinished), "the last event of a stream is LlmFinished")
    arguments: dict[int, str] = {}
    ids: set[str] = set()
    for number, event in enumerate(events):
        match event:
            case RouteTaken():
                expect(number == 0, "RouteTaken comes first")
            case ToolCallStarted(index, id, name):
                expect(index not in arguments, "each call has an index of its own")
                expect(bool(id) and id not in ids, "each call has an id of its own")
                expect(bool(name), "each call has a name")
                arguments[index] = ""
                ids.add(id)
            case ToolCallDelta(index, piece):
                expect(index in arguments, "ToolCallStarted comes before the arguments of a call")
                arguments[index] += piece
            case LlmFinished(reason, usage):
                expect(number == len(events) - 1, "nothing comes after LlmFinished")
                if usage is not None:
                    expect(
                        usage.input_tokens >= usage.cached_tokens >= 0 and usage.output_tokens >= 0,
                        "cached tokens are a part of the input tokens, and no count is negative",
                    )
                if arguments and reason == "stop":
                    raise ContractError("an answer that calls functions finishes with the reason tool_calls")
    for text in arguments.values():
        expect(bool(text), 'the pieces of a call without arguments add up to "{}"')


LLM_CHECKS: Mapping[str, Check[Llm]] = {
    "answers": _answers,
    "takes every conversation": _takes_every_conversation,
    "keeps conversations apart": _keeps_conversations_apart,
    "stops when closed": _stops_when_closed,
    "stops when cancelled": _stops_when_cancelled,
}


async def check_llm(llm: Llm) -> None:
    """Run all checks. Raises `ContractError`, or the engine's own `ProviderError`."""
    for check in LLM_CHECKS.values():
        await check(llm)
