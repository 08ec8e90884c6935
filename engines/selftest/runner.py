"""Tries every claim, each in a process of its own: `python -m engines.selftest.runner REQUEST.json
CLAIM`.

Whatever a library does to its process, the other claims are tried all the same.
"""

import json
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from ..device.process_time import HungError, run_to_its_end
from ..errors import AttuneError
from ..jobs.programs import CLAIM, program
from .claims import CLAIMS, Figures, Refuted, Request

_LIMIT_SECONDS = 1800.0
"""The most processor time, and the most sleep, for each claim."""


class Verdict(BaseModel):
    """The result of trying one claim."""

    claim: str
    says: str
    state: Literal["held", "refuted", "not run"]
    note: str = ""
    figures: Figures = {}


def run_claims(
    request: Request,
    tell: Callable[[Verdict], None] = lambda verdict: None,
    only: Collection[str] = (),
) -> list[Verdict]:
    """Try all claims, or those named in `only`, one after the other; `tell` is called with each
    verdict."""
    request.folder.mkdir(parents=True, exist_ok=True)
    path = request.folder / "request.json"
    path.write_text(request.model_dump_json())
    found = []
    for claim, act in CLAIMS.items():
        if only and claim not in only:
            continue
        found.append(_apart(path, claim, (act.__doc__ or "").strip()))
        tell(found[-1])
    return found


def _apart(request: Path, claim: str, says: str) -> Verdict:
    command = program(CLAIM, str(request), claim)
    try:
        done = run_to_its_end(
            command, processor_seconds=_LIMIT_SECONDS, asleep_seconds=_LIMIT_SECONDS
        )
    except HungError as error:
        return Verdict(claim=claim, says=says, state="refuted", note=f"its process {error}")
    with suppress(ValueError, IndexError):
        return Verdict.model_validate_json(done.stdout.splitlines()[-1])
    last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    return Verdict(
        claim=claim,
        says=says,
        state="refuted",
        note=f"its process ended with {done.returncode}: {last[:200]}",
    )


def main() -> int:
    """Try the claim that is named on the command line, and print its verdict as JSON."""
    request, claim = Request.model_validate_json(Path(sys.argv[1]).read_bytes()), sys.argv[2]
    act = CLAIMS[claim]
    says = (act.__doc__ or "").strip()
    try:
        verdict = Verdict(claim=claim, says=says, state="held", figures=act(request))
    except Refuted as error:
        verdict = Verdict(
            claim=claim, says=says, state="refuted", note=str(error), figures=error.figures
        )
    except AttuneError as error:
        verdict = Verdict(claim=claim, says=says, state="not run", note=str(error))
    print(json.dumps(verdict.model_dump(mode="json")), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
