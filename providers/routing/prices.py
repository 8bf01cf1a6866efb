"""What language models cost, for `sort` by price. A definition's own `prices` come first.

Collected in June 2026 from public tables that quote the price pages of OpenAI and Google (standard tier,
short context). Prices change: whoever sorts by them should give their own.
"""

from collections.abc import Mapping

from providers.routing.definition import Price

__all__ = ["PRICES", "price_of"]

PRICES: Mapping[str, Price] = {
    name: Price(input=read, output=written)
    for name, read, written in (
        ("openai/gpt-4o", 2.50, 10.00),
        ("openai/gpt-4o-mini", 0.15, 0.60),
        ("openai/gpt-4.1", 2.00, 8.00),
        ("openai/gpt-4.1-mini", 0.40, 1.60),
        ("openai/gpt-4.1-nano", 0.10, 0.40),
        ("openai/gpt-5", 1.25, 10.00),
        ("openai/gpt-5-mini", 0.25, 2.00),
        ("openai/gpt-5-nano", 0.05, 0.40),
        ("google-ai-studio/gemini-2.5-flash", 0.30, 2.50),
        ("google-ai-studio/gemini-2.5-flash-lite", 0.10, 0.40),
        ("google-ai-studio/gemini-2.5-pro", 1.25, 10.00),
    )
}
_FREE = ("builtin/", "local/")  # they run in this process


def price_of(model: str, own: Mapping[str, Price]) -> float | None:
    """One figure to compare models by; None where nobody knows."""
    known = own.get(model) or PRICES.get(model)
    if known is not None:
        return known.blended
    return 0.0 if model.startswith(_FREE) else None
