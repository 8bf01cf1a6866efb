"""Checks JSON against wire models, and turns the first fault into the protocol's own error."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import InvalidRequest
from server.protocol.profiles import PARLEY, Profile

__all__ = ["Model", "WireModel", "check_depth", "dotted", "missing", "unknown_members", "validate"]

# Far deeper than any tool schema; orjson refuses to write what is nested more than 254 levels deep.
_MAX_DEPTH = 64
_SHOWN_CHARS = 100  # of a client's value inside an error message

_JSON_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_WANTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "mapping_type": "an object",
}
_BOUNDS = {
    "greater_than_equal": ("below_min_value", "a value >= {ge}"),
    "less_than_equal": ("above_max_value", "a value <= {le}"),
}
_LENGTHS = {
    "string_too_long": ("string_above_max_length", "at most {max_length} characters"),
    "string_too_short": ("string_below_min_length", "at least {min_length} characters"),
    "too_long": ("array_above_max_length", "at most {max_length} entries"),
    "too_short": ("array_below_min_length", "at least {min_length} entries"),
}


class WireModel(BaseModel):
    """Strict about types, as JSON already has them; unknown members are kept aside in `model_extra`."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    # Members that OpenAI's protocol does not have, and those that it wants although we can do without.
    beyond_openai: ClassVar[frozenset[str]] = frozenset()
    wanted_by_openai: ClassVar[frozenset[str]] = frozenset()

    def unknown_to_openai(self) -> list[str]:
        """The members of this object that OpenAI's service would refuse."""
        return [*(self.model_extra or ()), *sorted(self.model_fields_set & self.beyond_openai)]


Model = TypeVar("Model", bound=WireModel)
_Path = tuple[str | int, ...]


def validate(model: type[Model], data: Any, profile: Profile = PARLEY) -> Model:
    """`data` as a `model`; raises `InvalidRequest` with the dotted path of the first fault.

    Validators of the model find the profile in their context.
    """
    try:
        value = model.model_validate(data, context=profile)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], data) from None
    if profile.strict:
        _check_strictly(value)
    return value


def unknown_members(model: WireModel) -> Iterator[str]:
    """The dotted paths of everything in `model` that nobody will look at."""
    for path, part in _parts(model):
        for name in part.model_extra or ():
            yield dotted((*path, name))


def _check_strictly(model: WireModel) -> None:
    for path, part in _parts(model):
        for name in part.unknown_to_openai():
            param = dotted((*path, name))
            raise InvalidRequest(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
        for name in sorted(part.wanted_by_openai - part.model_fields_set):
            raise missing(dotted((*path, name)))


def _parts(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, WireModel]]:
    """Every object inside a validated one, itself first, with its place."""
    if isinstance(value, WireModel):
        yield path, value
        for name in type(value).model_fields:
            yield from _parts(getattr(value, name), (*path, name))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _parts(entry, (*path, index))


def missing(param: str) -> InvalidRequest:
    """The error for a member that has to be there."""
    return InvalidRequest(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def dotted(path: Sequence[str | int]) -> str:
    """`("item", "content", 0, "text")` as `item.content[0].text`; endless names are shortened."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if len(step) <= _SHOWN_CHARS else step[:_SHOWN_CHARS] + "…"
            text += f".{name}" if text else name
    return text


def check_depth(value: Any) -> bool:
    """Whether JSON data is nested no deeper than the limit. Not recursive, so depth cannot hurt it."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return True
    return False


def _explain(fault: ErrorDetails, data: Any) -> InvalidRequest:
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    path = _json_path(fault["loc"], data)
    if kind.startswith("union_tag_"):
        name = str(context["discriminator"]).strip("'")
        path.append("type" if name.endswith("()") else name)  # a function that knows of more than the type
        value = value.get(path[-1]) if isinstance(value, dict) else value
    if fault["loc"] and fault["loc"][-1] == "[key]":  # the name itself is at fault, and may be endless
        path.pop()
    param = dotted(path)
    if kind in ("missing", "union_tag_not_found"):
        return missing(param)
    if kind in _WANTED:
        return InvalidRequest(
            f"Invalid type for '{param}': expected {_WANTED[kind]}, "
            f"but got {_JSON_TYPES.get(type(value), 'something else')} instead.",
            code="invalid_type",
            param=param,
        )
    if kind in _BOUNDS:
        suffix, wanted = _BOUNDS[kind]
        number = "decimal" if float in map(type, (value, *context.values())) else "integer"
        return InvalidRequest(
            f"Invalid '{param}': {number} {suffix.replace('_', ' ')}. "
            f"Expected {wanted.format(**context)}, but got {_shown(value)} instead.",
            code=f"{number}_{suffix}",
            param=param,
        )
    if kind in _LENGTHS:
        code, wanted = _LENGTHS[kind]
        return InvalidRequest(
            f"Invalid '{param}': {code.replace('_', ' ')}. Expected {wanted.format(**context)}.",
            code=code,
            param=param,
        )
    if kind in ("literal_error", "union_tag_invalid"):
        supported = context.get("expected") or context.get("expected_tags")
        return InvalidRequest(
            f"Invalid value: {_shown(value)}. Supported values are: {supported}.", param=param
        )
    if kind in ("int_parsing_size", "int_from_float"):
        return InvalidRequest(
            f"Invalid type for '{param}': expected an integer, but got a decimal instead.",
            code="invalid_type",
            param=param,
        )
    if kind.startswith("value_error") or "." not in kind:
        return InvalidRequest(f"Invalid '{param}': {fault['msg']}.", param=param)
    return InvalidRequest(f"Invalid '{param}'.", param=param)


def _json_path(location: Sequence[str | int], data: Any) -> list[str | int]:
    """pydantic's location without the steps that are not in the JSON, such as the names of union members."""
    path: list[str | int] = []
    for index, step in enumerate(location):
        if isinstance(data, dict):
            if step not in data and index < len(location) - 1:
                continue
            if step not in data and isinstance(step, str) and not step.isidentifier():
                continue  # a function name of a validator, say, never a member
            data = data.get(step)
        elif isinstance(data, list):
            if not isinstance(step, int):
                continue
            data = data[step] if step < len(data) else None
        else:
            continue
        path.append(step)
    return path


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
