"""The sentences to read are short, differ from one another, and none of them is judged by."""

import json
import re
from pathlib import Path

from calibration.bench.free_requests import FREE_REQUESTS
from engines.models.enrolment_prompts import enrolment_prompts

REQUESTS = Path(__file__).parents[2] / "daemon" / "abilities" / "requests.jsonl"


def plain(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower()).strip()


def test_they_are_short_and_differ() -> None:
    prompts = enrolment_prompts()
    assert len(prompts) == len({plain(one) for one in prompts}) == 320
    assert all(3 <= len(one.split()) <= 9 for one in prompts)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z ,'-]*[.?!]", one) for one in prompts)
    assert len({word for one in prompts for word in plain(one).split()}) > 1000


def test_none_of_them_is_judged_by() -> None:
    requests = [json.loads(line)["say"] for line in REQUESTS.read_text("utf-8").splitlines()]
    judged = {plain(one) for one in [*requests, *FREE_REQUESTS]}
    assert not [one for one in enrolment_prompts() if plain(one) in judged]
