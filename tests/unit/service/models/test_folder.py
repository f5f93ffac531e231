"""Local models are listed as far as jobs can name them, and nothing that lies elsewhere."""

import os
from pathlib import Path

import pytest

from service.models.folder import FolderFiles, local_models
from service.models.refusals import ModelUnsafe
from service.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def settings_with(root: Path) -> Settings:
    return Settings.model_construct(model_root=root)


def make(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").touch()


def test_folders_with_a_config_are_models_others_are_searched(root: Path) -> None:
    for name in ("tiny", "org/one", "org/two", "a/b/c/deep", "a/b/c/d/deeper", "tiny/inner", ".hidden", "with space"):
        make(root / name)
    (root / "config.json").touch()
    (root / "empty").mkdir()
    assert local_models(settings_with(root), limit=100) == ["a/b/c/deep", "org/one", "org/two", "tiny"]


def test_links_to_the_outside_or_in_cycles_are_not_followed(root: Path, tmp_path: Path) -> None:
    make(root / "real")
    make(tmp_path / "elsewhere" / "secret")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    (root / "alias").symlink_to(root / "real")
    assert local_models(settings_with(root), limit=100) == ["alias", "real"]


def test_the_list_is_bounded(root: Path) -> None:
    for number in range(30):
        make(root / f"model-{number}")
    assert len(local_models(settings_with(root), limit=10)) == 10
    for number in range(1200):
        (root / "model-0" / f"{number}").touch()
        (root / f"file-{number}").touch()
    assert len(local_models(settings_with(root), limit=1000)) <= 30


def test_without_a_model_root_there_are_no_models(tmp_path: Path) -> None:
    assert local_models(settings_with(tmp_path / "nowhere"), limit=10) == []


@pytest.mark.parametrize("name", ["back\\slash.json", "wide\u3000blank.txt"])
def test_a_file_name_that_no_artifact_can_have_is_refused(root: Path, name: str) -> None:
    make(root / "model")
    (root / "model" / name).touch()
    with pytest.raises(ModelUnsafe, match="rename the file"):
        _ = FolderFiles(root / "model").sizes


def test_a_pipe_is_refused_instead_of_read(root: Path) -> None:
    make(root / "model")
    os.mkfifo(root / "model" / "merges.txt")
    with pytest.raises(ModelUnsafe, match=r"merges\.txt"):
        _ = FolderFiles(root / "model").sizes
