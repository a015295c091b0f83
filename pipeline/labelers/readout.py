"""From the outputs of a foreign network to the columns of named attributes.

Every column of a binary or categorical attribute is a logit: its sign says which side has more than half of
the probability, whatever the network calls its outputs.
"""

from __future__ import annotations

__all__ = ["Outputs", "Readout", "pick_output", "resolve_outputs"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.attributes import Attribute, Kind, columns_of, nearest_name
from pipeline.errors import PipelineError
from pipeline.sections import SectionError

TINY = 1e-6
"""Probabilities are kept this far from 0 and 1, so that their logits are finite: within ±13.8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Which outputs of a network say what about one attribute.

    Attributes:
        kind: ``binary``, ``continuous`` or ``categorical``.
        outputs: places among the network's outputs, from 0; for ``huggingface`` also the labels that the
            model has for them. Binary: one output, or two, for no and yes. Continuous: one output, or one for
            each of ``values``. Categorical: one for each class.
        classes: names of the classes of a categorical attribute.
        values: what each of several outputs of a continuous attribute stands for, such as the age in the
            middle of a bin; the column is the expected value.
        activation: whether the outputs are logits, or probabilities, because the network ends in a sigmoid or
            softmax.
        alias: a second name of the attribute that is accepted from users.
    """

    kind: Kind
    outputs: tuple[int | str, ...]
    classes: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    activation: Literal["logit", "probability"] = "logit"
    alias: str | None = None

    def __post_init__(self) -> None:
        """Hold the number of outputs to the kind."""
        count = len(self.outputs)
        if count != len(set(self.outputs)) or any(isinstance(i, int) and i < 0 for i in self.outputs):
            raise SectionError("outputs", f"expected different places from 0, got {list(self.outputs)}")
        if self.kind == "binary" and count not in (1, 2):
            raise SectionError("outputs", f"expected one output, or two for no and yes, got {count}")
        if self.kind == "categorical" and count != len(self.classes):
            raise SectionError(
                "outputs", f"expected one for each of {len(self.classes)} classes, got {count}"
            )
        if self.kind == "continuous" and (count == 0 or len(self.values) != (count if count > 1 else 0)):
            raise SectionError(
                "values",
                f"expected a value for each of {count} outputs, none for one, got {len(self.values)}",
            )
        if self.kind == "continuous" and count == 1 and self.activation == "probability":
            raise SectionError("activation", "expected 'logit' for a single value, which is taken as it is")
        for name, kind in (("classes", "categorical"), ("values", "continuous")):
            if getattr(self, name) and self.kind != kind:
                raise SectionError(name, f"expected them for {kind!r} only, got them for {self.kind!r}")

    def attribute(self, name: str) -> Attribute:
        """The attribute that the outputs describe."""
        return Attribute(name=name, kind=self.kind, classes=self.classes, alias=self.alias)


def pick_output(outputs: Any, which: int | str) -> Any:  # noqa: ANN401
    """The output that is meant of what a program gave: of one tensor itself, of several by place or name.

    Raises:
        LookupError: when there is no such output.
    """
    if isinstance(outputs, Mapping):
        return outputs[which if isinstance(which, str) else list(outputs)[which]]
    if not isinstance(outputs, list | tuple):
        return outputs
    if isinstance(which, str) or not which < len(outputs):
        raise LookupError(f"no output {which!r} among {len(outputs)}")
    return outputs[which]


def resolve_outputs(
    attributes: Mapping[str, Outputs], count: int, labels: Mapping[str, int], where: object
) -> dict[str, Outputs]:
    """The same attributes with a place for each label, all of them held to what the network has.

    Arguments:
        attributes: what is declared.
        count: outputs of the network.
        labels: the network's own names of its outputs, with their places; often none.
        where: the network, for errors.

    Raises:
        PipelineError: naming the attribute whose output the network lacks.
    """
    return {
        name: replace(
            declared, outputs=tuple(_place(name, i, count, labels, where) for i in declared.outputs)
        )
        for name, declared in attributes.items()
    }


def _place(name: str, output: int | str, count: int, labels: Mapping[str, int], where: object) -> int:
    """The place of one output."""
    if isinstance(output, str) and output not in labels:
        known = nearest_name(output, labels) if labels else "its outputs have no names, give their places"
        raise PipelineError(
            f"attribute {name!r}: expected an output, got label {output!r}, in {where}: {known}"
        )
    place = labels[output] if isinstance(output, str) else output
    if place >= count:
        raise PipelineError(
            f"attribute {name!r}: expected an output below {count}, got {output!r}, in {where}: "
            "correct its outputs in labeler.sources"
        )
    return place


class Readout(nn.Module):
    """Outputs ``[N, O]`` to columns ``[N, K]``.

    Arguments:
        attributes: name → outputs, all of them places below O, in the order of the columns.

    Example:
        >>> smile = Outputs(kind="binary", outputs=(0, 1))
        >>> Readout({"smile": smile})(torch.tensor([[1.0, 3.0]]))
        tensor([[2.]])
    """

    def __init__(self, attributes: Mapping[str, Outputs]) -> None:
        super().__init__()
        self.declared = tuple(attributes.values())
        self.attributes = tuple(declared.attribute(name) for name, declared in attributes.items())
        self.columns = columns_of(self.attributes)

    def forward(self, outputs: Tensor) -> Tensor:
        """Logits or values, one column after the other."""
        return torch.cat([_read(outputs[:, list(d.outputs)], d) for d in self.declared], dim=1)


def _read(x: Tensor, declared: Outputs) -> Tensor:
    """The columns ``[N, 1]`` or ``[N, C]`` of one attribute from its outputs ``[N, O]``."""
    if declared.kind == "continuous" and not declared.values:
        return x
    logits = _logits(x, declared)
    if declared.kind == "continuous":
        values = torch.tensor(declared.values, dtype=x.dtype, device=x.device)
        return (logits.softmax(dim=1) * values).sum(dim=1, keepdim=True)
    if declared.kind == "categorical":
        return _log_odds(logits)
    return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]


def _logits(x: Tensor, declared: Outputs) -> Tensor:
    """Outputs as logits: of a sigmoid for a single output, of a softmax for several."""
    if declared.activation == "logit":
        return x
    p = x.clamp(TINY, 1 - TINY)
    return p.log() - (-p).log1p() if len(declared.outputs) == 1 else p.log()


def _log_odds(logits: Tensor) -> Tensor:
    """Each class against all others: log(p / (1 - p)) for p = softmax(logits), ``[N, C]``."""
    # The diagonal is left out of the sum before it is taken, so that a certain class does not cancel it.
    others = logits[:, None, :].expand(-1, logits.shape[1], -1)
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    return logits - others.masked_fill(itself, -torch.inf).logsumexp(dim=2)
