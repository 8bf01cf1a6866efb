"""Where settings come from, and how a mistake in one of them is explained to a person."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

__all__ = ["SettingsError", "Sources", "config_file", "explain", "read_sources"]

PREFIX = "PARLEY_"
# Short names, and names that belong to the command line or to a client rather than to the server.
KEYS_SHORTCUT = "PARLEY_API_KEYS"
NOT_SETTINGS = frozenset({KEYS_SHORTCUT, "PARLEY_CONFIG", "PARLEY_API_KEY", "PARLEY_URL"})
# Kubernetes describes a Service called "parley" (or "parley-web") to every pod beside it in such variables.
KUBERNETES = re.compile(r"PARLEY_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT_\d+_(TCP|UDP|SCTP)\w*)")
KUBERNETES_PORT = re.compile(r"PARLEY_(\w+_)?PORT")

Location = tuple[int | str, ...]


class SettingsError(Exception):
    """The settings cannot be used. `problems` has one line for each mistake, safe to print."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Sources:
    """What each source says, and all of it together."""

    file: Path | None
    from_file: Mapping[str, Any]
    from_environment: Mapping[str, Any]
    from_command_line: Mapping[str, Any]

    @property
    def merged(self) -> dict[str, Any]:
        return _merge(_merge(self.from_file, self.from_environment), self.from_command_line)

    def place(self, location: Location) -> str:
        """The name of a setting as its author wrote it: an option, a variable, or a path in a file."""
        dotted = ".".join(str(part) for part in location)
        if _holds(self.from_command_line, location):
            return f"--{str(location[-1]).replace('_', '-')}"
        if _holds(self.from_environment, location):
            name = PREFIX + "__".join(str(part) for part in location).upper()
            return name if name in os.environ else _variable_above(location)
        if self.file is not None and _holds(self.from_file, location):
            return f"{self.file}: {dotted}"
        return dotted


def config_file(config: Path | None) -> Path | None:
    """The settings file to read; raises `SettingsError` when a file was asked for by name and is missing."""
    if config is not None:
        if not config.is_file():
            raise SettingsError([f"{config}: no such settings file"])
        return config
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    candidates = (Path("parley.toml"), home / "openparley" / "parley.toml")
    return next((path for path in candidates if path.is_file()), None)


def read_sources(model: type[BaseSettings], config: Path | None, overrides: Mapping[str, Any]) -> Sources:
    """Read the file and the environment. Raises `SettingsError`."""
    path = config_file(config)
    return Sources(path, _read_file(path), _read_environment(model), overrides)


def explain(error: ValidationError, model: type[BaseModel], sources: Sources) -> list[str]:
    """One line for each mistake. Values are left out, since a key may be among them."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        location = problem["loc"]
        place = sources.place(location)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{place} is not a setting{_suggestion(location, model)}")
        else:
            lines.append(f"{place}: {problem['msg'][0].lower()}{problem['msg'][1:]}")
    return lines


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path}: not valid TOML: {error}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: cannot be read: {error}"]) from None


def _read_environment(model: type[BaseSettings]) -> dict[str, Any]:
    unknown = [name for name in sorted(os.environ) if _is_unknown(name, model)]
    if unknown:
        raise SettingsError(
            [f"{name} is not a setting{_variable_suggestion(name, model)}" for name in unknown]
        )
    source = EnvSettingsSource(
        model,
        case_sensitive=False,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str="null",
    )
    try:
        values = source()
    except SourceError:  # says which field, but not which variable
        broken = ", ".join(_broken_json(model)) or "a PARLEY_ variable"
        raise SettingsError([f"{broken}: not valid JSON (or set its members one by one with __)"]) from None
    if KEYS_SHORTCUT in os.environ:
        values = _merge({"server": {"api_keys": os.environ[KEYS_SHORTCUT]}}, values)
    return values


def _is_unknown(name: str, model: type[BaseModel]) -> bool:
    if not name.startswith(PREFIX) or name in NOT_SETTINGS or KUBERNETES.fullmatch(name):
        return False
    if KUBERNETES_PORT.fullmatch(name) and os.environ[name].startswith(("tcp://", "udp://")):
        return False
    return name.removeprefix(PREFIX).split("__")[0].lower() not in model.model_fields


def _broken_json(model: type[BaseModel]) -> Iterator[str]:
    """The variables that hold a whole table, or look like it, and cannot be read as JSON."""
    tables = {PREFIX + field.upper() for field in model.model_fields}
    for name, value in sorted(os.environ.items()):
        if name.upper() in tables or (name.startswith(PREFIX) and value.lstrip().startswith(("{", "["))):
            try:
                json.loads(value)
            except ValueError:
                yield name


def _variable_above(location: Location) -> str:
    """The variable that holds `location` inside its JSON, or that is a short name for it."""
    for length in range(len(location) - 1, 0, -1):
        name = PREFIX + "__".join(str(part) for part in location[:length]).upper()
        if name in os.environ:
            return f"{name} ({'.'.join(str(part) for part in location)})"
    return KEYS_SHORTCUT if location[:2] == ("server", "api_keys") else ".".join(map(str, location))


def _suggestion(location: Location, model: type[BaseModel]) -> str:
    """ "; did you mean X?", looking first beside the unknown key and then at all settings."""
    wanted = str(location[-1])
    parent = location[:-1]
    paths = list(_paths(model))
    beside = {path[-1]: path for path in paths if path[:-1] == parent}
    anywhere: dict[str, Location] = {}
    for path in paths:
        anywhere.setdefault(str(path[-1]), path)
    for pool in (beside, anywhere):
        close = difflib.get_close_matches(wanted, [str(name) for name in pool], n=1)
        if close:
            return f"; did you mean {'.'.join(str(part) for part in pool[close[0]])}?"
    return f"; known here: {', '.join(sorted(str(name) for name in beside))}" if beside else ""


def _variable_suggestion(name: str, model: type[BaseModel]) -> str:
    variables = [PREFIX + "__".join(str(part) for part in path).upper() for path in _paths(model)]
    short = name.removeprefix(PREFIX)
    for variable in variables:  # the nesting was left out: PARLEY_PORT for PARLEY_SERVER__PORT
        if variable.endswith(f"__{short}") or variable.replace("__", "_") == name:
            return f"; did you mean {variable}?"
    close = difflib.get_close_matches(name, [*variables, *sorted(NOT_SETTINGS)], n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _paths(model: type[BaseModel], above: Location = ()) -> Iterator[Location]:
    """Every setting as a path of names."""
    for name, field in model.model_fields.items():
        path = (*above, field.alias or name)
        yield path
        members = get_args(field.annotation)
        if members[:1] == (str,):  # a table of which the user chooses the keys
            continue
        for annotation in (field.annotation, *members):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from _paths(annotation, path)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def _holds(values: Any, location: Location) -> bool:
    for part in location:
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        else:  # a list may have been written as text with commas
            return isinstance(values, list | str) and isinstance(part, int)
    return True
