"""Uploads to the hub, as they are asked for and shown."""

import pytest
from pydantic import ValidationError

from service.cli import job_views
from tests.support.job_examples import filled, made_job

HUB = {"repo": "org/sparse", "token": "research"}


def test_an_upload_defaults_to_private_and_the_main_branch() -> None:
    asked = filled(output={"hub": HUB})["output"]["hub"]
    assert asked == HUB | {"private": True, "branch": "main"}
    assert filled(output={"hub": asked})["output"]["hub"] == asked


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"repo": "sparse"}, "must be 'owner/name'"),
        ({"repo": "org/a/b"}, "must be 'owner/name'"),
        ({"repo": "org/a--b"}, "must be 'owner/name'"),
        ({"repo": "org/../b"}, "must be 'owner/name'"),
        ({"repo": "https://hub/org/b"}, "must be 'owner/name'"),
        ({"repo": "org/b.git"}, "must not end in .git"),
        ({"repo": f"org/{'a' * 93}"}, "at most 96"),
        ({"branch": "a//b"}, "must be a plain branch name"),
        ({"branch": "a/../b"}, "must be a plain branch name"),
        ({"branch": "--force"}, "must be a plain branch name"),
        ({"token": f"hf_{'a1' * 17}"}, "is a token itself"),
        ({"token": "../other/tenant"}, "pattern"),
    ],
)
def test_an_upload_the_hub_cannot_store_is_refused(change: dict[str, str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        filled(output={"hub": HUB | change})


def test_an_upload_needs_a_token() -> None:
    with pytest.raises(ValidationError, match=r"output\.hub\.token\s+Field required"):
        filled(output={"hub": {"repo": "org/sparse"}})


def test_target_and_result_of_a_jobs_upload_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    asked = filled(output={"hub": HUB})
    assert job_views.uploads_to(made_job()) == ""
    assert job_views.uploads_to(made_job(spec=asked)) == "org/sparse, branch main, private, with the token research"

    job_views.print_metrics({"sparsity": 0.5, "hub": {"commit_url": "https://hub.example/org/sparse/commit/1"}})
    assert "https://hub.example/org/sparse/commit/1" in capsys.readouterr().out
