"""Upload of an artifact to a repository of the Hugging Face Hub, if the job requests it, once it is in the store.

A failed upload does not lose the artifact: the job succeeds, with a warning that says what to do.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from service.contract.hub import HubUploadSpec
from service.contract.signatures import SIGNATURE_NAME
from service.logging import get_logger
from service.models.hub.uploads import UploadRefused, upload_token
from service.packing import MASK_SUFFIX, PACKED_SUFFIX
from worker.publishing.hub.commit import Upload
from worker.publishing.model_card.card import methods
from worker.run.context import Run

log = get_logger(__name__)

_LOOK_SECONDS: Final = 0.25
_REPLACED: Final = ["*.safetensors", "*.safetensors.index.json", f"*{PACKED_SUFFIX}", f"*{MASK_SUFFIX}", SIGNATURE_NAME]
"""Patterns of files of an earlier upload to the branch, which are replaced; all other files there stay."""
_NOT_INHERITED: Final = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_XET_CACHE", "HF_ASSETS_CACHE"}


def upload_to_hub(run: Run, folder: Path) -> dict[str, Any] | None:
    """Upload the folder of the artifact to the repository that the job names; return None if it names none.

    Returns:
        `repo` and `branch`, with `commit` and `commit_url`, or with `error`: a sentence or two.

    Raises:
        worker.run.lease.Interruption: the run has to stop. The upload is stopped, too; the hub may have made its commit already.
    """
    asked = run.spec.output.hub
    if asked is None:
        return None
    run.reporter.tick()
    came = _upload(run, asked, folder)
    if "error" in came:
        log.warning("hub_upload_failed", repo=asked.repo, kind=came.pop("kind", None), error=came["error"])
    else:
        log.info("hub_upload_done", repo=asked.repo, commit=came["commit"])
    return {"repo": asked.repo, "branch": asked.branch, **came}


def warnings_of(hub: dict[str, Any] | None, job_id: str) -> list[str]:
    """Return a warning with the remedy if the upload has failed."""
    if not hub or "error" not in hub:
        return []
    message = (
        f"The artifact was not uploaded to {hub['repo']}: {hub['error']} It is complete in this service's store: "
        f"`dsnot artifacts download {job_id}` fetches it, and `hf upload {hub['repo']} dsnot-{job_id}` uploads it by hand."
    )
    return [message]


def _upload(run: Run, asked: HubUploadSpec, folder: Path) -> dict[str, Any]:
    try:
        token = upload_token(run.settings, run.tenant, asked)
    except UploadRefused as error:
        return {"error": f"On this worker {error}."}
    upload = Upload(
        folder=str(folder),
        repo=asked.repo,
        branch=asked.branch,
        private=asked.private,
        token=token,
        token_name=asked.token,
        message=_message(run),
        replaced=_REPLACED,
    )
    return _carried_out(run, upload)


def _message(run: Run) -> str:
    """Return the commit message: `organisation/model, 60 % sparse by wanda, dsnot (dsnot job 0b8f…)`."""
    return (
        f"{run.spec.model.id}, {run.spec.recipe.pattern} sparse by {', '.join(methods(run.spec.recipe))} (dsnot job {run.job_id})"
    )


def _carried_out(run: Run, upload: Upload) -> dict[str, Any]:
    """Run the upload in a process and return its result. It is killed when the run has to stop, or on timeout."""
    command = [sys.executable, "-m", "worker.publishing.hub.commit"]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, env=_environment(run.folder), text=True, stdin=pipe, stdout=pipe, stderr=nothing)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(upload)) + "\n")
        process.stdin.flush()
        return _answer(run, process)
    except BrokenPipeError:
        return {"error": "The upload could not be started; the worker's host may lack memory.", "kind": "BrokenPipeError"}
    finally:
        process.kill()
        process.communicate()


def _answer(run: Run, process: "subprocess.Popen[str]") -> dict[str, Any]:
    seconds = run.settings.hub_upload_seconds
    until = time.monotonic() + seconds
    while process.poll() is None:
        run.reporter.tick()
        if time.monotonic() > until:
            return {"error": f"The upload took longer than {seconds:g} s (DSNOT_HUB_UPLOAD_SECONDS).", "kind": "timeout"}
        time.sleep(_LOOK_SECONDS)
    assert process.stdout is not None
    try:
        came: dict[str, Any] = json.loads(process.stdout.read().splitlines()[-1])
    except (ValueError, IndexError):
        return {
            "error": "The upload ended without a result; the worker's host may lack memory.",
            "kind": f"exit {process.returncode}",
        }
    return came


def _environment(scratch: Path) -> dict[str, str]:
    """Return this process's environment without tokens, and with the hub's caches in the scratch folder."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return kept | {
        "HF_HOME": str(scratch / "hub"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    }
