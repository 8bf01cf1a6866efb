"""Asks a small language model one short question, beside the conversation, and what it reads of that."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Protocol

from pipeline.engines import Engines, load
from pipeline.items import FunctionCall, FunctionCallOutput, Item, MessageItem, words_of
from pipeline.quota import Quota, QuotaExceededError
from providers.contracts import Caller, LlmFinished, LlmRequest, Message, TextDelta
from providers.errors import ProviderError, UnknownModelError

__all__ = ["SmallModelError", "ask", "said_in"]

log = logging.getLogger(__name__)

_MAX_ANSWER = 16_384  # characters; nothing that is asked here needs more
_MAX_LINE = 1_000  # characters of one item that a small model reads


class SmallModelError(Exception):
    """There is no answer. The message is safe to show: it never holds a key."""


class _Asker(Protocol):
    """The part of a `Host` that is needed here."""

    @property
    def engines(self) -> Engines:
        """Models and voices."""

    @property
    def caller(self) -> Caller:
        """For whom they work."""

    @property
    def quota(self) -> Quota | None:
        """What they may use of models; None: nothing is limited."""


async def ask(
    host: _Asker,
    model: str,
    messages: Sequence[Message],
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
    deadline: float,
) -> str:
    """The whole text of an answer, without the white space around it; it may be empty.

    `model` is a name as clients give it. `deadline` is in seconds from now, loading the model included.
    The request counts against the client's quota. Raises `SmallModelError`, and nothing else: where there is
    no such model or no quota left, where it failed or was late, and where its answer was cut off or is longer
    than 16 384 characters.
    """
    request = LlmRequest(
        messages=tuple(messages),
        temperature=temperature,
        max_output_tokens=max_tokens,
        caller=host.caller,
    )
    try:
        async with asyncio.timeout(deadline):
            return await _answer(host, model, request)
    except TimeoutError as error:
        raise SmallModelError(f"The model '{model}' did not answer in {deadline:g} s.") from error
    except ProviderError as error:
        raise SmallModelError(error.message) from error
    except QuotaExceededError as error:
        raise SmallModelError(str(error)) from error
    except UnknownModelError as error:
        raise SmallModelError(f"There is no model '{model}'.") from error
    except SmallModelError:
        raise
    except Exception as error:  # a fault in an adapter ends this question, and nothing else
        log.exception("the model '%s' crashed", model)
        raise SmallModelError(f"The model '{model}' crashed.") from error


async def _answer(host: _Asker, model: str, request: LlmRequest) -> str:
    engines, quota = host.engines, host.quota
    pieces: list[str] = []
    length = 0
    if quota is not None:
        quota.admit()
    llm = await load(engines, engines.llm, engines.resolve_llm(model))
    async with aclosing(llm.generate(request)) as events:
        async for event in events:
            match event:
                case TextDelta(text):
                    pieces.append(text)
                    length += len(text)
                    if length > _MAX_ANSWER:
                        raise SmallModelError(f"The model '{model}' answered more than was asked for.")
                case LlmFinished(reason, usage):
                    if quota is not None and usage is not None:
                        quota.spend(usage.input_tokens + usage.output_tokens)
                    if reason in ("length", "content_filter"):
                        raise SmallModelError(f"The answer of the model '{model}' was cut off ({reason}).")
                    return "".join(pieces).strip()
    raise SmallModelError(f"The model '{model}' ended its answer without saying why.")


def said_in(items: Iterable[Item], count: int) -> str:
    """The last `count` items as lines such as `User: Hello.`; what holds no words is left out."""
    return "\n".join(_lines(deque(items, maxlen=max(0, count))))


def _lines(items: Iterable[Item]) -> Iterator[str]:
    for item in items:
        match item:
            case MessageItem(role=role):
                text = " ".join(" ".join(words_of(item)).split())
                if text:
                    yield f"{role.capitalize()}: {text[:_MAX_LINE]}"
            case FunctionCall(name=name, arguments=arguments):
                yield f"Assistant calls {name}: {arguments[:_MAX_LINE]}"
            case FunctionCallOutput(output=output):
                yield f"Result: {output[:_MAX_LINE]}"
