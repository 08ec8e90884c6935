"""Takes out of a sentence what people say while they look for words, and what they take back: "the,
the, what's it called, books", "for ten, no, twenty minutes". Pure."""

import re

from .patterns import any_of

_SOUNDS = r"um+|uh+|er+m?|hm+|ah|oh|ooh"
_PHRASES = (
    r"(?:now )?what(?:'s| is| was) (?:it|that|the word|the name)(?: called)?(?: again)?"
    r"|(?:now )?what do you call (?:it|that|them)|how do you (?:say|call it)|you know(?: what)?"
    r"|let me (?:see|think)|let's see|hang on|hold on|wait(?: a (?:second|moment|minute|sec))?"
    r"|one moment|give me a (?:second|moment)|i mean|i think|i guess|i suppose|like|sort of|kind of"
    r"|(?:the )?(?:thingy?|whatsit|thingummy)|if you (?:don't|do not|wouldn't) mind|as i say"
    r"|as usual"
    r"|no wait|wait no|(?:would|will|could|can) you|please|dear|love"
    r"|there we go|where was i|bear with me|oh dear|oh yes|oh right|sorry"
)
_ASIDE = re.compile(
    rf"(?P<before>^|[,.;\u2013\u2014]\s*)(?:(?:{_SOUNDS}|{_PHRASES})(?:,\s*|\.{{2,}}\s*|(?=[.;]\s)))+",
    re.IGNORECASE,
)
_ENDS = re.compile(
    rf"(?:,| {any_of('a an the')} \w+)? (?:i mean|you know)(?=[.!?]*$)", re.IGNORECASE
)
_UNFINISHED = re.compile(
    r"\b(the|an?|my|our|for|and|at|until|every|put|add|buy|(?:can|could) you),\s+",
    re.IGNORECASE,
)
_TWICE = re.compile(r"\b((?:[a-z']+\s)?[a-z']+),?\s+\1\b(?! of\b)", re.IGNORECASE)
_NUMBER = any_of(
    r"""\d[\d:.]* one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty ninety half quarter
    noon midday monday tuesday wednesday thursday friday saturday sunday"""
)
_UNIT = r"(?:\s(?:minutes?|seconds?|hours?|o'clock|am|pm))?"
_TAKEN_BACK = re.compile(
    rf"(?<!\bnot )\b(?:half past |quarter (?:past|to) )?"
    rf"(?:{_NUMBER})(?:[\s-](?:{_NUMBER}))*{_UNIT},?\s+"
    rf"(?:(?:no|not that|sorry|actually|rather|i mean|make (?:it|that)|hang on|wait)\b,?\s*)+"
    rf"(?=(?:at |for |on |to |a |half past |quarter (?:past|to) )*(?:{_NUMBER})\b)",
    re.IGNORECASE,
)


def without_hesitation(heard: str) -> str:
    """Return `heard` as somebody would say it who has the words at hand."""
    text = _TAKEN_BACK.sub("", heard.replace("\u2026", "... "))
    text = _ASIDE.sub(lambda found: found["before"], text)
    text = _UNFINISHED.sub(r"\1 ", _ENDS.sub("", text))
    text = _TWICE.sub(r"\1", text)
    return text if re.search(r"\w", text) else heard
