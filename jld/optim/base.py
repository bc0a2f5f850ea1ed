"""What every optimizer shares: parameter groups, accumulation, clipping, and a state that can be saved.

Jittor's own optimizers are not wrapped: they lose their momentum buffers on resume, damp the first step,
count micro-batches as steps under accumulation (which skews Adam's bias correction) and add Adam's eps before
the bias correction. The formulas here are those of PyTorch 2, the framework of the reference implementations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from jld.errors import CheckpointError, ConfigError, suggestion
from jld.losses.reduction import total
from jld.optim.loss_scale import LossScale
from jld.toolchain import jittor as jt
from jld.utils.distributed import average_gradients

GROUP_KEYS = ("match", "but_not", "lr_mult", "decay_mult")


@dataclass
class Slot:
    """One parameter with its settings and buffers.

    Attributes:
        name: the parameter's name in the model.
        param: the Var that is trained.
        lr_mult: factor on the optimizer's current learning rate.
        weight_decay: already multiplied by the group's `decay_mult`.
        buffers: {buffer name: Var shaped like the parameter}.
    """

    name: str
    param: jt.Var
    lr_mult: float
    weight_decay: float
    buffers: dict[str, jt.Var] = field(default_factory=dict)


class Optimizer(ABC):
    """Base of the optimizers; a subclass states its buffers and the update of one parameter.

    Parameters that are frozen (`stop_grad`) when the optimizer is made are excluded: neither gradient nor
    weight decay reaches them.

    Args:
        params: {name: Var}, for example `dict(model.named_parameters())`.
        lr: base learning rate; `optimizer.lr` is the current one, set by a schedule.
        weight_decay: coefficient of the squared norm of every parameter.
        grad_clip: `dict(max_norm=35, norm_type=2)`: all gradients together are scaled down to this norm;
            or `dict(max_value=1.0)`: every entry is clamped.
        parameter_groups: rules `dict(match="*.bias", but_not=["*.gn.*"], lr_mult=2.0, decay_mult=0.0)`;
            patterns are shell-style over the full name, the first matching rule counts, no match means 1.
    Attributes:
        num_steps: updates so far, those that a loss scale skipped included.
        loss_scale: a `LossScale`, set by who trains in float16, or None.
    Raises:
        ConfigError: nothing to train, or unknown keys in `grad_clip` or a group.
    Differs: a parameter that the loss does not reach gets a zero gradient (Jittor cannot tell the two apart),
        so weight decay still shrinks it; PyTorch skips it.
    """

    buffer_names: tuple[str, ...] = ()

    def __init__(
        self,
        params: Mapping[str, jt.Var],
        lr: float,
        *,
        weight_decay: float = 0.0,
        grad_clip: dict | None = None,
        parameter_groups: Sequence[dict] | None = None,
    ):
        self.base_lr = float(lr)
        self.lr = float(lr)
        self.num_steps = 0
        self.loss_scale: LossScale | None = None
        self.clip = _clipper(grad_clip)
        rules = [_checked_rule(rule) for rule in parameter_groups or ()]
        self.slots = [
            self._slot(name, param, weight_decay, rules)
            for name, param in params.items()
            if not param.is_stop_grad()
        ]
        if not self.slots:
            raise ConfigError("the optimizer got no trainable parameter: every one is frozen.")
        self._grads: list[jt.Var] | None = None

    def _slot(self, name: str, param: jt.Var, weight_decay: float, rules: list[dict]) -> Slot:
        rule = next((rule for rule in rules if _applies(rule, name)), {})
        buffers = {key: jt.zeros(param.shape, param.dtype).stop_grad() for key in self.buffer_names}
        decay = float(weight_decay) * rule.get("decay_mult", 1.0)
        return Slot(name, param, float(rule.get("lr_mult", 1.0)), decay, buffers)

    def backward(self, loss: jt.Var) -> None:
        """Adds the gradients of `loss` (a scalar) to those since the last step."""
        params = [slot.param for slot in self.slots]
        # A pending update left in the graph would be differentiated through.
        jt.sync(params)
        if self.loss_scale is not None:
            loss = loss * self.loss_scale.scale
        grads = [grad.stop_grad() for grad in jt.grad(loss, params)]
        if self._grads is not None:
            grads = [(old + new).stop_grad() for old, new in zip(self._grads, grads, strict=True)]
        self._grads = grads

    def step(self, loss: jt.Var | None = None) -> None:
        """One update from the accumulated gradients, after adding those of `loss` if given.

        Under `mpirun` the gradients are averaged over all ranks, which must therefore all take the step.
        With a loss scale, parameters and buffers keep their values when a gradient is not finite.
        """
        if loss is not None:
            self.backward(loss)
        if self._grads is None:
            raise ValueError(
                "Optimizer.step was called without a loss and without a backward call before it."
            )
        self.num_steps += 1
        grads = average_gradients(self._grads)
        if self.loss_scale is not None:
            # After the average, so that all ranks see the same and skip the same steps.
            grads = self.loss_scale.unscaled(grads)
        for slot, grad in zip(self.slots, self.clip(grads), strict=True):
            self.update(slot, grad)
        if self.loss_scale is not None:
            self.loss_scale.update()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Forgets accumulated gradients."""
        self._grads = None

    @abstractmethod
    def update(self, slot: Slot, grad: jt.Var) -> None:
        """Changes one parameter and its buffers by `write`; `grad` is shaped like the parameter."""

    def write(self, var: jt.Var, value: jt.Var) -> None:
        """Gives a parameter or a buffer its new value, unless this step is skipped."""
        var.update(value if self.loss_scale is None else self.loss_scale.kept(value, var))

    def taken_steps(self) -> Any:
        """Updates so far without skipped ones, for `update`: the running one counts.

        Returns:
            A number, or with a loss scale [1] float32, known to the device alone.
        """
        return self.num_steps if self.loss_scale is None else self.num_steps - self.loss_scale.skipped

    def state_dict(self) -> dict:
        """Plain data and numpy arrays from which `load_state_dict` continues exactly.

        Returns:
            {"type", "lr" (current), "base_lr", "num_steps", "state": {parameter: {buffer: array}}}, and
            "loss_scale" where there is one.
        """
        state = {slot.name: {key: var.numpy() for key, var in slot.buffers.items()} for slot in self.slots}
        loss_scale = {} if self.loss_scale is None else {"loss_scale": self.loss_scale.state_dict()}
        return {
            "type": type(self).__name__,
            "lr": self.lr,
            "base_lr": self.base_lr,
            "num_steps": self.num_steps,
            "state": state,
            **loss_scale,
        }

    def load_state_dict(self, state: Mapping) -> None:
        """Continues from `state_dict()`; hyper-parameters stay those of the constructor (the config wins).

        A loss scale starts anew where the state has none.

        Raises:
            CheckpointError: another optimizer, or buffers that do not fit the parameters.
        """
        if state.get("type") != type(self).__name__:
            raise CheckpointError(
                f"the checkpoint holds the state of {state.get('type')!r}, this run uses "
                f"{type(self).__name__!r}: start from its weights with pretrained_weights instead."
            )
        for slot in self.slots:
            saved = state["state"].get(slot.name)
            if saved is None:
                raise CheckpointError(f"the checkpoint's optimizer state has no entry for {slot.name!r}.")
            for key, var in slot.buffers.items():
                if tuple(np.shape(saved[key])) != tuple(var.shape):
                    raise CheckpointError(
                        f"{key} of {slot.name!r} has shape {tuple(np.shape(saved[key]))} in the checkpoint, "
                        f"the model needs {tuple(var.shape)}."
                    )
                var.assign(jt.array(saved[key]).stop_grad())
        self.num_steps = int(state["num_steps"])
        saved_scale = state.get("loss_scale")
        if self.loss_scale is not None and saved_scale is not None:
            self.loss_scale.load_state_dict(saved_scale)
        elif saved_scale is not None:
            self.num_steps -= int(saved_scale["skipped"])


def _checked_rule(rule: Mapping) -> dict:
    for key in rule:
        if key not in GROUP_KEYS:
            raise ConfigError(
                f"optimizer.parameter_groups has the key {key!r}: {suggestion(key, GROUP_KEYS)}"
            )
    if "match" not in rule:
        raise ConfigError(f"optimizer.parameter_groups: the rule {dict(rule)} needs match='pattern'.")
    return dict(rule)


def _applies(rule: dict, name: str) -> bool:
    return _matches(rule["match"], name) and not _matches(rule.get("but_not") or (), name)


def _matches(patterns: str | Sequence[str], name: str) -> bool:
    patterns = (patterns,) if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _clipper(grad_clip: Mapping | None):
    if grad_clip is None:
        return lambda grads: grads
    keys = set(grad_clip)
    if keys == {"max_value"}:
        return lambda grads: [
            jt.clamp(grad, -grad_clip["max_value"], grad_clip["max_value"]) for grad in grads
        ]
    if "max_norm" in keys and keys <= {"max_norm", "norm_type"}:
        norm_type = grad_clip.get("norm_type", 2)
        return lambda grads: clip_norm(grads, grad_clip["max_norm"], norm_type)
    raise ConfigError(
        f"optimizer.grad_clip has the keys {sorted(keys)}: use dict(max_norm=35, norm_type=2) "
        "or dict(max_value=1.0)."
    )


def clip_norm(grads: list[jt.Var], max_norm: float, norm_type: float = 2) -> list[jt.Var]:
    """Scales all gradients by one factor so that their joint norm is at most `max_norm`.

    Args:
        grads: gradients of any shapes.
        max_norm: > 0.
        norm_type: order of the norm: 2, 1, ..., or "inf".
    Returns:
        The gradients times min(1, max_norm / (norm + 1e-6)).
    """
    if norm_type in ("inf", float("inf")):
        norm = jt.concat([grad.abs().max().reshape([1]) for grad in grads]).max()
    else:
        powers = [_power_sum(grad, norm_type).reshape([1]) for grad in grads]
        norm = jt.concat(powers).sum() ** (1.0 / norm_type)
    factor = jt.minimum(max_norm / (norm + 1e-6), jt.ones([1]))
    return [grad * factor.broadcast(grad.shape) for grad in grads]


def _power_sum(grad: jt.Var, order: float) -> jt.Var:
    if order == 2:
        return total(grad * grad)
    return total(grad.abs() ** order)
