"""What every provider offers, as the registry knows it, for `parley providers` and the documentation."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from providers.catalog import CATALOG
from providers.contracts import ModelInfo
from providers.provider import Provider, ProviderSettings
from providers.registry import make_provider
from server.startup import IN_PROCESS

__all__ = ["COLUMNS", "Row", "markdown", "options_markdown", "rows"]

COLUMNS = ("Models", "What", "Key", "Streams", "Languages", "Word timings")
KINDS = {"llm": "language model", "stt": "transcription", "tts": "speech", "vad": "speech detection"}
_ANY_LLM = ModelInfo("MODEL", "llm", streams="text and calls")
_ANY_STT = ModelInfo("MODEL", "stt", streams="text, after the audio", languages="as the model")
_ANY_TTS = ModelInfo("MODEL", "tts", streams="audio", languages="as the model")


@dataclass(frozen=True, slots=True)
class Row:
    """One model, or all models of one kind where a provider lists none."""

    id: str
    kind: str
    key: str  # environment variables, or how it goes without
    streams: str
    languages: str
    word_timings: bool

    def cells(self) -> tuple[str, ...]:
        """In the order of `COLUMNS`."""
        timings = "yes" if self.word_timings else ""
        return self.id, KINDS.get(self.kind, "end of turn"), self.key, self.streams, self.languages, timings


def rows() -> Iterator[Row]:
    """All that needs no table in the settings: in process, by a key, or on this machine."""
    for name in IN_PROCESS:
        yield from _rows(name, make_provider(name, ProviderSettings(name)), "none: in process")
    for name, service in CATALOG.items():
        options = dict(service.options)
        if service.base_url is not None:
            options["base_url"] = service.base_url
        provider = make_provider(service.kind, ProviderSettings(name, options, "key-of-nobody"))
        key = " or ".join(f"`{variable}`" for variable in service.key_variables) or "none: on this machine"
        yield from _rows(name, provider, key)


def _rows(name: str, provider: Provider, key: str) -> Iterator[Row]:
    for model in _models(name, provider):
        languages = model.languages
        yield Row(f"{name}/{model.id}", model.kind, key, model.streams, languages, model.word_timings)


def _models(name: str, provider: Provider) -> Sequence[ModelInfo]:
    listed = list(provider.known_models())
    if name in CATALOG and CATALOG[name].kind == "openai-compatible":
        # It serves what its owner has; only OpenAI itself is known to hear and to speak.
        return (_ANY_LLM, _ANY_STT, _ANY_TTS) if name == "openai" else (_ANY_LLM,)
    return listed or (_ANY_LLM,)


def markdown(table: Iterator[Row] | None = None) -> str:
    """The table for the documentation; models that differ in nothing but their names share a line."""
    merged: dict[tuple[str, ...], list[str]] = {}
    for row in table if table is not None else rows():
        id, *rest = row.cells()
        merged.setdefault((id.partition("/")[0], *rest), []).append(f"`{id}`")
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line((", ".join(ids), *rest)) for (_, *rest), ids in merged.items()]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def options_markdown(options: Mapping[str, type[BaseModel]]) -> str:
    """The page about the options of every kind: a table each, from the descriptions in the code."""
    parts = []
    for kind, model in sorted(options.items()):
        lines = [f"## {kind}", "", "| option | default | meaning |", "|---|---|---|"]
        for name, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True, validated_data={})
            lines.append(f"| `{name}` | {_shown(default)} | {field.description or ''} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _shown(default: Any) -> str:
    if default is None:
        return "unset"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{json.dumps(to_jsonable_python(default))}`"
