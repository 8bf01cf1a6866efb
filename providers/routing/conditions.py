"""Conditions in CEL: compiled when a router is stored, evaluated in well under a millisecond.

The library keeps Python's interpreter lock while it evaluates, so that a costly expression would stop the
event loop even from a thread. What an expression may cost is bounded by its shape instead: by its length, how
often it walks through lists or joins texts, and which patterns it matches.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from providers.contracts import AssistantMessage, Caller, Message, SystemMessage, ToolMessage, UserMessage

if TYPE_CHECKING:
    import cel

__all__ = ["CompiledCondition", "check_condition", "facts"]

MAX_CHARS = 1000
MAX_WALKING_CHARS = (MAX_CHARS, 240, 160)  # by the number of walks through lists
MAX_SUMS = 16  # joining texts again and again grows them
MAX_PATTERN_CHARS = 64  # of all patterns together

MAX_MESSAGES = 16  # the newest ones that a condition sees
MAX_TEXT = 1000  # characters of a message that it sees
MAX_VALUE = 256  # characters of an entry of the metadata
MAX_FACTS = 64  # entries of the metadata

_WALK = re.compile(r"\b(?:all|exists|exists_one|existsOne|filter|map|transformList|transformMap)\b")
_MATCHES = re.compile(r"\bmatches\b")
_PATTERN = re.compile(r"""\.matches\(\s*(r?)("[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')\s*\)""")
# Classes of Unicode and counted repetitions make automata of many thousand states.
_COSTLY = re.compile(r"\{|\\+[a-zA-Z]|\[:")


class CompiledCondition:
    """One expression. Safe in any thread."""

    def __init__(self, expression: str) -> None:
        """Raises `ValueError` with a message for its author."""
        self.expression = expression
        self._program = _compile(expression)
        self._variables = tuple(self._program.variables())

    def __call__(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is true. What cannot be evaluated, such as for want of a key, is not."""
        try:
            seen = {name: facts[name] for name in self._variables if name in facts}
            return self._program.execute(seen) is True
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a panic of the interpreter is no Exception
            return False


def check_condition(expression: str) -> str:
    """The expression itself; raises `ValueError` when it cannot be a condition."""
    CompiledCondition(expression)
    return expression


def facts(caller: Caller, messages: Sequence[Message] = ()) -> dict[str, Any]:
    """What conditions may look at, by name: each key of the metadata, and what the names below say."""
    metadata = {
        key[:100]: _fact(value)
        for key, value in list(caller.metadata.items())[:MAX_FACTS]
        if isinstance(value, str | bool | int | float)
    }
    told = [_message(message) for message in messages[-MAX_MESSAGES:]]
    own = {
        "metadata": metadata,
        "messages": told,
        "last_message": told[-1]["content"] if told else "",
        "user_id": (caller.user_id or "")[:MAX_VALUE],
        "session_id": caller.session_id,
    }
    return metadata | own


def _fact(value: str | bool | float) -> str | bool | int | float:
    if isinstance(value, str):
        return value[:MAX_VALUE]
    if isinstance(value, int) and abs(value) >= 2**63:  # CEL's integers have 64 bits
        return float(value) if abs(value) < 1 << 1023 else 0.0
    return value


def _message(message: Message) -> dict[str, str]:
    match message:
        case SystemMessage(text):
            role, content = "system", text
        case UserMessage():
            role, content = "user", message.text
        case AssistantMessage(text):
            role, content = "assistant", text
        case ToolMessage(_, _, output):
            role, content = "tool", output
    return {"role": role, "content": content[:MAX_TEXT]}


def _compile(expression: str) -> "cel.Program":
    _check_cost(expression)
    import cel  # here, because it takes a quarter of a second that servers without conditions need not spend

    try:
        return cel.compile(expression)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        faults = re.search(r"ERROR: <input>:(\d+):(\d+): (.*)", str(error))
        where = f", line {faults[1]}, column {faults[2]}: {faults[3][:200]}" if faults else ""
        raise ValueError(f"not a CEL expression{where}") from None


def _check_cost(expression: str) -> None:
    walks = len(_WALK.findall(expression))
    if not expression.strip():
        raise ValueError("the expression is empty")
    if walks >= len(MAX_WALKING_CHARS):
        raise ValueError("an expression may walk through lists (exists, all, filter, map) twice")
    longest = MAX_WALKING_CHARS[walks]
    if len(expression) > longest:
        after = f" where it walks through lists {('', 'once', 'twice')[walks]}" if walks else ""
        raise ValueError(f"an expression may have {longest} characters{after}")
    if expression.count("+") > MAX_SUMS:
        raise ValueError(f"an expression may have {MAX_SUMS} signs +")
    asked = len(_MATCHES.findall(expression))
    if not asked:
        return
    patterns = [literal[1:-1] for _, literal in _PATTERN.findall(expression)]
    if asked != len(patterns):
        raise ValueError("the pattern of matches() must be written out, as in last_message.matches('^hi')")
    if walks:
        raise ValueError("matches() cannot be combined with exists, all, filter or map")
    if sum(map(len, patterns)) > MAX_PATTERN_CHARS or any(map(_COSTLY.search, patterns)):
        raise ValueError(
            f"patterns may have {MAX_PATTERN_CHARS} characters together, without counts in braces and without"
            " classes such as \\w; [a-z0-9] will do"
        )
