"""Upload of a folder to a repository of the Hugging Face Hub in one commit, in a process of its own.

It reads an `Upload` as one line of JSON from standard input and writes the result, JSON too, to standard output. The token is
part of the input, so that it appears in no argument and no environment. The process exits when its input ends, because its
parent is then gone.

A process, because the library's upload can neither be stopped nor given a timeout, and reads its settings at import.
"""

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.publishing.hub.errors import RepositoryIsPublic, sentence_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_ANSWER_SECONDS: Final = 120.0
"""Timeout of one response of the hub; by itself the library has none."""


@dataclass(frozen=True)
class Upload:
    """Parameters of an upload: folder, repository and token."""

    folder: str
    repo: str
    branch: str
    private: bool
    token: str
    token_name: str
    message: str
    replaced: list[str]
    """fnmatch patterns of files to delete unless the folder has them, so that the weights of two models are never mixed."""


def commit(upload: Upload) -> dict[str, str]:
    """Upload the folder; return `commit` and `commit_url`. Unchanged files are not sent; without changes no commit is made."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(token=upload.token)
    api.create_repo(upload.repo, private=upload.private, exist_ok=True)
    there = _files_there(api, upload)
    folder = Path(upload.folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    stale = [name for name in there if name not in names and any(fnmatchcase(name, each) for each in upload.replaced)]
    done = api.create_commit(
        upload.repo,
        [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in names),
            *(CommitOperationDelete(path_in_repo=name) for name in stale),
        ],
        commit_message=upload.message,
        revision=upload.branch,
    )
    return {"commit": done.oid, "commit_url": done.commit_url}


def _files_there(api: "HfApi", upload: Upload) -> list[str]:
    """Return the files of the branch, which is created if it does not exist.

    Raises:
        RepositoryIsPublic: the repository existed and is public, but the artifact is to be private.
    """
    if not api.model_info(upload.repo).private and upload.private:
        raise RepositoryIsPublic
    if upload.branch != "main":
        api.create_branch(upload.repo, branch=upload.branch, exist_ok=True)
    return [each.rfilename for each in api.model_info(upload.repo, revision=upload.branch).siblings or []]


def _with_patience() -> None:
    """Set a timeout for the responses to the library's client."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def factory() -> Any:
        client = default_client_factory()
        client.timeout = _ANSWER_SECONDS
        return client

    set_client_factory(factory)


def _ends_with_its_input() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """Upload as standard input says and write the result to standard output."""
    upload = Upload(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_ends_with_its_input, daemon=True).start()
    answer: dict[str, Any]
    try:
        _with_patience()
        answer = commit(upload)
    except Exception as error:  # errors of the library, its HTTP library and hf_xet, and OSError
        shown = {name: value for name, value in asdict(upload).items() if name in {"repo", "branch", "token_name"}}
        answer = {"error": sentence_of(error, **shown), "kind": type(error).__name__}
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()
    os._exit(0)  # hanging threads of a library would keep the process alive


if __name__ == "__main__":
    main()
