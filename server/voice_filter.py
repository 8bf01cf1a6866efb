"""Filters of lists, in the part of AIP-160 that lists of voices need.

`source = "SYSTEM" AND (lang_code = "en" OR display_name = "Den*") AND NOT gender = "MALE"`

Members are compared without regard to case. `=` and `!=` compare the whole, with `*` for anything at either
end; `:` looks for a part of a text, also of one in a list, and `:*` for any value at all. A value on its own
is looked for in the names. As AIP-160 has it, OR binds tighter than AND, and AND may be left out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

__all__ = ["Facts", "FilterError", "Predicate", "parse_filter"]

Facts = Mapping[str, Sequence[str]]  # the values of each member, in lower case; several where it is a list
Predicate = Callable[[Facts], bool]

MAX_CHARS = 1000
MAX_DEPTH = 16  # of parentheses and negations
MAX_TERMS = 64

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')"""
    r"""|(?P<sign><=|>=|!=|[=:<>()-])|(?P<word>[^\s"'=:<>()!,]+))""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class FilterError(ValueError):
    """The filter cannot be understood; says what was expected, and where."""


def parse_filter(text: str, members: Mapping[str, str], names: Sequence[str]) -> Predicate:
    """A test of facts. `members` maps each name that a filter may use to a member of the facts, and `names`
    are the members in which a value on its own is looked for. Raises `FilterError`."""
    if len(text) > MAX_CHARS:
        raise FilterError(f"it is longer than {MAX_CHARS} characters")
    return _Parser(text, members, names).parse() if text.strip() else lambda _: True


class _Parser:
    """By recursive descent over the tokens: kind, value, and where it begins."""

    def __init__(self, text: str, members: Mapping[str, str], names: Sequence[str]) -> None:
        self._members = members
        self._names = names
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0
        self._terms = 0

    def parse(self) -> Predicate:
        whole = self._all_of()
        if self._at < len(self._tokens):
            self._expected("AND, OR or the end")
        return whole

    def _all_of(self) -> Predicate:
        parts = [self._any_of()]
        while self._take_word("AND") or self._begins_term():
            parts.append(self._any_of())
        return parts[0] if len(parts) == 1 else lambda facts: all(part(facts) for part in parts)

    def _any_of(self) -> Predicate:
        parts = [self._maybe_not()]
        while self._take_word("OR"):
            parts.append(self._maybe_not())
        return parts[0] if len(parts) == 1 else lambda facts: any(part(facts) for part in parts)

    def _maybe_not(self) -> Predicate:
        if not (self._take_word("NOT") or self._take_sign("-")):
            return self._term()
        inner = self._deeper(self._maybe_not)
        return lambda facts: not inner(facts)

    def _term(self) -> Predicate:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise FilterError(f"it has more than {MAX_TERMS} comparisons")
        if self._take_sign("("):
            inner = self._deeper(self._all_of)
            if not self._take_sign(")"):
                self._expected("')'")
            return inner
        kind, value, _ = self._peek()
        if kind not in ("word", "string") or (kind == "word" and value in ("AND", "OR", "NOT")):
            self._expected('a comparison such as lang_code = "en"')
        self._at += 1
        sign, operator, _ = self._peek()
        if sign != "sign" or operator not in ("=", "!=", ":", "<", "<=", ">", ">="):
            sought = value.lower()
            return lambda facts: any(sought in one for name in self._names for one in facts.get(name, ()))
        if kind == "string" or value not in self._members:
            raise FilterError(f"there is no member '{value[:50]}'; there are {', '.join(self._members)}")
        if operator not in ("=", "!=", ":"):
            raise FilterError(
                f"'{operator}' is not supported; there are =, != and : for the members of voices"
            )
        self._at += 1
        return _comparison(self._members[value], operator, *self._value())

    def _value(self) -> tuple[str, bool]:
        """A value, and whether it was in quotes."""
        kind, value, _ = self._peek()
        if kind == "sign" and value == "-":  # of a number, or of a word that begins with it
            self._at += 1
            text, quoted = self._value()
            return f"-{text}", quoted
        if kind not in ("word", "string"):
            self._expected('a value such as "en"')
        self._at += 1
        return value, kind == "string"

    def _deeper(self, parse: Callable[[], Predicate]) -> Predicate:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(f"it is nested more than {MAX_DEPTH} deep")
        inner = parse()
        self._depth -= 1
        return inner

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", -1)

    def _begins_term(self) -> bool:
        kind, value, _ = self._peek()
        return kind == "string" or (kind == "word" and value != "OR") or (kind == "sign" and value in "(-")

    def _take_word(self, word: str) -> bool:
        kind, value, _ = self._peek()
        return self._take(kind == "word" and value == word)

    def _take_sign(self, sign: str) -> bool:
        kind, value, _ = self._peek()
        return self._take(kind == "sign" and value == sign)

    def _take(self, is_it: bool) -> bool:
        self._at += is_it
        return is_it

    def _expected(self, what: str) -> NoReturn:
        kind, value, at = self._peek()
        found = "its end" if kind == "end" else f"'{value[:50]}' at character {at + 1}"
        raise FilterError(f"expected {what}, found {found}")


def _tokens(text: str) -> list[tuple[str, str, int]]:
    tokens: list[tuple[str, str, int]] = []
    at = 0
    while at < len(text) and text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            hint = "; a text needs its closing quote" if text[at] in "\"'" else ""
            raise FilterError(f"'{text[at]}' at character {at + 1} does not belong there{hint}")
        kind = found.lastgroup or ""
        value = found[kind]
        if kind == "string":
            value = _ESCAPED.sub(r"\1", value[1:-1])
        tokens.append((kind, value, found.start(kind)))
        at = found.end()
    return tokens


def _comparison(member: str, operator: str, value: str, quoted: bool) -> Predicate:
    wanted = value.lower()
    if operator == ":":
        if wanted == "*" and not quoted:
            return lambda facts: any(facts.get(member, ()))
        return lambda facts: any(wanted in one for one in facts.get(member, ()))
    matches = _whole(wanted)
    if operator == "=":
        return lambda facts: any(matches(one) for one in facts.get(member, ()))
    return lambda facts: not any(matches(one) for one in facts.get(member, ()))


def _whole(wanted: str) -> Callable[[str], bool]:
    """Equality, with `*` for anything at either end."""
    starts, ends = wanted.startswith("*"), wanted.endswith("*") and len(wanted) > 1
    core = wanted[starts : len(wanted) - ends]
    if starts and ends:
        return lambda one: core in one
    if starts:
        return lambda one: one.endswith(core)
    if ends:
        return lambda one: one.startswith(core)
    return lambda one: one == wanted
