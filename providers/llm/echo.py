"""`builtin/echo`: a language model without a model, so that every turn can be foretold.

Without directives it answers `You said: <last user text>`; `echo_directives` has the grammar by which a
conversation asks for other answers, delays, tool calls and faults. The same request always gives the same
events, the ids of calls included.

Which rule decides an answer, first match wins:

1. `[[fail ...]]`, unless tool outputs are being answered (`drop` streams about half of the answer first).
2. `tool_choice` "required" or naming a function: that call, as `[[call]]` wrote it or with the smallest
   arguments that its schema allows. As with any model, this also holds when tool outputs are waiting.
3. Tool outputs behind the last user message: `Tool NAME returned: OUTPUT`.
4. The directives of the last user message or, where it has none, of the instructions. A call of a tool that
   the request does not offer, or that `tool_choice` "none" forbids, becomes a sentence that says so.
5. The echo. Where nobody has said anything, a greeting.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

from providers.contracts import (
    AssistantMessage,
    ImagePart,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    LlmUsage,
    Message,
    NamedToolChoice,
    SystemMessage,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolMessage,
    UserMessage,
)
from providers.errors import (
    AuthenticationError,
    ConnectionFailedError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.llm.echo_directives import Call, Directives, FailKind, parse
from providers.llm.smallest_json import smallest_arguments

__all__ = ["GREETING", "EchoLlm"]

GREETING = "Hello! Say something and I will repeat it."

# White space leads the word it precedes, as it does in the tokens of real models.
_WORD = re.compile(r"\s*\S+(?:\s+$)?|\s+")


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    calls: Sequence[Call] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    event: LlmEvent
    tokens: int


class EchoLlm:
    """Answers as the module says. Holds no state; token counts are words."""

    def __init__(self, provider: str = "builtin") -> None:
        self._provider = provider

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Raises the `ProviderError` that `[[fail]]` asks for, and no other."""
        directives = _directives(request.messages)
        after_tools = bool(_tool_outputs(request.messages))
        fail = None if after_tools else directives.fail
        await asyncio.sleep(directives.think_s)
        if fail is not None and fail != "drop":
            raise self._failure(fail)

        answer = _answer(request, directives)
        pieces = list(_pieces(answer, request.messages))
        stop_at = (len(pieces) + 1) // 2 if fail == "drop" else len(pieces)
        limit = request.max_output_tokens
        spent, reason = 0, directives.finish if not after_tools else None
        for at, piece in enumerate(pieces[:stop_at]):
            if limit is not None and spent + piece.tokens > limit:
                reason = "length"
                break
            if at:
                await asyncio.sleep(directives.pace_s)  # gives way to others even when it is 0
            spent += piece.tokens
            yield piece.event
        if fail == "drop":
            raise self._failure(fail)
        usage = LlmUsage(input_tokens=sum(map(_words_of, request.messages)), output_tokens=spent)
        yield LlmFinished(reason or ("tool_calls" if answer.calls else "stop"), usage)

    def _failure(self, kind: FailKind) -> ProviderError:
        message = f"builtin/echo failed because the conversation asked for [[fail {kind}]]"
        match kind:
            case "server_error":
                return OverloadedError(message, provider=self._provider)
            case "rate_limit":
                return RateLimitError(message, provider=self._provider, retry_after=1.0)
            case "timeout":
                return TimedOutError(message, provider=self._provider)
            case "auth":
                return AuthenticationError(message, provider=self._provider)
            case "drop":
                return ConnectionFailedError(message, provider=self._provider)


def _answer(request: LlmRequest, directives: Directives) -> _Answer:
    offered = {tool.name for tool in request.tools}
    choice = request.tool_choice
    calls = [call for call in directives.calls if call.name in offered]
    forced = choice.name if isinstance(choice, NamedToolChoice) else None
    if forced is not None:
        calls = [call for call in calls if call.name == forced]
    elif choice == "required" and request.tools:
        forced = request.tools[0].name
    if forced is not None and not calls:
        schemas = {tool.name: tool.parameters for tool in request.tools}
        calls = [Call(forced, smallest_arguments(schemas.get(forced)))]
    if request.parallel_tool_calls is False:
        calls = calls[:1]
    spoken = " ".join(directives.answers)
    if forced is not None:
        return _Answer(spoken, calls)
    if outputs := _tool_outputs(request.messages):
        return _Answer(" ".join(f"Tool {output.name} returned: {output.output}" for output in outputs))
    if directives.calls and choice == "none":
        calls, spoken = [], spoken or "I may not call a tool now."
    missing = [call.name for call in directives.calls if call.name not in offered]
    if missing and not calls and not spoken:
        spoken = f"There is no tool named {', '.join(missing)}."
    if directives.answers or spoken or calls:  # an empty [[say]] answers nothing
        return _Answer(spoken, calls)
    said = _last_user_text(request.messages)
    if said is None:
        return _Answer(GREETING)
    rest = parse(said).rest
    return _Answer(f"You said: {rest}" if rest else GREETING)


def _directives(messages: Sequence[Message]) -> Directives:
    user = _last_user_text(messages)
    if user is not None and (found := parse(user)).found:
        return found
    return parse("\n".join(message.text for message in messages if isinstance(message, SystemMessage)))


def _last_user_text(messages: Sequence[Message]) -> str | None:
    return next((message.text for message in reversed(messages) if isinstance(message, UserMessage)), None)


def _tool_outputs(messages: Sequence[Message]) -> list[ToolMessage]:
    """The tool messages at the very end, oldest first."""
    outputs: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        outputs.append(message)
    return outputs[::-1]


def _pieces(answer: _Answer, messages: Sequence[Message]) -> Iterator[_Piece]:
    for word in _WORD.findall(answer.text):
        yield _Piece(TextDelta(word), 1 if word.strip() else 0)
    # Over all the messages, so that two turns of one conversation never share an id.
    digest = hashlib.sha256(repr(messages).encode()).hexdigest() if answer.calls else ""
    for index, call in enumerate(answer.calls):
        identity = hashlib.sha256(f"{digest}:{index}:{call.name}".encode()).hexdigest()[:24]
        yield _Piece(ToolCallStarted(index, f"call_{identity}", call.name), 0)
        words = _WORD.findall(call.arguments)
        if len(words) == 1:  # always several pieces, so that whoever joins them is exercised
            half = len(words[0]) // 2
            yield _Piece(ToolCallDelta(index, words[0][:half]), 1)
            yield _Piece(ToolCallDelta(index, words[0][half:]), 0)
        else:
            for word in words:
                yield _Piece(ToolCallDelta(index, word), 1 if word.strip() else 0)


def _words_of(message: Message) -> int:
    match message:
        case UserMessage():
            images = sum(isinstance(part, ImagePart) for part in message.parts)
            return len(message.text.split()) + images
        case SystemMessage():
            return len(message.text.split())
        case AssistantMessage():
            arguments = sum(len(call.arguments.split()) for call in message.tool_calls)
            return len(message.text.split()) + arguments
        case ToolMessage():
            return len(message.output.split())
