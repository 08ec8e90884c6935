"""What Home Assistant says once it has done what Attune understood, as templates of its own.

They are constants: what a user said is in the slots, and never part of a template.
"""

_WHAT = "{% set what = slots.name or slots.area or 'That' %}{{ what[:1] | upper }}{{ what[1:] }}"
_SAID = {
    "HassTurnOn": f"{_WHAT} is on.",
    "HassTurnOff": f"{_WHAT} is off.",
    "HassLightSet": f"{_WHAT} is at {{{{ slots.brightness }}}} percent.",
    "HassClimateSetTemperature": "The temperature is set to {{ slots.temperature }} degrees.",
    "HassStartTimer": "Timer set.",
    "HassCancelTimer": "I cancelled the timer.",
    "HassCancelAllTimers": "I cancelled all timers.",
    "HassPauseTimer": "I paused the timer.",
    "HassUnpauseTimer": "The timer goes on.",
    "HassIncreaseTimer": "The timer has more time now.",
    "HassDecreaseTimer": "The timer has less time now.",
    "HassTimerStatus": (
        "{% if not slots.timers %}You have no timer.{% endif %}{% for timer in slots.timers %}"
        "The {{ timer.name }} timer has {% if timer.hours_left %}{{ timer.hours_left }} hours and "
        "{% endif %}{% if timer.minutes_left %}{{ timer.minutes_left }} minutes and {% endif %}"
        "{{ timer.seconds_left }} seconds left. {% endfor %}"
    ),
}


def said_of(intent: str, reply: str) -> str:
    """Return what Home Assistant is to say of an intent, where Attune would have said `reply`:
    that, unless it could be taken for a template."""
    if reply and "{" not in reply:
        return reply
    return _SAID.get(intent, "I have done it.")
