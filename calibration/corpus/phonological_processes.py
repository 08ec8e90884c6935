"""The phonological processes of speech-sound disorders and of accents, as rules that rewrite
espeak-ng's Kirshenbaum phonemes. Know no voices and no sound."""

import re
from collections.abc import Sequence

_VOWEL = "[aeiouAEIOUV@03]"
FRONTING = ((r"k", "t"), (r"g", "d"))
BACKING = ((r"t(?!S)", "k"), (r"d(?!Z)", "g"))
GLIDING = ((rf"r(?={_VOWEL})", "w"),)
LATERAL_GLIDING = ((rf"l(?={_VOWEL})", "w"), (rf"r(?={_VOWEL})", "l"))
LISP = ((r"tS", "ts"), (r"S", "s"), (r"(?<!t)s", "T"))
STOPPING = ((r"T", "t"), (r"D", "d"), (r"v", "b"), (r"f", "p"), (r"(?<!t)s(?!h)", "t"), (r"z", "d"))
LABIALISED_DENTALS = ((r"T", "f"), (r"D", "d"))
ALVEOLAR_DENTALS = ((r"T", "s"), (r"D", "z"))
DEAFFRICATION = ((r"tS", "S"), (r"dZ", "Z"))
DEVOICING = (
    (r"b(?= |$)", "p"),
    (r"d(?= |$)", "t"),
    (r"g(?= |$)", "k"),
    (r"v(?= |$)", "f"),
    (r"z(?= |$)", "s"),
)
FINAL_CONSONANT_DELETION = ((r"[zt](?= |$)", ""),)
FINAL_STOP_DELETION = ((r"[ptkbdg](?= |$)", ""),)
CLUSTER_REDUCTION = ((r"s(?=[ptkmnlw])", ""), (rf"(?<=[pbtdkgfT])[rl](?={_VOWEL})", ""))
H_DROPPING = ((rf"h(?='?{_VOWEL})", ""),)
V_FOR_W = ((r"w", "v"),)
TENSE_VOWELS = ((r"I(?![@2])", "i:"), (r"U(?!@)", "u:"))
CENTRAL_VOWELS = ((r"[IEV](?![@2])", "@"),)
WORD_BY_WORD = ((r" ", " _: "),)
OPEN_VOWELS = ((r"E", "a"), (r"oU", "O:"))
NASALISATION = ((r"b", "m"), (r"d(?!Z)", "n"), (r"g", "N"))
EPENTHESIS = ((r"(?<=[pbtdkgfTs])(?=[lrwmn])", "@"), (r"(?<=s)(?=[ptk])", "@"))


def rewrite(plain: str, processes: Sequence[tuple[str, str]]) -> str:
    """Apply the rules `processes` to a string of phonemes, in order."""
    for pattern, replacement in processes:
        plain = re.sub(pattern, replacement, plain)
    return plain
