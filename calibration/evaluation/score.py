"""Scores recognised texts and replies: JSON rows on standard input, one JSON object on standard
output. Knows no audio.

A row has `label` (what was said), `heard`, `reply`, and `reference` (the reply to the label's own
text).
"""

import json
import sys

import numpy as np

from .text_scores import rouge_l, word_error_rate


def main() -> None:
    """Read the rows and print `word_error_rate`, `words`, `utterances` and `rouge_l`."""
    rows = json.load(sys.stdin)
    error, words = word_error_rate([(row["label"], row["heard"]) for row in rows])
    agreement = [rouge_l(row["reference"], row["reply"]) for row in rows]
    print(
        json.dumps(
            {
                "utterances": len(rows),
                "words": words,
                "word_error_rate": error,
                "rouge_l": float(np.mean(agreement)) if agreement else 0.0,
            }
        )
    )


if __name__ == "__main__":
    main()
