"""The user's mistakes, by the command itself: one line with the place and the remedy, exit 2, nothing started."""

from __future__ import annotations

import pytest

from tests.e2e.stage import EXPERIMENT, FILE, Stage, kept_up

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("rate: 60", "rat: 60", "6:42: spec.load.rat: ", "did you mean 'rate'?"),
        ("abort:", "abrot:", "9:7: spec.faults[0].abrot: ", "did you mean 'abort'?"),
        ("timeout: 3s", "timeout: 3", "6:", "3s"),
        ("{to: stars,", "{to: stars", "9:", ""),
        ("90%", "90", "11:16: spec.expect[0].success", "90%"),
        ("metadata:", "metadata: {name: again}\nmetadata:", "4:1: the key 'metadata' ", "is there twice"),
    ],
    ids=["unknown key", "unknown fault", "no unit", "no YAML", "no percent", "key twice"],
)
def test_a_mistake_in_the_file(shop: Stage, old: str, new: str, place: str, words: str) -> None:
    assert old in EXPERIMENT
    shop.write(EXPERIMENT.replace(old, new))
    line = shop.one_line(2, "run", FILE)
    assert line.startswith(f"meshchaos: {FILE}:{place}"), line
    assert words in line
    assert not (shop.folder / "reports").exists()


def test_names_that_are_not_there(shop: Stage) -> None:
    assert "did you mean 'shop'?" in shop.one_line(2, "run", FILE, "--mesh", "shopp")
    assert "nowhere.chaos.yaml: no such file or folder" in shop.one_line(2, "run", "nowhere.chaos.yaml")
    assert "nothing is selected" in shop.one_line(2, "run", FILE, "-k", "nothing-like-it")
    assert "nothing is selected" in shop.one_line(2, "run", FILE, "-l", "tier=back")
    assert "elsewhere.yaml: there is no such file" in shop.one_line(2, "run", FILE, "--config", "elsewhere.yaml")
    (shop.folder / "meshchaos.yaml").unlink()
    assert "meshchaos.yaml" in shop.one_line(2, "run", FILE)
    assert shop.processes() == []


UNKNOWN = [
    ("to: stars", "to: starz", "9:7: spec.faults[0].abort: ", "did you mean 'stars'?"),
    ("shop.example", "shop.exmaple", "6:3: spec.load: ", "there are: shop.example on port 80"),
    ("to: stars, ", "to: stars, from: pag, ", "9:7: spec.faults[0].abort: ", "did you mean 'page'?"),
]


@pytest.mark.envoy
def test_names_that_the_mesh_does_not_know(shop: Stage) -> None:
    with kept_up(shop):
        for old, new, place, words in UNKNOWN:
            shop.write(EXPERIMENT.replace(old, new))
            line = shop.one_line(2, "run", FILE)
            assert line.startswith(f"meshchaos: {FILE}:{place}"), line
            assert words in line
            assert [one.name for one in (shop.folder / "reports").iterdir()] == ["mesh-shop"]
    shop.nothing_left()


@pytest.mark.envoy
def test_mistakes_in_the_meshs_own_files(shop: Stage) -> None:
    shop.edit_config("page: {stub", "pagee: {stub")
    assert "pagee" in shop.one_line(2, "run", FILE)
    shop.edit_config("[shop.yaml]", "[shops.yaml]")
    assert "shops.yaml" in shop.one_line(2, "run", FILE)
    shop.edit_config("page: {stub", "page: {stub")
    shop.add_objects("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, namespace: shop}\nspec: {}")
    assert "StatefulSet" in shop.one_line(2, "run", FILE)
    shop.nothing_left()
