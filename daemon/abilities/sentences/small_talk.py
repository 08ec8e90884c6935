"""What is said to a greeting and the like, where the language model is too weak for it: one of 135
million parameters is "sorry for your loss" when somebody says good morning. Pure."""

import re

from .plain_request import plain_requests

_FEELING = (
    r"sad|lonely|down|upset|unwell|ill|sick|poorly|scared|afraid|anxious|worried|miserable|depressed"
    r"|fed up|not well|not (?:so |very )?good|in pain|hurting|stressed|exhausted|tired"
)
_REPLIES = (
    (r"^(?:good (?:morning|afternoon|evening))\b.*\bhow\b", "I am well, thank you. And you?"),
    (
        r"\b(?:how are you|how do you do|how is it going|how are things|how have you been"
        r"|are you (?:ok|okay|all right|alright|well)|you all right|how do you feel"
        r"|how is your day|how was your day|did you sleep)\b",
        "I am well, thank you. And you?",
    ),
    (r"^good morning\b", "Good morning."),
    (r"^good afternoon\b", "Good afternoon."),
    (r"^good evening\b", "Good evening."),
    (r"\b(?:good night|sleep well|sleep tight|i am (?:off|going) to bed)\b", "Good night."),
    (r"^(?:hello|hi|hey|hiya|hallo|greetings)(?: (?:there|attune|you|again))*$", "Hello."),
    (r"\b(?:goodbye|bye|see you|farewell|until tomorrow|see you later)\b", "Goodbye."),
    (
        r"^(?:thank you|thanks|cheers|ta|many thanks|much appreciated)\b",
        "You are welcome.",
    ),
    (
        rf"\b(?:i am|i feel|i am feeling|feeling|i have been)(?: \w+){{0,3}} (?:{_FEELING})\b",
        "I am sorry to hear that. It may help to tell somebody who is close to you.",
    ),
    (
        r"\b(?:are you (?:a |an )?(?:human|real|robot|machine|alive|person|computer)"
        r"|how old are you|where (?:are you from|do you live)|when were you born)\b",
        "I am a program on this device.",
    ),
    (
        r"\byou are (?:so |very |really |a |an )*(?:stupid|dumb|useless|bad|awful|terrible|annoying"
        r"|idiot|rubbish)\b",
        "I am sorry. I am still learning how you speak.",
    ),
    (
        r"\b(?:you are|you're|you have been)(?: \w+){0,3} (?:great|good|kind|nice|lovely|brilliant"
        r"|wonderful|clever|smart|helpful|amazing|the best|sweet|patient|friend|star)\b"
        r"|\b(?:well done|good job|i (?:love|like) you|i appreciate you)\b",
        "Thank you, that is kind of you.",
    ),
    (
        r"\b(?:joke|make me laugh|something funny)\b",
        "What did the timer say to the alarm? Wake me when it is over.",
    ),
    (
        r"\b(?:do you (?:like|love|hate|want|feel|dream|think)|what do you (?:think|like|want)"
        r"|(?:what|who) is your fav(?:ou)?rite|are you (?:happy|sad|lonely|bored|tired|hungry)"
        r"|will you marry|would you like)\b",
        "I am a program, so I have no feelings about that. What about you?",
    ),
    (
        r"^(?:and )?(?:i am|i feel|that is|that was|it is|it was)(?: \w+){0,3} (?:fine|good|happy"
        r"|great|nice|lovely|wonderful|well|glad|excited|proud|delighted|beautiful|fun)\b",
        "I am glad.",
    ),
    (r"^(?:what is up|what is new|what are you doing)\b", "Not much. And you?"),
    (
        r"\b(?:can you hear me|do you hear me|are you there|is (?:anybody|anyone) there"
        r"|are you listening)\b",
        "Yes, I hear you.",
    ),
    (r"\b(?:(?:can|may) i tell you something|guess what)\b", "Please do tell me."),
    (r"\b(?:a hug|a compliment)\b", "You are doing well."),
    (r"\b(?:my birthday|birthday today)\b", "Happy birthday."),
    (r"\b(?:merry|happy) (christmas|easter|new year)\b", "The same to you."),
)


def small_talk(words: str) -> str | None:
    """Return what is said to `words`; None if they are nothing of the kind."""
    text = plain_requests(words)[-1]
    return next((reply for pattern, reply in _REPLIES if re.search(pattern, text)), None)
