"""The job's body: what is filled in, what wins, what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.contract.datasets import DATASETS, Use, canonical, default_split
from service.contract.parts import FieldError
from service.contract.recipe.presets import PRESETS
from service.contract.spec import JobSpec
from service.contract.states import TRANSITIONS, JobState, sources_of
from tests.support.job_examples import MODEL, filled

DEFAULTS: dict[str, Any] = {
    "name": None,
    "model": {"source": "hub", "id": "org/model", "revision": None, "token": None},
    "recipe": {
        "preset": "balanced",
        "pattern": {"type": "unstructured", "sparsity": 0.5},
        "criterion": "wanda",
        "allocation": "uniform",
        "objective": "propagated",
        "refinement": {"method": "swaps", "max_swaps": 100},
        "update": {"method": "none"},
    },
    "effort": None,
    "calibration": {"dataset": "c4:train", "num_samples": 128, "sequence_length": 2048, "seed": 0, "bos": "auto"},
    "evaluation": {
        "perplexity": ["wikitext2:test"],
        "sequence_length": 2048,
        "bos": "auto",
        "max_windows": None,
        "tasks": [],
        "task_limit": None,
        "few_shot": None,
        "baseline": True,
        "agreement_windows": 16,
        "require": [],
        "speed": False,
        "samples": None,
    },
    "output": {"formats": ["dense"], "dtype": "source", "hub": None, "mlflow": None},
    "device": "any",
    "labels": {},
    "priority": 0,
    "queue_deadline_seconds": None,
    "run_deadline_seconds": None,
    "max_attempts": 3,
}


def test_everything_except_the_model_has_a_default() -> None:
    assert filled() == DEFAULTS


def test_a_stored_spec_has_new_fields_only_if_they_are_used() -> None:
    plain = JobSpec.model_validate({"model": {"id": "org/model"}})
    assert JobSpec.model_validate(plain.stored()) == plain
    assert not {"name", "effort"} & set(plain.stored())
    assert not {"samples", "require"} & set(plain.stored()["evaluation"])
    without = JobSpec.model_validate({"model": {"id": "org/model"}, "effort": "quick", "evaluation": {"samples": None}})
    assert JobSpec.model_validate(without.stored()) == without


def test_a_completed_spec_shares_no_state_with_the_next() -> None:
    filled()["labels"]["mine"] = "x"
    filled()["evaluation"]["tasks"].append("x")
    assert filled() == DEFAULTS


refinements = st.one_of(
    st.just({"method": "none"}),
    st.fixed_dictionaries({"method": st.just("swaps")}, optional={"max_swaps": st.integers(1, 1000)}),
    st.fixed_dictionaries(
        {},
        optional={
            "max_cycles": st.integers(1, 100),
            "update_threshold": st.floats(0, 1),
            "accept": st.sampled_from(["always", "if_better"]),
            "targets": st.sampled_from(["all", "attention"]),
            "stop_on_sign_change": st.booleans(),
        },
    ),
)
patterns = st.one_of(
    st.fixed_dictionaries({}, optional={"sparsity": st.floats(0, 1, exclude_max=True)}),
    st.integers(2, 8).flatmap(
        lambda m: st.fixed_dictionaries({"type": st.just("n:m"), "n": st.integers(1, m - 1), "m": st.just(m)})
    ),
)
damping = {"damping": st.floats(0, 10)}
updates = st.one_of(
    st.just({"method": "none"}),
    st.fixed_dictionaries({"method": st.sampled_from(["obs", "least_squares"])}, optional=damping),
    st.fixed_dictionaries(
        {"method": st.just("admm")},
        optional=damping | {"iterations": st.integers(1, 1000), "mask": st.sampled_from(["joint", "given"])},
    ),
)


def fits(recipe: dict[str, Any]) -> bool:
    """Which choices and settings exclude each other is not what these tests are about; see tests/unit/test_presets.py."""
    try:
        filled(recipe=recipe)
    except ValidationError:
        return False
    return True


recipes = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.sampled_from([None, *PRESETS]),
        "pattern": patterns,
        "criterion": st.sampled_from(["wanda", "magnitude", "ria", "obs"]),
        "allocation": st.sampled_from(["uniform", "owl", "arithmetic"]),
        "objective": st.sampled_from(["layerwise", "propagated"]),
        "refinement": refinements,
        "update": updates,
    },
).filter(fits)


@pytest.mark.parametrize("name", ["boolq", "mmlu_high_school_physics", "egymmlu_arabic_language_(general)", "GPQA-main.v2"])
def test_any_task_name_of_the_harness_is_accepted(name: str) -> None:
    assert filled(evaluation={"tasks": [name]})["evaluation"]["tasks"] == [name]


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "/etc/passwd", "..", "../x", "x.yaml", "x.yml", "a b", "a*", "hf://x", "C:x", "é", "x" * 129, "a\n", "-x"],
)
def test_task_names_that_could_be_paths_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=r"no path and no file|at most 128"):
        filled(evaluation={"tasks": [name]})


@given(recipes, st.sampled_from([None, *DATASETS]))
def test_a_completed_spec_validates_to_itself(recipe: dict[str, Any], dataset: str | None) -> None:
    """So a job can be repeated by sending back what was stored, also after the defaults or a preset have changed."""
    once = filled(recipe=recipe, **({"calibration": {"dataset": dataset}} if dataset else {}))
    assert JobSpec.model_validate(once).model_dump(mode="json") == once


@pytest.mark.parametrize("formats", [["dense"], ["packed"], ["mask", "dense"], ["dense", "packed", "mask"]])
def test_any_set_of_formats_is_accepted_unchanged(formats: list[str]) -> None:
    assert filled(output={"formats": formats})["output"]["formats"] == formats


@pytest.mark.parametrize("update", ["obs", "least_squares", "admm"])
def test_a_mask_is_refused_where_the_kept_weights_change(update: str) -> None:
    with pytest.raises(ValidationError, match=f"{update} changes other weights; use dense or packed"):
        filled(recipe={"update": {"method": update}}, output={"formats": ["mask"]})
    assert filled(recipe={"update": {"method": update}}, output={"formats": ["packed", "dense"]})


@given(recipes)
def test_fields_next_to_a_preset_take_precedence(recipe: dict[str, Any]) -> None:
    got = filled(recipe=recipe)["recipe"]
    for choice, wanted in recipe.items():
        if wanted is None:
            assert got[choice] == ("balanced" if recipe.keys() <= {"preset", "pattern"} else None)
        elif isinstance(wanted, dict):
            assert wanted.items() <= got[choice].items()
        else:
            assert got[choice] == wanted


def test_a_preset_fills_the_missing_fields() -> None:
    refinement = filled(recipe={"preset": "dsnot-reference", "refinement": {"max_cycles": 7}})["recipe"]["refinement"]
    assert refinement == {
        "method": "dsnot",
        "max_cycles": 7,
        "update_threshold": 0.1,
        "variance_power": 1.0,
        "accept": "always",
        "stop_on_sign_change": False,
        "targets": "attention",
        "variance": "within_sample",
    }


def test_another_method_takes_nothing_from_the_preset() -> None:
    recipe = filled(recipe={"preset": "dsnot-paper", "refinement": {"method": "none"}})["recipe"]
    assert recipe["refinement"] == {"method": "none"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"model": {"id": "a/b/c"}}, "/id"),
        ({"model": {"id": "a", "source": "local", "revision": "main"}}, "/revision"),
        ({"model": {"id": "a", "source": "local", "revision": "A" * 64}}, "/revision"),
        ({"schema_version": 2}, "/schema_version"),
        ({"schema_version": True}, "/schema_version"),
        ({"schema_version": "1"}, "/schema_version"),
        ({"recipe": {"pattern": {"type": "n:m", "n": 4, "m": 4}}}, "/n"),
        ({"recipe": {"pattern": {"type": "n:m", "n": 2, "m": 4}, "allocation": "owl"}}, "/allocation"),
        ({"recipe": {"update": {"method": "admm"}, "refinement": {"method": "dsnot"}}}, "/update/mask"),
        ({"recipe": {"update": {"method": "admm"}, "criterion": "obs"}}, "/criterion"),
        ({"recipe": {"objective": "propagated"}}, "/objective"),
        ({"calibration": {"dataset": "c4"}, "evaluation": {"perplexity": ["wikitext2", "c4:train"]}}, "/evaluation/perplexity"),
    ],
)
def test_a_violated_rule_names_the_field_to_change(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(MODEL | body)
    (error,) = caught.value.errors()
    cause = error["ctx"]["error"]
    assert isinstance(cause, FieldError)
    assert cause.pointer == pointer


def test_the_content_of_a_recipe_file_is_a_body() -> None:
    model = {"source": "local", "id": "a", "revision": "0" * 64}
    assert JobSpec.model_validate({"schema_version": 1, "model": model}) == JobSpec.model_validate({"model": model})


@pytest.mark.parametrize("name", DATASETS)
def test_default_calibration_and_evaluation_texts_are_disjoint(name: str) -> None:
    assert canonical("calibration")(name) != canonical("evaluation")(name)
    for use in ("calibration", "evaluation"):
        _, split = default_split(name, use).split(":")
        assert split in DATASETS[name].splits


UPLOAD = "ds-0123456789abcdef"


@pytest.mark.parametrize(
    ("use", "reference", "complete"),
    [
        ("calibration", UPLOAD, f"{UPLOAD}:train"),
        ("evaluation", UPLOAD, f"{UPLOAD}:test"),
        ("calibration", f"{UPLOAD}:test", f"{UPLOAD}:test"),
        ("evaluation", f"{UPLOAD}:all", f"{UPLOAD}:all"),
    ],
)
def test_an_upload_is_completed_like_any_other_data_set(use: Use, reference: str, complete: str) -> None:
    assert canonical(use)(reference) == complete
    assert canonical(use)(complete) == complete


@pytest.mark.parametrize(
    ("calibration", "evaluation", "share"),
    [
        ("", "", False),
        (":train", ":test", False),
        (":all", ":test", True),
        ("", ":all", True),
        (":test", "", True),
        (":all", ":all", True),
    ],
)
def test_calibration_and_evaluation_of_an_upload_are_disjoint(calibration: str, evaluation: str, share: bool) -> None:
    named = {"calibration": {"dataset": UPLOAD + calibration}, "evaluation": {"perplexity": ["c4", UPLOAD + evaluation]}}
    if share:
        with pytest.raises(ValidationError, match="evaluate on another split"):
            JobSpec.model_validate(MODEL | named)
    else:
        spec = JobSpec.model_validate(MODEL | named)
        assert spec.uploads() == {"/calibration/dataset": UPLOAD, "/evaluation/perplexity/1": UPLOAD}


@pytest.mark.parametrize(
    "reference",
    [
        "ds-",
        "ds-0123456789ABCDEF",
        "ds-0123456789abcde",
        "ds-0123456789abcdef0",
        "ds-../../../etc",
        "nothing",
        "c4:",
        "c4:test:test",
        "c4:nothing",
        "",
        ":train",
        "c4:all",
        f"{UPLOAD}:",
        f"{UPLOAD}:validation",
    ],
)
def test_a_reference_without_a_split_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match=r"known are|has the splits"):
        canonical("evaluation")(reference)


@pytest.mark.parametrize("model_id", ["a", "org/model", "Org-1/model_2.B", "0/9"])
def test_plain_hub_ids_are_accepted(model_id: str) -> None:
    assert JobSpec.model_validate({"model": {"id": model_id}}).model.id == model_id


@pytest.mark.parametrize(
    "model_id",
    [
        "",
        ".",
        "..",
        "a/..",
        "../a",
        "a..b",
        "/a",
        "a/",
        "a//b",
        "a/b/c/d/e",
        "~/a",
        "a b",
        "a\n",
        "a\0",
        "a\\b",
        "http://a/b",
        "ä",
        "-a",
        pytest.param("a" * 97, id="97 characters"),
    ],
)
@pytest.mark.parametrize("source", ["hub", "local"])
def test_ids_that_could_be_paths_are_refused(model_id: str, source: str) -> None:
    with pytest.raises(ValidationError):
        JobSpec.model_validate({"model": {"id": model_id, "source": source}})


@pytest.mark.parametrize("target", JobState)
def test_sources_are_the_inverse_of_the_transitions(target: JobState) -> None:
    assert set(sources_of(target)) == {source for source in JobState if target in TRANSITIONS[source]}


def test_a_token_instead_of_its_name_is_refused_and_not_echoed() -> None:
    token = f"hf_{'a1' * 17}"
    with pytest.raises(ValidationError, match="is a token itself") as refused:
        filled(model={"id": "org/model", "token": token})
    assert all(token not in str(each.get("ctx", {}).get("error")) for each in refused.value.errors())


@pytest.mark.parametrize(
    ("changes", "uses"),
    [
        ({"evaluation": {"perplexity": []}}, []),
        ({}, ["/evaluation/perplexity"]),
        ({"evaluation": {"perplexity": [], "tasks": ["boolq"], "speed": True}}, ["/evaluation/tasks", "/evaluation/speed"]),
        ({"evaluation": {"perplexity": []}, "recipe": {"allocation": "arithmetic"}}, ["/recipe/allocation"]),
    ],
)
def test_the_uses_of_a_head_are_named(changes: dict[str, Any], uses: list[str]) -> None:
    assert JobSpec.model_validate({"model": {"id": "m"}, **changes}).uses_of_head() == uses
