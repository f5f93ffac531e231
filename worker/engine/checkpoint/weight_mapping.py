"""How the tensors of a checkpoint fill the parameters of a model, and the way back.

Most tensors are a parameter under the same or another name. Some families fuse or split them on load (the experts of a
mixture, stored one by one, become one 3-D parameter). transformers has the rules; they are used as they are, forwards to
fill a parameter and in reverse to bring a mask or new weights into the form that the checkpoint stores.

Symbols: filling  some tensors of the checkpoint and the parameters that they fill together; mostly one and one
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import MergeModulelist, WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.errors import ArchitectureUnsupported, ModelUnsafe


@dataclass(frozen=True, eq=False)
class Filling:
    """Tensors and the parameters or buffers they fill; without a converter it is one of each."""

    tensors: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]  # of the parameters, by their names in the model
    model: Any
    patterns: tuple[str, ...] = ()  # which pattern of the converter each tensor matched
    converter: WeightConverter | None = None

    def forwards(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """The parameters by name, from the tensors in their order."""
        if self.converter is None:
            (name,) = self.shapes
            return {name: tensors[0]}
        rule, first = deepcopy(self.converter), next(iter(self.shapes))
        for pattern, name, tensor in zip(self.patterns, self.tensors, tensors, strict=True):
            rule.add_tensor(first, name, pattern, tensor)
        found = rule.convert(first, model=self.model, config=self.model.config)
        return {name: _only(value) for name, value in found.items()}

    def backwards(self, parameters: Mapping[str, Tensor]) -> list[Tensor]:
        """The tensors in their order, from values of any type in the form of the parameters."""
        if self.converter is None:
            return [parameters[next(iter(self.shapes))]]
        rule = self.converter.reverse_transform()
        for name, value in parameters.items():
            target, pattern = rule.rename_source_key(name)
            rule.add_tensor(target, name, pattern, value)
        values: dict[str, Any] = rule.materialize_tensors()
        for operation in rule.operations:
            values = operation.convert(
                values,
                source_patterns=rule.source_patterns,
                target_patterns=rule.target_patterns,
                full_layer_name=target,
                model=self.model,
                config=self.model.config,
                missing_keys=None,
            )
        return [self._pick(values, rule, position) for position in range(len(self.tensors))]

    def name_of_slice(self, index: int, count: int, parameter: str) -> str:
        """What to call slice `index` of a parameter that is a stack of `count`: its tensor's name, if it is one."""
        if self.converter is None:
            return f"{self.tensors[0]}[{index}]"
        is_stack = all(isinstance(operation, MergeModulelist) for operation in self.converter.operations)
        if is_stack and len(self.tensors) == count:
            return self.tensors[index]
        return f"{parameter}[{index}]"

    def _pick(self, values: dict[str, Any], rule: WeightConverter, position: int) -> Tensor:
        """The tensor at a position, out of what the reverse rule gave; it numbers the tensors of one pattern."""
        assert self.converter is not None
        pattern = self.patterns[position]
        target = rule.target_patterns[self.converter.source_patterns.index(pattern)]
        number = self.patterns[:position].count(pattern)
        return _only(values[target.replace("*", str(number)) if "*" in target else target])


def match_tensors(checkpoint: Checkpoint, model: Any) -> dict[str, Filling]:
    """The filling of every parameter and buffer that the checkpoint holds. Tensors that fill none are only copied."""
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    fillings: dict[str, Filling] = {}
    for name, group in _group_tensors(checkpoint, model, state).items():
        tensors, patterns, converter = tuple(t for t, _, _ in group), tuple(p or "" for _, p, _ in group), group[0][2]
        if converter is None:
            filling = Filling(tensors[:1], {name: state[name]}, model)
            _compare(model, filling, {name: checkpoint.tensors[tensors[0]].shape})
        else:
            filling = _converted(checkpoint, model, Filling(tensors, {name: state[name]}, model, patterns, converter), state)
        fillings |= dict.fromkeys(filling.shapes, filling)
    return fillings


def _group_tensors(
    checkpoint: Checkpoint, model: Any, state: Mapping[str, Any]
) -> dict[str, list[tuple[str, str | None, WeightConverter | None]]]:
    """The tensors that make a parameter (the first, where they make several), as `from_pretrained` assigns them."""
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    by_pattern = {pattern: rule for rule in converters for pattern in rule.source_patterns}
    meta, prefix = model.state_dict(), model.base_model_prefix
    groups: dict[str, list[tuple[str, str | None, WeightConverter | None]]] = {}
    for tensor in sorted(checkpoint.tensors, key=dot_natural_key):
        name, pattern = rename_source_key(tensor, renamings, converters, prefix, meta)
        if name not in state and tensor in state:
            name, pattern = tensor, None
        if name in state:
            groups.setdefault(name, []).append((tensor, pattern, by_pattern.get(pattern)))
    return groups


def _converted(checkpoint: Checkpoint, model: Any, filling: Filling, state: Mapping[str, tuple[int, ...]]) -> Filling:
    """The filling with all its parameters, tried on the meta device in both directions."""
    places = [checkpoint.tensors[name] for name in filling.tensors]
    owner = _owner(model, next(iter(filling.shapes)))
    try:
        made = filling.forwards([torch.empty(place.shape, device="meta") for place in places])
        known = {name: state[name] for name in made}
        filling = Filling(filling.tensors, known, model, filling.patterns, filling.converter)
        back = filling.backwards({name: torch.empty(shape, device="meta") for name, shape in known.items()})
    except Exception as error:  # whatever the library's own operations raise on tensors they do not expect
        raise ArchitectureUnsupported(f"{owner} cannot be made of {filling.tensors[0]} and its like: {error}") from error
    _compare(model, filling, {name: tuple(tensor.shape) for name, tensor in made.items()})
    if [tuple(tensor.shape) for tensor in back] != [place.shape for place in places]:
        raise ArchitectureUnsupported(f"{owner} cannot be brought back into the form of {filling.tensors[0]}.")
    return filling


def _compare(model: Any, filling: Filling, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if shape != filling.shapes[name]:
            owner, tensor = _owner(model, name), filling.tensors[0]
            raise ModelUnsafe(f"{tensor} has the shape {shape} where {owner} has {filling.shapes[name]}.")


def _owner(model: Any, parameter: str) -> str:
    return type(model.get_submodule(parameter.rpartition(".")[0])).__name__


def _only(value: Any) -> Tensor:
    tensor: Tensor = value[0] if isinstance(value, list) else value
    return tensor
