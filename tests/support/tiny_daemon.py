"""`python -m tests.support.tiny_daemon`: a whole daemon on tiny engines in a process of its own,
with what the command line gives one.

Told to "freeze", the loop that answers stands still for good; told to "go on", a reply has no end.
Where the system prompt is OPENS_FOR_EVER, so does the opening of the models.
"""

import faulthandler
import logging
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import replace

from daemon.app import Surroundings
from daemon.cli.common import settings
from daemon.config.settings import Settings
from daemon.lifecycle import keep_files_private, serve, wishes_of_signals
from daemon.serving.models import ServingModels
from engines.interfaces import Step, unwatched
from engines.types import SoftTokens
from tests.support.fakes import EchoLanguageModel, fake_models

OPENS_FOR_EVER = "opens for ever"


class FreezingLanguageModel(EchoLanguageModel):
    def reply(
        self,
        words: str | SoftTokens,
        max_tokens: int,
        step: Step = unwatched,
        provisional: bool = False,
    ) -> Generator[str, None, None]:
        if words == "freeze":
            threading.Event().wait()
        if words == "go on":
            return self.endless(step)
        return super().reply(words, max_tokens, step, provisional)

    def endless(self, step: Callable[[], None]) -> Generator[str, None, None]:
        while True:
            step()
            yield "on "


def freezing_models(settings: Settings) -> ServingModels:
    if settings.conversation.system_prompt == OPENS_FOR_EVER:
        logging.info("opening the models")
        threading.Event().wait()
    return replace(fake_models(settings), language_model=FreezingLanguageModel())


def main() -> None:
    """Serve until told to stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    faulthandler.enable()
    keep_files_private()
    serve(settings, wishes_of_signals(), Surroundings(open_models=freezing_models))


if __name__ == "__main__":
    main()
