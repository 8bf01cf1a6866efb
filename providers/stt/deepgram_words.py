"""How Deepgram's texts are put together, and which words it may be told to expect."""

from collections.abc import Iterable, Iterator

__all__ = ["Joint", "keyterms"]

MAX_TERMS = 100
MAX_TERM_CHARS = 100
MAX_CHARS = 1500  # of all terms: 500 tokens are allowed, and more stop the service without a word

_UNSPACED = ("ja", "zh", "th", "yue")  # languages whose writing has no spaces between words


class Joint:
    """What stands between two pieces of one transcript."""

    def __init__(self, language: str = "") -> None:
        self.language = language  # of the text that comes next; "" or "multi": not known
        self._anything = False

    def before(self, text: str) -> str:
        """The text as it is appended to what was settled before."""
        spaced = self.language.split("-")[0].lower() not in _UNSPACED
        return f" {text}" if text and self._anything and spaced else text

    def settle(self, text: str) -> None:
        """The text is a part of the transcript now."""
        self._anything = self._anything or bool(text)


def keyterms(words: Iterable[str]) -> Iterator[str]:
    """Names and terms, words or phrases, as many as the service takes."""
    chars = 0
    terms = dict.fromkeys(" ".join(word.replace(",", " ").replace(";", " ").split()) for word in words)
    for term in [term for term in terms if 0 < len(term) <= MAX_TERM_CHARS][:MAX_TERMS]:
        chars += len(term)
        if chars > MAX_CHARS:
            return
        yield term
