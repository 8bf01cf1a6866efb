"""Checks the options of a provider's settings table, so that a mistake in it is named at start-up."""

import difflib
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from providers.provider import ProviderSettings

__all__ = ["ProviderOptions", "read_options"]


class ProviderOptions(BaseModel):
    """What the options of one kind derive from."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


Options = TypeVar("Options", bound=ProviderOptions)


def read_options(settings: ProviderSettings, kind: type[Options]) -> Options:
    """The options of one table; raises a `ValueError` that names the first one that is unknown or wrong."""
    known = list(kind.model_fields)
    for option in settings.options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"provider '{settings.name}': unknown option '{option}'; did you mean '{near}'?")
    try:
        return kind.model_validate(dict(settings.options))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"provider '{settings.name}': option '{place}': {first['msg']}") from None
