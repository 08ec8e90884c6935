"""Tells whether a sentence, of which no more than a part is an order, is meant for the assistant:
people tell stories, ask about orders, and speak to each other. Pure."""

import re

from .patterns import any_of

_OTHERS = any_of(
    """sweetheart sweetie honey darling love dear dearest babe baby dad daddy papa mum mom mummy
    mommy mama grandma grandpa granny grandad gran nana auntie uncle son kids children boys girls
    everyone everybody guys folks professor doctor nurse sir madam teacher coach officer waiter
    driver boss viewers listeners passengers residents visitors customers ladies gentlemen oi"""
)
_NO_NAMES = any_of(
    """right actually okay well now then so also please sorry yes yeah yep nope oh ooh ah hey hi
    hello shh hush hmm um uh er quick quickly great fine good perfect sure thanks attune today
    tonight tomorrow later reminder alarm timer shopping list note just look listen wait monday
    tuesday wednesday thursday friday saturday sunday anyway alright and but first second next
    finally mute snooze cancel pause stop louder softer quieter"""
)
_TO_OTHERS = re.compile(
    rf"""^(?:{_OTHERS})(?:,|\ at\ home,)
    | ^(?:hi|hello|dear|hey)\ (?!attune)\w+,
    | \b(?:alexa|siri|cortana|bixby|(?:hey|ok|okay)\ google|(?:voice\ |hey\ )?assistant|dear\ ai
      |artificial\ intelligence|language\ model|chat\ ?bot)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_NEVER = re.compile(
    r"""\b(?:nobody|no\ one|no\ way|not\ once|do(?:\ not|n't)\ you\ dare|never\ (?!mind)
      |hardly\ anyone|i\ would(?:\ not|n't)\ (?:want|dream|dare))\b""",
    re.IGNORECASE | re.VERBOSE,
)
_NAME = re.compile(rf"^(?!(?i:{_NO_NAMES})\b)[A-Z][a-z]{{2,}}(?<!s)(?: and [A-Z][a-z]+)?, ")
_STORY = re.compile(
    r"""\b(?:yesterday|last\ (?:night|week|month|year|winter|summer|spring|autumn|\w+day)
      |(?:years|weeks|days|months|hours)\ ago|used\ to|back\ then|once\ upon
      |had\ (?:already|just|been)|remember\ (?:how|when)
      |the\ other\ day|in\ the\ end|that\ (?:night|day)|my\ first)\b
    | \b(?<!what\ )(?:she|he|they)\ (?!is\b|are\b|were\b|'|has\b|have\b)\w+
    | \b(?:she|he|they)'ll\b
    | \b(?!you\b|i\b|we\b|to\b|can\b)[a-z']+\ (?:will|(?:is|are)\ going\ to|has\ to|used\ to)
      \ (?:set|wake|remind|cancel|turn|switch|put|add|start)\b
    | ^we\ (?!need)\w+ed\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ABOUT = re.compile(
    r"""^(?:(?:does|do|did|is|are|was|were|why|how|who|whose|which|what|where|when(?!\ it)|should
      |has|have)
      (?![\w'\u2019])
    | (?:could|can|would|might|may|will)\ (?!you\b|i\b|we\b
      |(?:the|my|that)\ (?:alarm|timer|reminder))
    | would\ you\ (?:put|place|write)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_MEDIA = re.compile(
    r"""\b(?:podcast|radio|television|tv|movie|actor|actress|actors|documentary|video|cinema|theatre
      |theater|quiz|stream|channel|influencer|presenter|newsreader|voicemail|broadcast|advert|play
      |soldier|robot|parrot|villain|character|web\ ?(?:page|site)|parcel|screen)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_PERFECT = r"\b(?:is|are|am|was|were|have|has|had|been|be|get|gets|got)\b|'(?:s|re|ve|m|d)\b"
_INTRODUCED = re.compile(rf"^(?:(?!{_PERFECT})[^,.:;!?])*\b\w{{3,}}ed, ", re.IGNORECASE)
"""A clause that ends with a verb of the past: "a voice in the podcast murmured, …"."""
_VERBS = any_of(
    """add adjust arrange be begin book bring buzz call cancel carry change check clear close come
    cool count crank cross cut delete dim ditch do don't drop empty end erase extend fade feed
    fetch forget get give go heat hold hush increase jog keep kill knock lay leave let lift list
    lock lower make mark mention move mute nudge open pause play pop postpone prompt push put
    quieten raise read record reduce remember remind remove rename repeat reset restart resume ring
    save say schedule scrap scratch scrub set shift shorten shove shush hush shut silence skip sling
    snooze speak spell start stick stop strike switch take talk tell tick time toss turn unlock
    unmute up wait wake warm warn whack wind wipe write"""
)
_DIRECT = re.compile(
    rf"""(?:^|[,.;:!?\u2013\u2014]\s*|\bso\s+)(?:(?:please|so|um|er|well|yes|ok|okay),?\ )*
      (?:(?:can|could|would|will)\ you\b|(?:remind|wake|nudge)\ (?:me|us)\b
      |(?:don't|do\ not)\ let\ (?:me|us)\b|please\ (?:{_VERBS})\b
      |(?<=so\ )(?:{_VERBS})\b)
    | \bplease(?:[.!?]*$|,) | \b(?:would|will|could)\ you[.!?]*$""",
    re.IGNORECASE | re.VERBOSE,
)
"""An order that is given to whoever listens, whatever story stands around it."""
_FIRST = re.compile(r"(?:please |um,? |uh,? )?(?:remind|wake|set|add|put)\b", re.IGNORECASE)
_WANTED = re.compile(
    rf"""\b(?:please
      |(?:can|could|would|will|may|might)\ (?:you|we|i)
      |could\ (?:the|my|that)\ (?:alarm|timer|reminder)
      |(?:you|we)\ (?:can|may|could|might|must|should|need(?:\ not|n't)|do(?:\ not|n't)\ need)
      |you'd\ better|you\ had\ better
      |(?:i|we)(?:\ would|'d)\ like|(?:i|we)\ (?:want|need|have\ to|must|should|ought|do\ not|don't
        |mustn't|am\ meant|got\ to)|i'm\ (?:meant|supposed)|i\ am\ supposed
      |(?:i|we)(?:'ve|\ have)\ got\ to
      |(?:remind|wake|nudge)\ (?:me|us)|let's|let\ us|for\ (?:me|us)|no\ need|never\ mind
      |goes\ on\ (?:my|the|our)
      |we(?:'re|\ are)\ out\ of|not\ so\ loud|can\ come\ off|you're\ (?:too|so|shouting|mumbling))\b
    | (?:^|[,.;:!?\u2013\u2014]\s*
      |\b(?:so|and|then|but|now|just|please|okay|ok|right|well|um|uh|er|oh|also|hey|actually|quickly
        |attune|today|tonight|tomorrow|morning|evening|noon|hour|am|pm),?\s+)(?:{_VERBS})\b
    | ^(?:(?:um+|uh+|er+|right|okay|ok|so|oh|and|yes|new|a|the|my|on|for|another),?\ )*(?:[a-z]+\ )?
      (?:lists?|timers?|alarms?|reminders?|volume|louder|quieter|private\ mode|privacy)\b
    | ^(?:good\ [a-z]+,\ )?(?:[a-z']+\ ){{1,3}}(?:on|off|up|down)(?:[,.!?]|$|\ and\b|\ two\b)""",
    re.IGNORECASE | re.VERBOSE,
)
"""What shows that something is wanted of whoever listens: a request, a need, an order at the
beginning of a clause, or a bare name of what is wanted."""


def is_for_others(text: str) -> bool:
    """Return whether `text` is likelier to be a story, a question about an order, or said to
    somebody else than an order to the assistant."""
    found = (_TO_OTHERS, _NAME, _ABOUT, _MEDIA, _INTRODUCED)
    if any(pattern.search(text) for pattern in found):
        return True
    return (
        any(pattern.search(text) for pattern in (_STORY, _NEVER)) and _DIRECT.search(text) is None
    )


def begins_as_order(text: str) -> bool:
    """Return whether the first word of `text` orders something to be put down or kept in mind."""
    return _FIRST.match(text) is not None


def wants(text: str) -> bool:
    """Return whether `text` shows that something is wanted of whoever listens."""
    return _WANTED.search(text) is not None
