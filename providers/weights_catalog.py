"""What `local/...` can run once its weights were downloaded: names, files, sizes and the packages needed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from providers.contracts import ModelInfo
from providers.hub import WeightSet

__all__ = ["CATALOG", "PIPER_VOICES", "CatalogEntry", "catalog_entry"]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    info: ModelInfo
    weights: WeightSet
    extra: str = ""  # the optional dependencies that run it, by the name that installers know
    module: str = ""  # what those bring


MB = 1_000_000

# Conversions for CTranslate2, by the makers of faster-whisper or those that it names, with rough sizes in MB.
_WHISPER = {
    "tiny": ("Systran/faster-whisper-tiny", 78),
    "tiny.en": ("Systran/faster-whisper-tiny.en", 78),
    "base": ("Systran/faster-whisper-base", 148),
    "base.en": ("Systran/faster-whisper-base.en", 148),
    "small": ("Systran/faster-whisper-small", 486),
    "small.en": ("Systran/faster-whisper-small.en", 486),
    "medium": ("Systran/faster-whisper-medium", 1531),
    "medium.en": ("Systran/faster-whisper-medium.en", 1531),
    "large-v3": ("Systran/faster-whisper-large-v3", 3091),
    "large-v3-turbo": ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1622),
    "distil-large-v3": ("Systran/faster-distil-whisper-large-v3", 1516),
}

# One voice for each of many languages; any other of the collection may be named too.
PIPER_VOICES = (
    "en_US-lessac-medium",
    "en_US-amy-medium",
    "en_US-ryan-high",
    "en_GB-alba-medium",
    "de_DE-thorsten-medium",
    "es_ES-davefx-medium",
    "fr_FR-siwis-medium",
    "it_IT-paola-medium",
    "nl_NL-mls-medium",
    "pl_PL-gosia-medium",
    "pt_BR-faber-medium",
)
# As the collection names its voices: language, region, name, quality.
_PIPER = re.compile(
    r"(?P<family>[a-z]{2,3})_(?P<region>[A-Z]{2})-(?P<name>\w{1,40})-(?P<quality>\w{1,20})", re.A
)


def _whisper(size: str, repository: str, megabytes: int) -> CatalogEntry:
    english = size.endswith(".en") or size.startswith("distil")
    return CatalogEntry(
        ModelInfo(f"whisper-{size}", "stt", "partial transcripts", "en" if english else "99"),
        WeightSet(
            repository,
            ("config.json", "tokenizer.json", "vocabulary.txt|vocabulary.json", "model.bin"),
            megabytes * MB,
            optional=("preprocessor_config.json",),
        ),
        "whisper",
        "faster_whisper",
    )


def _piper(voice: str) -> CatalogEntry | None:
    parts = _PIPER.fullmatch(voice)
    if parts is None:
        return None
    family, code = parts["family"], f"{parts['family']}_{parts['region']}"
    folder = f"{family}/{code}/{parts['name']}/{parts['quality']}"
    megabytes = {"x_low": 28, "high": 114}.get(parts["quality"], 63)
    return CatalogEntry(
        ModelInfo(f"piper-{voice}", "tts", "text by clause, audio by sentence", code.replace("_", "-"), True),
        WeightSet(
            "rhasspy/piper-voices",
            (f"{folder}/{voice}.onnx.json", f"{folder}/{voice}.onnx"),
            megabytes * MB,
        ),
        "piper",
        "piper",
    )


_MOONSHINE_BASE = CatalogEntry(
    ModelInfo("moonshine-base-en", "stt", "partial transcripts", "en"),
    WeightSet(
        "onnx-community/moonshine-base-ONNX",
        # The encoder loses much when it is quantised, the decoder does not.
        ("tokenizer.json", "onnx/decoder_model_merged_quantized.onnx", "onnx/encoder_model.onnx"),
        125 * MB,
        revision="b1e9b6aae3c3c7298f10c3798393fdf38e8fbbad",
    ),
)
# Of the public exports this is the one that comes with all voices in one file. It does not tell how long its
# phonemes are; a later export of the same model does, and can be put in its place.
_KOKORO = CatalogEntry(
    ModelInfo("kokoro", "tts", "text by clause, audio by clause", "en, es, fr, hi, it, ja, pt, zh"),
    WeightSet("fastrtc/kokoro-onnx", ("voices-v1.0.bin", "kokoro-v1.0.onnx"), 354 * MB),
    "kokoro",
    "kokoro_onnx",
)


def catalog_entry(model: str) -> CatalogEntry | None:
    """The entry of a model; voices of Piper need not be listed in `CATALOG`."""
    return CATALOG.get(model) or (
        _piper(model.removeprefix("piper-")) if model.startswith("piper-") else None
    )


def _catalog() -> dict[str, CatalogEntry]:
    entries = [_MOONSHINE_BASE, *(_whisper(size, *known) for size, known in _WHISPER.items()), _KOKORO]
    entries += [entry for voice in PIPER_VOICES if (entry := _piper(voice)) is not None]
    return {entry.info.id: entry for entry in entries}


CATALOG: Mapping[str, CatalogEntry] = _catalog()
