"""Near misses: events with a member changed, lost or too many, and frames that are no events at all."""

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.conformance.client import Event

__all__ = ["VALUES", "mutate", "paths"]

Path = tuple[str | int, ...]

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    7,
    2.5,
    10**25,
    1e300,
    "",
    "x",
    "a" * 600,
    [],
    [None],
    ["x"],
    {},
    {"x": 1},
]
_RARE_VALUES: list[Any] = [
    "\N{SNOWMAN}\u0000\u202e",
    "a" * 50_000,
    ["x"] * 300,
    {f"member_{n}": n for n in range(300)},
    -(2**63) - 1,
    -0.0,
    "null",
    "UklGRiQAAABXQVZF" + "A" * 40,  # a WAV file, for a moment
]
_NAMES = ["type", "event_id", "id", "audio", "session", "item", "__proto__", "", "a.b", "ä", "x" * 300]


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """Where the members of a JSON value are, itself left out."""
    if isinstance(value, dict | list):
        for name, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*here, name)
            yield from paths(member, (*here, name))


def mutate(event: Event, random: Random) -> str | bytes:
    """A frame: the event with up to three members spoilt, sometimes spoilt as text as well."""
    mutant: Any = copy.deepcopy(event)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        # An event of no known type is refused before anybody looks into it.
        places = [path for path in paths(mutant) if path != ("type",) or random.random() < 0.05]
        if places:
            random.choice(_CHANGES)(mutant, random.choice(places), random)
    text = json.dumps(mutant, ensure_ascii=random.random() < 0.5)
    return random.choice(_SPOILS)(text, random) if random.random() < 0.05 else text


def _parent(value: Any, path: Path) -> Any:
    for step in path[:-1]:
        value = value[step]
    return value


def _replace(event: Any, path: Path, random: Random) -> None:
    values = _RARE_VALUES if random.random() < 0.1 else VALUES
    _parent(event, path)[path[-1]] = copy.deepcopy(random.choice(values))


def _remove(event: Any, path: Path, random: Random) -> None:
    del _parent(event, path)[path[-1]]


def _add(event: Any, path: Path, random: Random) -> None:
    parent = _parent(event, path)
    value = copy.deepcopy(random.choice(VALUES))
    if isinstance(parent, dict):
        parent[random.choice(_NAMES)] = value
    else:
        parent.insert(random.randint(0, len(parent)), value)


def _move(event: Any, path: Path, random: Random) -> None:
    """A value that is right elsewhere."""
    other = random.choice(list(paths(event)))
    value = copy.deepcopy(_parent(event, other)[other[-1]])
    _parent(event, path)[path[-1]] = value


def _nest(event: Any, path: Path, random: Random) -> None:
    parent = _parent(event, path)
    for _ in range(random.choice((1, 2, 80))):
        parent[path[-1]] = [parent[path[-1]]] if random.random() < 0.5 else {"x": parent[path[-1]]}


_CHANGES: list[Callable[[Any, Path, Random], None]] = [
    _replace,
    _replace,
    _replace,
    _remove,
    _add,
    _move,
    _nest,
]


def _cut(text: str, random: Random) -> str:
    return text[: random.randrange(len(text))]


def _smudge(text: str, random: Random) -> str:
    at = random.randrange(len(text))
    return text[:at] + random.choice('{}[]",:\\0xN\N{SNOWMAN}') + text[at + 1 :]


def _as_bytes(text: str, random: Random) -> bytes:
    return text.encode("utf-8", "surrogatepass")[: random.randrange(200)]


def _double(text: str, random: Random) -> str:
    return text + text


_SPOILS: list[Callable[[str, Random], str | bytes]] = [_cut, _smudge, _smudge, _as_bytes, _double]
