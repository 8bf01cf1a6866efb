"""A longer run than the tests have time for: `uv run python -m tests.conformance.fuzz --events 1000000`."""

import argparse
import asyncio
import random
import sys
import time

from server.background import running_server
from server.settings import Settings
from tests.conformance.fuzzing.driver import FaultError
from tests.conformance.fuzzing.run import fuzz


def main() -> int:
    """0 when no event did harm, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="another one each time")
    options = parser.parse_args()
    began = time.monotonic()

    def progress(sent: int) -> None:
        rate = sent / (time.monotonic() - began)
        print(f"\rseed {options.seed}: {sent} events, {rate:.0f} per second", end="", flush=True)

    try:
        with running_server(Settings(), environ={}) as url:
            asyncio.run(fuzz(url, options.events, options.seed, progress))
    except FaultError as fault:
        print(f"\n{fault}")
        return 1
    print("\nno event did harm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
