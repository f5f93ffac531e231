"""Logging of one job to MLflow. Every step first looks for its own result, so that a repetition adds nothing.

A run is found again by the tags of job and fence that it is created with, a version by its run.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from service.contract.mlflow import MlflowLog, MlflowState
from service.mlflow.run_content import REPORT_TAG, RunContent
from service.mlflow.server import MlflowError, MlflowServer

_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"
_MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
_BATCHES: Final = {"metrics": 500, "params": 100, "tags": 100}
"""Largest part of each list in one request."""
_FOLDER: Final = "dsnot"
_KIND: Final = ({"key": "mlflow.experimentKind", "value": "custom_model_development"},)
"""Tags of a new experiment, so that MLflow's pages show it under model training."""


class Export:
    """Logging of one job; `log` has what is known of run and version at any time."""

    def __init__(self, server: MlflowServer, content: RunContent, pages: str) -> None:
        """Prepare the logging; `pages` is the address of MLflow's pages."""
        self._server, self._content, self._pages = server, content, pages
        self.log = MlflowLog(state=MlflowState.PENDING)

    def run(self, files: Callable[[], Mapping[str, bytes]]) -> None:
        """Create run and version as far as they do not exist. Raises MlflowError.

        Args:
            files: returns the files of the run, by name; called if the server takes any.
        """
        run = self._run()
        run_id = str(run["run_id"])
        for name, items in self._batches():
            self._server.post("runs/log-batch", {"run_id": run_id, name: items})
        self._add_report(run, files)
        self._server.post("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": self._content.end_time})
        if self._content.wanted.registered_model is not None:
            self._register(self._content.wanted.registered_model, run_id)
        self._note(state=MlflowState.LOGGED)

    def _note(self, **values: Any) -> None:
        self.log = self.log.model_copy(update=values)

    def _run(self) -> Mapping[str, Any]:
        """Return the `info` of the job's run, which is created if there is none."""
        experiment = self._experiment(self._content.wanted.experiment)
        is_ours = " and ".join(f"tags.`{name}` = '{value}'" for name, value in self._content.identity.items())
        wanted = {"experiment_ids": [experiment], "filter": is_ours, "max_results": 1, "order_by": ["attributes.start_time ASC"]}
        runs = self._server.post("runs/search", wanted).get("runs")
        run: Mapping[str, Any] = (runs[0] if runs else self._created(experiment))["info"]
        self._note(run_id=run["run_id"], run_url=f"{self._pages}/#/experiments/{experiment}/runs/{run['run_id']}")
        return run

    def _created(self, experiment: str) -> Mapping[str, Any]:
        content = self._content
        tags = [{"key": name, "value": value} for name, value in content.identity.items()]
        body = {"experiment_id": experiment, "run_name": content.name, "start_time": content.start_time, "tags": tags}
        made: Mapping[str, Any] = self._server.post("runs/create", body)["run"]
        return made

    def _experiment(self, name: str) -> str:
        """Return the id of the experiment, which is created if it does not exist."""
        try:
            found = self._server.get("experiments/get-by-name", {"experiment_name": name})["experiment"]
        except MlflowError as error:
            if error.code != _MISSING:
                raise
            return self._new_experiment(name)
        if found.get("lifecycle_stage") == "deleted":
            remedy = "restore it, or name another in output.mlflow.experiment"
            raise MlflowError(f"the experiment {name!r} is deleted in MLflow; {remedy}", is_final=True)
        return str(found["experiment_id"])

    def _new_experiment(self, name: str) -> str:
        try:
            return str(self._server.post("experiments/create", {"name": name, "tags": _KIND})["experiment_id"])
        except MlflowError as error:
            if error.code != _EXISTS:  # created by another dispatcher since
                raise
            return self._experiment(name)

    def _batches(self) -> Sequence[tuple[str, Sequence[Mapping[str, Any]]]]:
        content = self._content
        lists = {"params": content.parameters, "metrics": content.metrics, "tags": content.tags}
        return [
            (name, items[start : start + size])
            for name, items in lists.items()
            for size in [_BATCHES[name]]
            for start in range(0, len(items), size)
        ]

    def _add_report(self, run: Mapping[str, Any], files: Callable[[], Mapping[str, bytes]]) -> None:
        """Upload the report if the server takes files itself; otherwise set a tag that links to it."""
        place = urlsplit(str(run.get("artifact_uri") or ""))
        if place.scheme == "mlflow-artifacts" and not place.netloc:
            for name, content in files().items():
                self._server.upload(f"{place.path.strip('/')}/{_FOLDER}/{name}", content)
        elif self._content.report_url:
            tag = {"run_id": run["run_id"], "key": REPORT_TAG, "value": self._content.report_url}
            self._server.post("runs/set-tag", tag)

    def _register(self, model: str, run_id: str) -> None:
        """Add a version to the model, and move the alias to it."""
        aliases = self._aliases(model)
        found = self._server.get("model-versions/search", {"filter": f"run_id = '{run_id}'"}).get("model_versions", [])
        version = next((str(each["version"]) for each in found if each["name"] == model), None) or self._new_version(
            model, run_id
        )
        self._note(model=model, version=version, version_url=f"{self._pages}/#/models/{quote(model, safe='')}/versions/{version}")
        alias = self._content.wanted.alias
        if alias is not None and aliases.get(alias, 0) < int(version):
            self._server.post("registered-models/alias", {"name": model, "alias": alias, "version": version})

    def _aliases(self, model: str) -> dict[str, int]:
        """Return the version of each alias of the model, which is created if it does not exist."""
        try:
            found = self._server.get("registered-models/get", {"name": model})["registered_model"]
        except MlflowError as error:
            if error.code != _MISSING:
                raise
            found = self._new_model(model)
        return {each["alias"]: int(each["version"]) for each in found.get("aliases", [])}

    def _new_model(self, model: str) -> Mapping[str, Any]:
        try:
            made: Mapping[str, Any] = self._server.post("registered-models/create", {"name": model})["registered_model"]
        except MlflowError as error:
            if error.code != _EXISTS:  # created by another dispatcher since
                raise
            return {}
        return made

    def _new_version(self, model: str, run_id: str) -> str:
        content = self._content
        tags = [each for each in content.tags if each["key"].startswith("dsnot.")]
        source = content.source or f"runs:/{run_id}/{_FOLDER}"
        body = {"name": model, "source": source, "run_id": run_id, "description": content.description, "tags": tags}
        return str(self._server.post("model-versions/create", body)["model_version"]["version"])
