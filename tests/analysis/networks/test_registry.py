"""The registry of models: versions, cards, seals, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.networks.card import (
    CardError,
    DataFacts,
    ModelCard,
    ModelInputs,
    SplitFacts,
    hash_of_split,
    markdown,
)
from analysis.networks.registry import (
    CARD,
    MODEL,
    REFERENCE,
    Registered,
    Registry,
    UnknownModelError,
)

KEY = b"0123456789abcdef"
UNITS = {"deformation": "m", "adhesion": "N", "height": "m"}
CARD_OF_ICP = ModelCard(
    name="icp",
    version=0,
    created="2026-01-05T09:00:00+00:00",
    task="classification",
    architecture="resnet50",
    outputs=("A2", "C3", "C5"),
    inputs=ModelInputs(
        ("deformation", "adhesion"), {"deformation": "m", "adhesion": "N"}, 4.0, (128, 128)
    ),
    data=DataFacts("ab" * 32, 540, ("A2", "C3", "C5"), ("P1", "P2"), ("day 1", "day 2")),
    split=SplitFacts(("r1", "r2"), ("r3",), ("r4",), hash_of_split(("r1", "r2"), ("r3",), ("r4",))),
    seed=7,
    code_version="0.1.0",
    libraries={"keras": "3.15"},
    metrics={"test_accuracy": 0.93},
    temperature=1.4,
    intended_use="impact copolymers",
    limits="three samples only",
)


def write(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"weights")
    (folder / REFERENCE).write_bytes(b"reference")


def published(folder: Path, key: bytes | None = None) -> Registered:
    return Registry(folder, key).publish(CARD_OF_ICP, write)


def edit_card(found: Registered, **changes: object) -> None:
    path = found.folder / CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class TestVersions:
    def test_they_count_up_from_one(self, tmp_path: Path) -> None:
        assert [published(tmp_path).card.version for _ in range(3)] == [1, 2, 3]

    def test_the_latest_is_loaded_by_the_name_alone(self, tmp_path: Path) -> None:
        for _ in range(11):  # as a number, not as a text
            published(tmp_path)
        assert Registry(tmp_path).load("icp").card.reference == "icp:11"

    def test_an_older_one_is_loaded_by_its_number(self, tmp_path: Path) -> None:
        for _ in range(2):
            published(tmp_path)
        registry = Registry(tmp_path)
        assert registry.load("icp:1").card.version == registry.load("icp", 1).card.version == 1

    def test_a_card_comes_back_as_it_was_published(self, tmp_path: Path) -> None:
        found = published(tmp_path)
        assert Registry(tmp_path).load("icp").card == found.card
        assert replace(found.card, version=0, files={}) == CARD_OF_ICP

    def test_what_fails_half_way_leaves_nothing(self, tmp_path: Path) -> None:
        def fail(folder: Path) -> None:
            write(folder)
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            Registry(tmp_path).publish(CARD_OF_ICP, fail)
        assert list((tmp_path / "icp").iterdir()) == []

    def test_models_of_the_stage_in_the_same_folder_are_none_of_it(self, tmp_path: Path) -> None:
        published(tmp_path)
        (tmp_path / "3f2a.json").write_text("{}")
        assert Registry(tmp_path).names() == ("icp",)

    def test_an_unknown_name_is_refused_with_those_there_are(self, tmp_path: Path) -> None:
        published(tmp_path)
        with pytest.raises(UnknownModelError, match=r"no model 'pp' in .*; known: icp$"):
            Registry(tmp_path).load("pp")

    def test_an_unknown_version_is_refused_with_those_there_are(self, tmp_path: Path) -> None:
        published(tmp_path)
        with pytest.raises(UnknownModelError, match=r"no version 2; there are: 1$"):
            Registry(tmp_path).load("icp:2")

    @pytest.mark.parametrize("name", ["", "ICP", "../icp", "a b", "x" * 65])
    def test_a_name_that_is_no_folder_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="is not allowed: small letters, digits"):
            Registry(tmp_path).publish(replace(CARD_OF_ICP, name=name), write)


class TestSeal:
    def test_a_changed_network_is_refused(self, tmp_path: Path) -> None:
        published(tmp_path).model.write_bytes(b"other weights")
        with pytest.raises(CardError, match=r"model\.keras is not the file of its card"):
            Registry(tmp_path).load("icp")

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        published(tmp_path).reference.unlink()
        with pytest.raises(CardError, match=r"reference\.npz is missing"):
            Registry(tmp_path).load("icp")

    def test_a_card_without_hashes_is_refused(self, tmp_path: Path) -> None:
        edit_card(published(tmp_path), files={})
        with pytest.raises(CardError, match=r"names no model\.keras"):
            Registry(tmp_path).load("icp")

    def test_a_version_that_was_renamed_is_refused(self, tmp_path: Path) -> None:
        found = published(tmp_path)
        found.folder.rename(found.folder.with_name("9"))
        with pytest.raises(CardError, match=r"is the card of icp:1$"):
            Registry(tmp_path).load("icp")

    def test_with_the_key_that_signed_it_a_model_is_loaded(self, tmp_path: Path) -> None:
        published(tmp_path, KEY)
        assert Registry(tmp_path, KEY).load("icp").card.signature

    def test_a_signed_card_that_was_changed_is_refused(self, tmp_path: Path) -> None:
        edit_card(published(tmp_path, KEY), metrics={"test_accuracy": 1.0})
        with pytest.raises(CardError, match="not signed with the key of this station"):
            Registry(tmp_path, KEY).load("icp")

    def test_a_model_of_another_key_is_refused(self, tmp_path: Path) -> None:
        published(tmp_path, KEY)
        with pytest.raises(CardError, match="not signed with the key of this station"):
            Registry(tmp_path, b"another key here").load("icp")

    def test_an_unsigned_model_is_refused_where_there_is_a_key(self, tmp_path: Path) -> None:
        published(tmp_path)
        with pytest.raises(CardError, match="is not signed, and this station has a key"):
            Registry(tmp_path, KEY).load("icp")

    def test_what_is_no_card_is_refused_in_one_line(self, tmp_path: Path) -> None:
        (published(tmp_path).folder / CARD).write_text('{"name": "icp"}')
        with pytest.raises(CardError, match=r"^this is no card of a model: [^\n]*$"):
            Registry(tmp_path).load("icp")


class TestStream:
    def check(self, channels: tuple[str, ...], size_um: float = 4.0, **units: str) -> None:
        given = {name: UNITS[name] for name in channels} | units
        replace(CARD_OF_ICP, version=3).check_stream(channels, given, size_um)

    def test_an_image_of_its_kind_is_taken_whatever_else_it_has(self) -> None:
        self.check(("height", "adhesion", "deformation"))

    def test_a_missing_channel_is_named(self) -> None:
        told = r"^model icp:3 wants adhesion; the image has height, deformation$"
        with pytest.raises(ValueError, match=told):
            self.check(("height", "deformation"))

    def test_an_uncalibrated_channel_is_named(self) -> None:
        told = r"^model icp:3 wants adhesion in N; the image has it in V; calibrate the probe$"
        with pytest.raises(ValueError, match=told):
            self.check(("deformation", "adhesion"), adhesion="V")

    @pytest.mark.parametrize("size_um", [10.0, 3.9, float("nan")])
    def test_another_size_of_frame_is_refused(self, size_um: float) -> None:
        with pytest.raises(ValueError, match=r"trained on frames of 4 µm; the image is of"):
            self.check(("deformation", "adhesion"), size_um)


def test_the_hash_of_a_split_does_not_depend_on_the_order() -> None:
    first = hash_of_split(("a", "b"), ("c",), ("d",))
    assert first == hash_of_split(("b", "a"), ("c",), ("d",))
    assert first != hash_of_split(("a", "c"), ("b",), ("d",))


@pytest.mark.parametrize(
    "told",
    ["# Model icp:3", "impact copolymers", "three samples only", "0.93", "128 x 128", "keras 3.15"],
)
def test_the_page_tells_people(told: str) -> None:
    assert told in markdown(replace(CARD_OF_ICP, version=3))
