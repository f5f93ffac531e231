"""The names that code outside the project imports."""

import dsnot
import service.client
import worker.engine


def test_the_client_package_has_every_name_it_declares() -> None:
    assert [name for name in dsnot.__all__ if not hasattr(dsnot, name)] == []
    assert set(service.client.__all__) < set(dsnot.__all__)
    assert dsnot.Client is service.client.Client
    assert dsnot.JobSpec.model_validate({"model": {"id": "org/model"}}).model.id == "org/model"


def test_the_engine_exports_its_fixed_names() -> None:
    assert {"Recipe", "sparsify", "grow_and_prune", "refine_by_swaps", "select_pruned"} <= set(worker.engine.__all__)
