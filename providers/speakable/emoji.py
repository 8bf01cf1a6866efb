"""Which characters are pictures: they are seen, and a voice that names them is a nuisance."""

__all__ = ["EMOJI"]

# Unicode's blocks of pictures and signs. Left out, since they are text: circled digits, fractions, letters.
_PICTURES = (
    "\U0001f000-\U0001faff"  # everything newer, flags and skin tones among it
    "\u2300-\u23ff"  # watches, keys of a keyboard
    "\u25a0-\u25ff"  # squares, circles, triangles
    "\u2600-\u2775\u2794-\u27bf"  # weather, chess, ticks, stars
    "\u2b00-\u2bff"  # more arrows and stars
    "\u3030\u303d"
)
_MODIFIERS = "\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f"

# A joiner counts only between pictures: scripts of India and Iran need it between letters.
EMOJI = rf"[{_PICTURES}][{_PICTURES}{_MODIFIERS}\u200d]*+|[{_MODIFIERS}]++"
