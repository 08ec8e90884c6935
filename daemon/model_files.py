"""Finds the files of the models that the settings name."""

from engines.jobs.messages import EngineFiles

from .config.settings import Settings


def model_files(settings: Settings) -> EngineFiles:
    """Return the files of the models. Raises AttuneError if a model was not fetched, is damaged, or
    is unknown."""
    from engines.build import engine_files  # imports every engine

    return engine_files(
        settings.cache_dir,
        settings.engines.whisper,
        settings.engines.language,
        settings.engines.aligned_language_model,
        settings.engines.language_model,
    )
