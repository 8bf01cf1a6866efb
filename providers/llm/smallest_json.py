"""The smallest value that a JSON Schema allows, for calls that a `tool_choice` forces."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["smallest_arguments"]

# A schema comes from a client: recursion, fan-out and lengths are bounded.
_MAX_DEPTH = 12
_MAX_NODES = 5_000
_MAX_ITEMS = 100
_MAX_LENGTH = 1_000

_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "a@example.com",
    "uri": "http://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "0.0.0.0",
}


class _HopelessError(Exception):
    """This branch allows nothing, or nothing within the bounds."""


def smallest_arguments(schema: Mapping[str, Any] | None) -> str:
    """The arguments of a call as JSON text: what is required and no more.

    Follows type, const, enum, default, the minimum and length keywords, anyOf, oneOf, allOf and local
    references; `pattern` is not understood. A schema that allows nothing gives `{}`.
    """
    if not schema:
        return "{}"
    try:
        value = _Builder(schema).build(schema, 0)
    except _HopelessError:
        return "{}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else "{}"


class _Builder:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def build(self, schema: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES or schema is False:
            raise _HopelessError
        if not isinstance(schema, Mapping):
            return None  # `true` allows anything
        schema = self._flatten(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "default" in schema:
            return schema["default"]
        if enum := _sequence(schema.get("enum")):
            return enum[0]
        options = _sequence(schema.get("anyOf")) or _sequence(schema.get("oneOf"))
        if options:
            base = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
            return self._cheapest([_merged(base, option) for option in options], depth)
        kinds = schema.get("type")
        if isinstance(kinds, list) and kinds:
            return self._cheapest([{**schema, "type": kind} for kind in kinds], depth)
        return self._of_type(kinds if isinstance(kinds, str) else _guess(schema), schema, depth)

    def _flatten(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Resolve `$ref` and `allOf` into one plain schema."""
        for _ in range(_MAX_DEPTH):
            if isinstance(reference := schema.get("$ref"), str):
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(self._resolve(reference), rest)
            elif parts := _sequence(schema.get("allOf")):
                schema = {key: value for key, value in schema.items() if key != "allOf"}
                for part in parts:
                    if isinstance(part, Mapping):
                        schema = _merged(schema, self._flatten(part, depth + 1) if depth < _MAX_DEPTH else {})
            else:
                return schema
        raise _HopelessError

    def _resolve(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or not reference.startswith("#"):
            raise _HopelessError
        return found

    def _cheapest(self, schemas: Sequence[Any], depth: int) -> Any:
        values = []
        for schema in schemas:
            try:
                values.append(self.build(schema, depth + 1))
            except _HopelessError:
                continue
        if not values:
            raise _HopelessError
        return min(values, key=_size)

    def _of_type(self, kind: str | None, schema: Mapping[str, Any], depth: int) -> Any:
        if kind == "object":
            properties = schema.get("properties")
            known = properties if isinstance(properties, Mapping) else {}
            required = dict.fromkeys(
                name for name in _sequence(schema.get("required")) if isinstance(name, str)
            )
            return {name: self.build(known.get(name, True), depth + 1) for name in required}
        if kind == "array":
            prefix = _sequence(schema.get("prefixItems"))
            count = min(int(_number(schema.get("minItems"), 0)), _MAX_ITEMS)
            shapes = [prefix[at] if at < len(prefix) else schema.get("items", True) for at in range(count)]
            return [self.build(shape, depth + 1) for shape in shapes]
        if kind == "string":
            example = _FORMATS.get(str(schema.get("format")), "")
            length = min(int(_number(schema.get("minLength"), 0)), _MAX_LENGTH)
            return example.ljust(length, "a")
        if kind in ("integer", "number"):
            return _smallest_number(schema, kind == "integer")
        return False if kind == "boolean" else None


def _smallest_number(schema: Mapping[str, Any], whole: bool) -> int | float:
    """The allowed number nearest to zero."""
    step = abs(_number(schema.get("multipleOf"), 1.0 if whole else 0.0))
    low, high = _number(schema.get("minimum"), None), _number(schema.get("maximum"), None)
    above, below = (
        _number(schema.get("exclusiveMinimum"), None),
        _number(schema.get("exclusiveMaximum"), None),
    )
    value = 0.0
    # Strict bounds move by one step, or by one where any fraction would do.
    if low is not None and low > value:
        value = low if not step else -(-low // step) * step
    if above is not None and above >= value:
        value = above + 1 if not step else (above // step + 1) * step
    if high is not None and high < value:
        value = high if not step else high // step * step
    if below is not None and below <= value:
        value = below - 1 if not step else -((-below) // step + 1) * step
    return int(value) if value == int(value) else value


def _merged(first: Mapping[str, Any], second: Any) -> dict[str, Any]:
    """Both schemas at once, as far as smallest values go."""
    if not isinstance(second, Mapping):
        return dict(first)
    merged = {**first, **second}
    for key in ("properties", "$defs"):
        if isinstance(first.get(key), Mapping) and isinstance(second.get(key), Mapping):
            merged[key] = {**first[key], **second[key]}
    if required := [*_sequence(first.get("required")), *_sequence(second.get("required"))]:
        merged["required"] = required
    return merged


def _guess(schema: Mapping[str, Any]) -> str | None:
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "minItems" in schema else None


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any, otherwise: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e15:
        return otherwise
    return value


def _size(value: Any) -> int:
    try:
        return len(json.dumps(value))
    except (TypeError, ValueError):
        return 1_000_000
