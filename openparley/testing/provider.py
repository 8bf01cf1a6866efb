"""The contract of providers, the objects that make engines."""

from openparley.testing.common import ContractError, expect
from providers.errors import UnknownModelError
from providers.provider import Provider

__all__ = ["check_provider"]


async def check_provider(provider: Provider) -> None:
    """Whether it makes what it lists, refuses what it has not, and closes twice. It is closed afterwards."""
    kinds = ("llm", "stt", "tts", "vad", "turn")
    listed = list(provider.models())
    for model in listed:
        expect(bool(model.id), "a listed model has a name")
        expect(model.kind in kinds, f"a listed model is one of {', '.join(kinds)}")
        engine = getattr(provider, model.kind)(model.id)
        expect(engine is getattr(provider, model.kind)(model.id), "an engine is made once and shared")
    for kind in kinds:
        if type(provider).__dict__.get(kind) is None:
            try:
                getattr(provider, kind)("anything")
            except UnknownModelError:
                continue
            raise ContractError(f"a provider without {kind} models raises UnknownModelError")
    expect(len({(m.kind, m.id) for m in listed}) == len(listed), "a model is listed once")
    await provider.aclose()
    await provider.aclose()
