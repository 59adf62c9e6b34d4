# SPDX-License-Identifier: Apache-2.0
"""Activations with parameters."""
from __future__ import annotations

from dataclasses import dataclass

from . import _core


@dataclass(frozen=True)
class ActivationSpec:
    """An activation with parameters; activation_of() makes one."""

    name: str
    parameters: tuple[tuple[str, float], ...] = ()


def activation_of(name: str, **parameters: float) -> ActivationSpec:
    """The activation of a name of keras.activations with some of its parameters, for set_activation(), Dense and Activation; for softmax and
    the others that work on rows there is `axis`, which counts the batch.

    Raises ArgumentError for a name or parameter that Keras does not have, and for a missing one.

    >>> lamella.activation_of("leaky_relu", negative_slope=0.05)
    ActivationSpec(name='leaky_relu', parameters=(('negative_slope', 0.05),))
    """
    made = ActivationSpec(name, tuple(sorted((key, float(value)) for key, value in parameters.items())))
    _core.check_activation(made)
    return made
