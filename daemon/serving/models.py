"""Opens the models that hear and answer, as plain functions: no other part of the daemon has to
know which models they are."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engines.build import open_engines
from engines.device.runtimes import ENCODER, opening, runtimes_path
from engines.errors import AttuneError
from engines.generations.folder import Generation
from engines.interfaces import LanguageModel
from engines.jobs.messages import EngineFiles, Example
from engines.models.general_speech import retention_examples
from engines.routes import Route, Transcriber, words_of
from engines.types import SoftTokens, Transcript
from engines.whisper.encoder_choice import choose_encoder, open_encoder
from engines.whisper.encoder_tensorrt import TENSORRT
from engines.whisper.plan_cache import plans_folder

from ..config.settings import Settings
from ..model_files import model_files


@dataclass(frozen=True)
class ServingModels:
    """The models that hear and answer, as plain functions: the real engines in service, tiny
    stand-ins in tests."""

    language_model: LanguageModel
    transcriber: Callable[[Generation | None], Transcriber]
    """Returns what transcribes for a generation: its own recogniser if it has one, else Whisper as
    it came. Raises AttuneError if the recogniser cannot be opened."""
    aligned: Callable[[Generation, bool], Route]
    """Makes the route of a generation. The flag says whether a doubted reading is replaced by the
    first-pass transcript."""
    words_of: Callable[[Transcript | SoftTokens], str]
    files: EngineFiles
    general: list[Example]
    close: Callable[[], None] = lambda: None
    """Frees the models' memory; called once no thread uses any of them."""
    encoder_runs_by: Callable[[], str] = lambda: ""
    """Returns what runs the encoder, and where, for the user."""
    opened_plan: Callable[[], bool] = lambda: False
    """Returns whether the encoder's plan serves, as far as it can: in 8 bits it takes no
    recogniser's weights."""


_QUESTION_TOKENS = 32
"""Tokens of a question of one or two sentences."""


def open_models(settings: Settings) -> ServingModels:
    """Open the models. Raises AttuneError that names the first missing or damaged one, or if the
    context is too small."""
    files = model_files(settings)
    threads = settings.engines.threads
    plans = plans_folder(settings.cache_dir)
    prompt, context_tokens = settings.conversation.system_prompt, settings.llm.context_tokens
    open_one = choice = None
    with opening(runtimes_path(settings.cache_dir)) as runtimes:
        if files.encoder.is_file():
            device = runtimes.device(ENCODER) if runtimes is not None else "cpu"
            choice = choose_encoder(
                files.encoder, settings.engines.encoder_precision, plans, time.time(), device
            )
            open_one = partial(open_encoder, choice, files.encoder, plans, threads, device)
        engines = open_engines(files, prompt, context_tokens, threads, open_one, runtimes)
        if told := _lack_of_room(settings, engines.language_model.turn_tokens.count):
            engines.close()
            raise AttuneError(told)
        if runtimes is not None and runtimes.any_on_gpu:
            engines.compute_once()
    return ServingModels(
        language_model=engines.replies,
        transcriber=engines.transcriber_of,
        aligned=engines.aligned,
        words_of=lambda heard: words_of(heard, engines.vocabulary),
        files=files,
        general=retention_examples(settings.cache_dir),
        close=engines.close,
        encoder_runs_by=lambda: engines.encoder_runs_by,
        opened_plan=lambda: (
            engines.encoder_runs_by == TENSORRT
            or (choice is not None and choice.precision == "int8" and bool(engines.recognisers))
        ),
    )


def _lack_of_room(settings: Settings, template_tokens: int) -> str:
    """Say why the context has no room for a question beside the system prompt and a reply; empty if
    it has."""
    reply, context = settings.conversation.max_reply_tokens, settings.llm.context_tokens
    if template_tokens + reply + _QUESTION_TOKENS <= context:
        return ""
    return (
        f"llm.context_tokens = {context} has no room for {template_tokens} tokens of"
        f" conversation.system_prompt, {reply} of conversation.max_reply_tokens and"
        f" {_QUESTION_TOKENS} of a question; raise the first or lower the others"
    )
