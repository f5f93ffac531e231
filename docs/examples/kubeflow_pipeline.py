"""Kubeflow Pipelines: a component that has a model pruned and hands it on as a `Model` artifact.

    kfp dsl compile --py kubeflow_pipeline.py --output pipeline.yaml

IMAGE is Python with this package and kfp in it. The secret: kubectl create secret generic dsnot --from-literal=api-key=dsnot_…
"""

from kfp import dsl, kubernetes

IMAGE = "registry.example.com/dsnot-kfp:0.1.0"
URL = "http://dsnot.dsnot.svc:8321"


def prune(job: dict, run_id: str, pruned: dsl.Output[dsl.Model]) -> None:  # type: ignore[type-arg]  # kfp knows no dict[str, Any]
    """kfp takes the text of this function and nothing around it, so that it imports what it needs itself."""
    from pathlib import Path

    from dsnot import Client

    with Client() as client:
        made = client.create_job(job, idempotency_key=f"kubeflow/{run_id}")  # a pod that is started again finds its job
        ended = client.wait(made.id)
        if ended.state != "succeeded":
            raise RuntimeError(f"job {ended.id} has {ended.state}: {ended.error.detail if ended.error else 'no reason is given'}")
        client.download(ended.id, Path(pruned.path))
        pruned.metadata.update(job_id=ended.id, metrics=ended.metrics)


component = dsl.component(prune, base_image=IMAGE, install_kfp_package=False)


@dsl.pipeline(name="prune")
def pipeline(job: dict = {"model": {"id": "meta-llama/Llama-3.1-8B"}, "recipe": {"preset": "balanced"}}) -> None:  # type: ignore[type-arg]  # noqa: B006  # the default of a parameter, which kfp writes down
    """One step; those that use the model take `outputs["pruned"]`."""
    step = component(job=job, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    step.set_env_variable("DSNOT_URL", URL)
    kubernetes.use_secret_as_env(step, secret_name="dsnot", secret_key_to_env={"api-key": "DSNOT_API_KEY"})  # noqa: S106
    step.set_retry(num_retries=3)
