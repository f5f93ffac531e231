"""Kubeflow pipeline with a component that prunes a model and outputs it as a `Model` artifact.

    kfp dsl compile --py kubeflow_pipeline.py --output pipeline.yaml

IMAGE contains Python, this package and kfp. The secret: kubectl create secret generic dsnot --from-literal=api-key=dsnot_…
"""

from kfp import dsl, kubernetes

IMAGE = "registry.example.com/dsnot-kfp:0.1.0"
URL = "http://dsnot.dsnot.svc:8321"


def prune(job: dict, run_id: str, pruned: dsl.Output[dsl.Model]) -> None:  # type: ignore[type-arg]  # kfp knows no dict[str, Any]
    """Prune a model into the artifact `pruned`. Imports are local, because kfp copies only this function's source."""
    from pathlib import Path

    from dsnot import Client

    with Client() as client:
        made = client.jobs.create(job, idempotency_key=f"kubeflow/{run_id}")  # a restarted pod gets the same job
        ended = client.jobs.wait(made.id)
        if ended.state != "succeeded":
            raise RuntimeError(f"job {ended.id} has {ended.state}: {ended.error.detail if ended.error else 'no reason is given'}")
        client.jobs.download(ended.id, Path(pruned.path))
        pruned.metadata.update(job_id=ended.id, metrics=ended.metric_values)


component = dsl.component(prune, base_image=IMAGE, install_kfp_package=False)


@dsl.pipeline(name="prune")
def pipeline(job: dict = {"model": {"id": "meta-llama/Llama-3.1-8B"}, "recipe": {"preset": "balanced"}}) -> None:  # type: ignore[type-arg]  # noqa: B006  # the default of a pipeline parameter, which kfp serialises
    """Run one step; later steps take the model from `outputs["pruned"]`."""
    step = component(job=job, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    step.set_env_variable("DSNOT_URL", URL)
    kubernetes.use_secret_as_env(step, secret_name="dsnot", secret_key_to_env={"api-key": "DSNOT_API_KEY"})  # noqa: S106
    step.set_retry(num_retries=3)
