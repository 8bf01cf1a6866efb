"""Text as it is written, made into text as it is spoken, and back."""

from providers.speakable.pieces import Piece
from providers.speakable.positions import Positions
from providers.speakable.text import SpeakableText

__all__ = ["Piece", "Positions", "SpeakableText"]
