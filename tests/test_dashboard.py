"""The dashboard and the alert rules ask for metrics that there are."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.places import PROJECT
from tests.support.running_daemon import Start, folder, start

__all__ = ["folder", "start"]

_OF_PROMETHEUS = {"up"}
_WORDS = {
    "by",
    "le",
    "sum",
    "rate",
    "increase",
    "histogram_quantile",
    "path",
    "status",
    "outcome",
    "span",
}


def expressions() -> dict[str, str]:
    dashboard = json.loads((PROJECT / "docker" / "grafana-dashboard.json").read_text())
    asked = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    rules = yaml.safe_load((PROJECT / "docker" / "alerts.yaml").read_text())
    return asked | {rule["alert"]: rule["expr"] for rule in rules["groups"][0]["rules"]}


@pytest.fixture
def names(start: Start) -> set[str]:
    """The names of all metrics."""
    text = str(start().do("metrics")[0]["text"])
    return {family.name for family in text_string_to_metric_families(text)}


def test_every_metric_that_is_asked_for_is_there(names: set[str]) -> None:
    for where, expression in expressions().items():
        bare = re.sub(r'\{[^}]*\}|\[[^]]*\]|"[^"]*"', "", expression)
        asked = set(re.findall(r"[a-z_]{2,}", bare)) - _WORDS
        assert asked, where
        for name in asked - _OF_PROMETHEUS:
            family = re.sub(r"_(total|bucket|count|sum)$", "", name)
            assert family in names, f"{where}: {name}"


def test_panels_do_not_lie_on_each_other() -> None:
    dashboard = json.loads((PROJECT / "docker" / "grafana-dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_pages_name_both_files() -> None:
    page = (Path(PROJECT) / "docs" / "http.md").read_text()
    assert "docker/grafana-dashboard.json" in page
    assert "docker/alerts.yaml" in page
