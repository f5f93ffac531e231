"""README.md of an artifact: a model card in the Hub's format, with recipe, quality, speed and sizes.

Names come from users and from third-party files, so they are escaped in Markdown and YAML.
"""

import re
from collections.abc import Mapping
from textwrap import dedent

from service.contract.formats import WeightSizes
from service.contract.parts import Part
from service.contract.recipe.recipe import Recipe
from service.contract.spec import JobSpec
from worker.engine.report import SparsityReport
from worker.evaluation.quality import Measured, Quality
from worker.inputs.models import Model
from worker.publishing.model_card.formats import formats_section
from worker.publishing.model_card.markdown import plain
from worker.publishing.model_card.model_index import eval_results
from worker.publishing.model_card.quality import perplexity_section
from worker.publishing.model_card.samples import samples_section
from worker.publishing.model_card.speed import speed_section
from worker.publishing.model_card.tasks import tasks_section

SOURCE_CARD = "README.source.md"
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._/:% -]")

_OBJECTIVES = {
    "layerwise": "every matrix imitates its dense output on the inputs it gets",
    "propagated": "every matrix imitates what the dense model computes at its place",
}

_NOTES = """\
    ## How to load it

    ```python
    from transformers import AutoTokenizer, {loading_class}

    model = {loading_class}.from_pretrained("path/to/this/folder")
    tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
    ```

    ## Where sparsity pays

    The weights load as dense tensors, zeros included, with the names and dtypes of the original. This checkpoint loads
    wherever the original does, and the zeros alone make it neither smaller nor faster: same safetensors files, same memory,
    same speed. On CPUs, `dsnot_runtime` (`quantization_config=SparseConfig()`) reads kept weights only, which saves memory in
    proportion and time in decoding, not in prefill. 2:4 on NVIDIA GPUs since Ampere can save time in prefill and large batches.
    If only size and speed matter, quantize instead: 8 bits per weight cost less quality than 60 % zeros at the same size.
    Quality was measured only as the table says; check it on your own task before you rely on it.

    `sparsity_report.json` has the figures of every matrix, `recipe.json` the settings that reproduce this and `SHA256SUMS` the
    checksums of all files (`sha256sum -c SHA256SUMS`).
    """


def render_card(
    *,
    spec: JobSpec,
    model: Model,
    report: SparsityReport,
    quality: Quality,
    sizes: WeightSizes,
    has_source_card: bool,
    loading_class: str,
    bos: str = "stream",
) -> str:
    """Return the whole text of README.md. `bos`: protocol of the calibration windows."""
    title = f"# {plain(model.id)}, {spec.recipe.pattern} sparse"
    revision = f" at revision `{model.revision[:12]}`" if model.revision else ""
    origin = [f"Pruned from {plain(model.id)}{revision}, without training."]
    if has_source_card:
        origin.append(f"The original's own card is kept as [{SOURCE_CARD}]({SOURCE_CARD}); its licence and terms still apply.")
    parts = [
        _front_matter(spec, model, quality),
        title,
        " ".join(origin),
        "## Recipe\n\n" + _list(_recipe_facts(spec, report, bos)),
        "## Quality\n\n" + _quality(quality),
        *([samples_section(quality.samples)] if quality.samples else []),
        *([speed_section(quality.speed)] if quality.speed else []),
        formats_section(spec.output.formats, sizes),
        dedent(_NOTES).replace("{loading_class}", loading_class),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _front_matter(spec: JobSpec, model: Model, quality: Quality) -> str:
    """Return the YAML front matter that the Hub reads; unknown fields are left out."""
    from huggingface_hub import ModelCardData

    measured = eval_results(quality.pruned.to_metrics()) if quality.pruned else []
    data = ModelCardData(
        model_name=_UNUSUAL.sub("_", f"{model.id} {spec.recipe.pattern} sparse") if measured else None,
        eval_results=measured or None,
        base_model=model.base_model if model.base_model and _HUB_ID.fullmatch(model.base_model) else None,
        library_name="transformers",
        license=model.license,
        pipeline_tag="text-generation",
        tags=["pruned", "sparse", *methods(spec.recipe)],
    )
    return f"---\n{data.to_yaml()}\n---"


def methods(recipe: Recipe) -> list[str]:
    """Return the methods that chose the mask and changed the weights, in this order."""
    chosen = [] if recipe.has_joint_mask else [recipe.criterion.value]
    chosen += [part.method for part in (recipe.refinement, recipe.update) if part.method != "none"]
    return list(dict.fromkeys(chosen))  # obs is a criterion and an update


def _recipe_facts(spec: JobSpec, report: SparsityReport, bos: str) -> Mapping[str, str]:
    recipe, calibration = spec.recipe, spec.calibration
    return {
        **({"Preset": recipe.preset} if recipe.preset else {}),
        "Pattern": f"{recipe.pattern} ({recipe.pattern.type}), {recipe.allocation} over the blocks",
        "Criterion": f"none: {recipe.update.method} finds the mask" if recipe.has_joint_mask else recipe.criterion,
        "Objective": f"{recipe.objective}: {_OBJECTIVES[recipe.objective]}",
        "Refinement": _with_settings(recipe.refinement),
        "Weight update": _with_settings(recipe.update, none="none: kept weights have their original values"),
        "Calibration": (
            f"{calibration.num_samples} windows of {calibration.sequence_length} tokens "
            f"from {plain(calibration.dataset)}, seed {calibration.seed}"
            f"{', each with a beginning-of-sequence token at its head' if bos == 'window' else ''}"
        ),
        "Sparsity reached": f"{report.sparsity:.2%} of the weights of {len(report.matrices)} matrices",
        "Coverage": f"{report.coverage:.2%} of the decoder blocks' parameters are in these matrices",
        **({"Warning": plain(" ".join(report.warnings))} if report.warnings else {}),
    }


def _with_settings(part: Part, none: str = "none") -> str:
    """Return method and settings, such as `swaps (max_swaps 200)`; for the method `none`, the text `none`."""
    settings = part.model_dump(mode="json")
    method = settings.pop("method")
    return none if method == "none" else f"{method} ({', '.join(f'{name} {value}' for name, value in settings.items())})"


def _list(facts: Mapping[str, str]) -> str:
    return "\n".join(f"* {name}: {value}" for name, value in facts.items())


def _quality(quality: Quality) -> str:
    dense, pruned = quality.dense or Measured(), quality.pruned or Measured()
    parts = [perplexity_section(quality), tasks_section(dense.tasks, pruned.tasks)]
    return "\n\n".join(part for part in parts if part) or "Nothing was measured."
