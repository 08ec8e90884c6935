"""Where the project and what tests share lie."""

import os
from pathlib import Path

import platformdirs

PROJECT = Path(__file__).resolve().parents[2]
SUPPORT = PROJECT / "tests" / "support"


def cache_dir() -> Path:
    """Where models and engines lie: $ATTUNE__CACHE_DIR, or /var/cache/attune for root, or the
    user's cache folder."""
    if configured := os.environ.get("ATTUNE__CACHE_DIR"):
        return Path(configured)
    return (
        Path("/var/cache/attune") if os.geteuid() == 0 else platformdirs.user_cache_path("attune")
    )
