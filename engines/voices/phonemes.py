"""The phonemes of a text, by espeak-ng's command, for voices that were trained on them.

These voices know punctuation, which the command leaves out: so the text is cut at its punctuation,
converted clause by clause, and joined again.
"""

import re

from ..device.commands import run_command
from ..errors import AttuneError


def ipa(text: str, language: str) -> str:
    """The phonemes of `text` with its punctuation. Raises AttuneError where espeak-ng fails."""
    clauses = [
        (clause.strip(), mark)
        for clause, mark in re.findall(r"([^,.;:!?]*)([,.;:!?]?)", text)
        if clause.strip()
    ]
    if not clauses:
        return ""
    command = [
        "espeak-ng",
        "-v",
        language,
        "-q",
        "--ipa=0",
        "--",
        "\n\n".join(clause for clause, _ in clauses),
    ]
    spoken = [line.strip() for line in run_command(command).decode().splitlines() if line.strip()]
    if len(spoken) != len(clauses):
        raise AttuneError(
            f"espeak-ng gave {len(spoken)} lines of phonemes for the {len(clauses)} clauses of"
            f" {text!r}"
        )
    return " ".join(line + mark for line, (_, mark) in zip(spoken, clauses, strict=True))
