"""Brings what was heard to the form that abilities know: small letters, numbers in digits, without
marks and courtesies. Pure."""

import re

from engines.alignment.number_normalisation import numbers_in_digits

from .hesitation import without_hesitation

_SHORT = {
    "what's": "what is",
    "whats": "what is",
    "who's": "who is",
    "where's": "where is",
    "when's": "when is",
    "how's": "how is",
    "it's": "it is",
    "there's": "there is",
    "that's": "that is",
    "i'm": "i am",
    "i'd": "i would",
    "i've": "i have",
    "i'll": "i will",
    "don't": "do not",
    "dont": "do not",
    "can't": "can not",
    "cannot": "can not",
    "isn't": "is not",
    "didn't": "did not",
    "let's": "let us",
}
_MERIDIEM = re.compile(r"\b([ap])\s?\.?\s?m\b\.?")
_MARKS = re.compile(r"(?<!\d)[.:,](?!\d)|[.:,](?!\d)|(?<!\d)[.:,]|[^\w\s.:,%°$£€'+*/\u00d7\u00f7-]")
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_ORDINAL = {"first": "1st", "second": "2nd", "third": "3rd"}
_ORDINALS = re.compile(
    rf"\b(first|second|third)(?= of (?:{_MONTHS})\b)"
    r"|(?<=\bon the )(first|second|third)(?= ?(?:$|[,.?!]|please))"
)
_FILLERS = re.compile(r"(?:^|(?<=\s))(?:um+|uh+|er+m*|hm+|ah|oh|ooh),?(?=\s|$)")
_CLAUSE = re.compile(
    r"[.!?;](?:\s+|$)|[,\u2013\u2014](?:\s+|$)|\s+(?:so|because|'?cos|'?cause|but|then)\s+"
    r"|\s+(?=in case\b|or (?:else\b|I\b|I'll|we|it|he|she|they)\b)"
)
_AND_ORDER = re.compile(
    r"\s+and\s+(?=(?:please |then |also |just )*(?:can you|could you|remind|nudge|wake|set|start"
    r"|put|add|stick|cancel|give me|tell me|time (?:it|that))\b)",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"""^(?:(?:and|or|as|since|while|in\ case)\ )?(?:
      (?:i|he|she|it|we|they|you|there|that|this)(?:['\u2019]|\ (?!one\b))(?!can\b|could\b)
      | otherwise\b | or\ else\b | in\ case\b
      | (?!(?:please|can|could|would|will|may|remind|wake|set|add|put|give|tell|cancel|delete
        |what|which|who|when|where|how|is|are|do|does|did|if|kindly|stick|make|let|not)\b)
        [\w'\u2019]+(?:\ [\w'\u2019]+){0,3}?(?:(?<!let)['\u2019]s(?=\ \w+(?:ed|ing|en|at|on|in
        |off|out|up|over|just|always|got|gone|been|not)\b)
        |\ (?:is|are|was|were|has|have|had|will|would|can|says?
        |said|needs?|wants?|goes|comes?|likes?|keeps?|must|may|never|always|\w+n['\u2019]t|already|just|\w{3,}ed|calls|lands|kicks|leaves|arrives|opens|closes|runs|gets|brought|bought
        |drank|ate|went|made|took|did|does|hates|gave|forgot|begins|ends|starts|moved|made))
        (?:\ |$))""",
    re.IGNORECASE | re.VERBOSE,
)
"""A clause that tells something, and asks for nothing."""
_COURTESY = re.compile(
    r"(?:please|thanks|thank you|dear|love|would you|will you|could you|can you|go|yes|yeah|right"
    r"|ok|okay|well|so|no|now|and|kindly|there is a (?:love|dear)|if you would be so kind|attune)"
    r"(?: (?:please|dear|love|then|now))*"
)
_CONJUNCTION = re.compile(r"^(?:(?:so|because|'?cos|but|then)(?:\s+|$))+", re.IGNORECASE)
_MOST_CLAUSES = 5
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_COMMA = re.compile(r",\s+(?:and\s+)?")
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])|(?<=\d)-(?=[a-z])")
_BEFORE = re.compile(
    r"^(?:(?:please(?: you| to)?|hey|ok|okay|so|well"
    r"|(?:hi|hello|good (?:morning|evening)) attune|attune"
    r"|now|and|also|just|quickly"
    r"|(?:can|could|would|will) you(?: please| just| maybe)*(?: go ahead and)?"
    r"|(?:can|could|may) (?:i|we) (?:ask you to|get you to)"
    r"|would you mind|do you mind|i (?:want|need) you to|i would like you to"
    r"|do me a favou?r and|be so kind (?:and|as to)|be a dear and|kindly"
    r"|i was wondering if you could|go ahead and) )+"
)
_AFTER = re.compile(
    r"(?: (?:please|thanks|thank you|attune|would you|will you|could you|can you|for me|if you can"
    r"|if you could|if you would|right away|ok|okay|and))+$"
)


def plain_requests(heard: str) -> list[str]:
    """Return `heard` in the forms that abilities know: with "and" for each comma, if there is one,
    as between the things of a list; and without commas. They may be empty."""
    text = (
        without_hesitation(heard)
        .lower()
        .replace("\u2019", "'")
        .replace("\u2013", "-")
        .replace("\u2212", "-")
    )
    text = _MERIDIEM.sub(r"\1m", text)
    text = _THOUSANDS.sub("", text)
    text = _HYPHEN.sub(" ", text)
    forms = [_COMMA.sub(" and ", text), text] if _COMMA.search(text) else [text]
    return [_plain(form) for form in forms]


def runs_of_clauses(heard: str) -> list[str]:
    """Return the parts of `heard` between its marks, as abilities know them: people tell a story
    around their request. The longest runs of clauses first, and the last before the first; those
    that end with something that is only told come last."""
    clauses = _split(heard)[-_MOST_CLAUSES:]
    if len(clauses) < 2:
        return []
    runs = [
        clauses[start : start + length]
        for length in range(len(clauses) - 1, 0, -1)
        for start in range(len(clauses) - length, -1, -1)
    ]
    runs.sort(key=lambda run: len(run) > 1 and is_statement(run[-1]))
    joined = [" and ".join(run) for run in runs]
    return list(dict.fromkeys(form for run in joined for form in plain_requests(run) if form))


def without_reasons(heard: str) -> list[str]:
    """Return the beginning of `heard`, as abilities know it, if only something that is told comes
    after it: "add milk, Tom drank it all"."""
    clauses = _split(heard)
    told = next((place for place, one in enumerate(clauses) if is_statement(one)), 0)
    return plain_requests(", ".join(clauses[:told])) if told else []


def clauses_of(heard: str) -> tuple[str, ...]:
    """Return the clauses of `heard` in the order in which they were said, as abilities know them.
    Those that are only polite are left out."""
    parts = [part for clause in _split(heard) for part in _AND_ORDER.split(clause)]
    plain = [plain_requests(part)[-1] for part in parts]
    return tuple(one for one in plain if one and not _COURTESY.fullmatch(one))


def is_statement(clause: str) -> bool:
    """Return whether `clause` tells something, and asks for nothing."""
    return _STATEMENT.match(clause.strip()) is not None


def _split(heard: str) -> list[str]:
    parts = _CLAUSE.split(without_hesitation(heard))
    bare = [_CONJUNCTION.sub("", clause.strip()) for clause in parts if clause]
    return [clause for clause in bare if clause]


def _plain(text: str) -> str:
    text = _ORDINALS.sub(lambda found: _ORDINAL[found[0]], _FILLERS.sub(" ", text))
    text = " ".join(_SHORT.get(word.strip(".,!?;:"), word) for word in text.split())
    text = " ".join(numbers_in_digits(text.replace(" and a half", " and-a-half")).split())
    text = text.replace("and-a-half", "and a half")
    text = " ".join(_MARKS.sub(" ", text).split())
    bare = _AFTER.sub("", _BEFORE.sub("", text + " ").strip())
    return bare or text
