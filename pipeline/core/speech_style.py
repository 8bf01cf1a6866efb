"""How a response is to be spoken, going by its configuration."""

from pipeline.config import SessionConfig
from pipeline.effects import SpeechStyle
from pipeline.extensions import extensions_of, spelled

__all__ = ["speech_style"]


def speech_style(config: SessionConfig) -> SpeechStyle:
    """Voice, speed and format, and what `providerData.tts` asks of the model."""
    output = config.audio.output
    asked = extensions_of(config.provider_data).tts
    return SpeechStyle(
        output.model,
        output.voice,
        output.speed,
        output.format,
        language=spelled(asked, "language"),
        settings=asked,
    )
