"""Checks JSON against wire models, and turns the first fault into the protocol's own error."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import InvalidRequest

__all__ = ["WireModel", "check_depth", "dotted", "validate"]

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


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], data: Any, root: Sequence[str | int] = ()) -> Model:
    """`data` as a `model`; raises `InvalidRequest` with the dotted path of the first fault below `root`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], data, root) from None


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


def _explain(fault: ErrorDetails, data: Any, root: Sequence[str | int]) -> InvalidRequest:
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    path = [*root, *_json_path(fault["loc"], data)]
    if kind.startswith("union_tag_"):
        path.append(str(context["discriminator"]).strip("'"))
        value = value.get(path[-1]) if isinstance(value, dict) else value
    if fault["loc"] and fault["loc"][-1] == "[key]":  # the name itself is at fault, and may be endless
        path.pop()
    param = dotted(path)
    if kind in ("missing", "union_tag_not_found"):
        return InvalidRequest(
            f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
        )
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
