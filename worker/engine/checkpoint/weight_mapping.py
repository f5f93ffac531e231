"""Mapping between the tensors of a checkpoint and the parameters of a model, in both directions.

Most tensors are a parameter under the same or another name. Some families fuse or split them on load (the experts of a
mixture, stored one by one, become one 3-D parameter). transformers' conversion rules are used unchanged: forwards to load
a parameter, in reverse to convert a mask or new weights to the checkpoint's layout.

Symbols: filling  a group of checkpoint tensors and the parameters that they map to; mostly one and one
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
class WeightMapping:
    """Group of tensors and the parameters or buffers they map to; without a converter one of each."""

    tensors: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]  # of the parameters, by name in the model
    model: Any
    patterns: tuple[str, ...] = ()  # converter pattern that each tensor matched
    converter: WeightConverter | None = None

    def forwards(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """Convert tensors, in the order of `tensors`, to parameters by name."""
        if self.converter is None:
            (name,) = self.shapes
            return {name: tensors[0]}
        rule, first = deepcopy(self.converter), next(iter(self.shapes))
        for pattern, name, tensor in zip(self.patterns, self.tensors, tensors, strict=True):
            rule.add_tensor(first, name, pattern, tensor)
        found = rule.convert(first, model=self.model, config=self.model.config)
        return {name: _only(value) for name, value in found.items()}

    def backwards(self, parameters: Mapping[str, Tensor]) -> list[Tensor]:
        """Convert values of any dtype in the parameters' shapes to tensors, in the order of `tensors`."""
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
        """Return the name of slice `index` of a parameter that stacks `count`: its tensor's, if it is stored separately."""
        if self.converter is None:
            return f"{self.tensors[0]}[{index}]"
        is_stack = all(isinstance(operation, MergeModulelist) for operation in self.converter.operations)
        if is_stack and len(self.tensors) == count:
            return self.tensors[index]
        return f"{parameter}[{index}]"

    def _pick(self, values: dict[str, Any], rule: WeightConverter, position: int) -> Tensor:
        """Return the tensor at a position from the reverse rule's result, which numbers the tensors of one pattern."""
        assert self.converter is not None
        pattern = self.patterns[position]
        target = rule.target_patterns[self.converter.source_patterns.index(pattern)]
        number = self.patterns[:position].count(pattern)
        return _only(values[target.replace("*", str(number)) if "*" in target else target])


def match_tensors(checkpoint: Checkpoint, model: Any) -> dict[str, WeightMapping]:
    """Return the filling of every parameter and buffer that the checkpoint holds. Unmapped tensors are only copied."""
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    fillings: dict[str, WeightMapping] = {}
    for name, group in _group_tensors(checkpoint, model, state).items():
        tensors, patterns, converter = tuple(t for t, _, _ in group), tuple(p or "" for _, p, _ in group), group[0][2]
        if converter is None:
            filling = WeightMapping(tensors[:1], {name: state[name]}, model)
            _compare(model, filling, {name: checkpoint.tensors[tensors[0]].shape})
        else:
            filling = _converted(
                checkpoint, model, WeightMapping(tensors, {name: state[name]}, model, patterns, converter), state
            )
        fillings |= dict.fromkeys(filling.shapes, filling)
    return fillings


def _group_tensors(
    checkpoint: Checkpoint, model: Any, state: Mapping[str, Any]
) -> dict[str, list[tuple[str, str | None, WeightConverter | None]]]:
    """Return the tensors of each parameter (of the first, where they map to several), as `from_pretrained` assigns them."""
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


def _converted(checkpoint: Checkpoint, model: Any, filling: WeightMapping, state: Mapping[str, tuple[int, ...]]) -> WeightMapping:
    """Return the filling with all its parameters, verified on the meta device in both directions."""
    places = [checkpoint.tensors[name] for name in filling.tensors]
    owner = _owner(model, next(iter(filling.shapes)))
    try:
        made = filling.forwards([torch.empty(place.shape, device="meta") for place in places])
        known = {name: state[name] for name in made}
        filling = WeightMapping(filling.tensors, known, model, filling.patterns, filling.converter)
        back = filling.backwards({name: torch.empty(shape, device="meta") for name, shape in known.items()})
    except Exception as error:  # any error of the library's operations on unexpected tensors
        raise ArchitectureUnsupported(
            f"{owner} cannot be loaded from {filling.tensors[0]} and its group: their number or shapes are wrong."
        ) from error
    _compare(model, filling, {name: tuple(tensor.shape) for name, tensor in made.items()})
    if [tuple(tensor.shape) for tensor in back] != [place.shape for place in places]:
        raise ArchitectureUnsupported(f"{owner} cannot be converted back to the layout of {filling.tensors[0]}.")
    return filling


def _compare(model: Any, filling: WeightMapping, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if shape != filling.shapes[name]:
            owner, tensor = _owner(model, name), filling.tensors[0]
            raise ModelUnsafe(f"{tensor} has the shape {shape}, but {owner} needs {filling.shapes[name]}.")


def _owner(model: Any, parameter: str) -> str:
    return type(model.get_submodule(parameter.rpartition(".")[0])).__name__


def _only(value: Any) -> Tensor:
    tensor: Tensor = value[0] if isinstance(value, list) else value
    return tensor
