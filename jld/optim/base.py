"""What every optimizer shares: parameter groups, clipping, and a state that can be saved.

Jittor's own optimizers are not wrapped: they lose their momentum buffers on resume, damp the first step,
count micro-batches as steps under accumulation (which skews Adam's bias correction) and add Adam's eps before
the bias correction. The formulas here are those of PyTorch 2, the framework of the reference implementations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from jld.errors import CheckpointError, ConfigError, one_of
from jld.losses.reduction import total
from jld.optim.loss_scale import LossScale
from jld.toolchain import jittor as jt

GROUP_KEYS = ("match", "but_not", "lr_mult", "decay_mult", "start")


@dataclass
class Slot:
    """One parameter with its settings and buffers.

    Attributes:
        name: the parameter's name in the model.
        param: the Var that is trained.
        lr_mult: factor on the optimizer's current learning rate.
        weight_decay: already multiplied by the group's `decay_mult`.
        start: steps during which the parameter and its buffers stay as they are.
        buffers: {buffer name: Var shaped like the parameter}.
    """

    name: str
    param: jt.Var
    lr_mult: float
    weight_decay: float
    start: int = 0
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
            `start=20000`: the first 20000 steps change neither parameter nor buffers, and need no gradient.
    Attributes:
        num_steps: steps so far, those that a loss scale skipped included.
        taken: {`start` of a parameter: updates so far without skipped ones}; with a loss scale [1] float32,
            known to the device alone.
        loss_scale: the `LossScale` of training in float16, set by `Optimizers`, or None.
    Raises:
        ConfigError: nothing to train, unknown keys or values in `grad_clip` or a group, or a group without
            a parameter. (A config's `start` may be a share of the training, which the runner makes steps of.)
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
        trainable = {name: param for name, param in params.items() if not param.is_stop_grad()}
        if not trainable:
            raise ConfigError("the optimizer got no trainable parameter: every one is frozen.")
        for rule in rules:
            if not any(applies(rule, name) for name in params):
                raise ConfigError(f"optimizer.parameter_groups: no parameter fits the rule {rule}.")
        self.slots = [self._slot(name, param, weight_decay, rules) for name, param in trainable.items()]
        self.taken: dict[int, int | jt.Var] = dict.fromkeys((slot.start for slot in self.slots), 0)

    def _slot(self, name: str, param: jt.Var, weight_decay: float, rules: list[dict]) -> Slot:
        rule = next((rule for rule in rules if applies(rule, name)), {})
        buffers = {key: jt.zeros(param.shape, param.dtype).stop_grad() for key in self.buffer_names}
        decay = float(weight_decay) * rule.get("decay_mult", 1.0)
        return Slot(name, param, float(rule.get("lr_mult", 1.0)), decay, rule.get("start", 0), buffers)

    def learning(self) -> list[Slot]:
        """The parameters that the next step changes: all whose `start` has come."""
        return [slot for slot in self.slots if slot.start <= self.num_steps]

    def step(self, grads: Mapping[str, jt.Var]) -> None:
        """One update of the parameters that learn.

        With a loss scale, parameters and buffers keep their values when a gradient is not finite.

        Args:
            grads: {parameter name: gradient} of at least `learning()`, see `Gradients`.
        """
        slots = self.learning()
        self.num_steps += 1
        for start in {slot.start for slot in slots}:
            counted = 1 if self.loss_scale is None else self.loss_scale.is_finite.float32().stop_grad()
            self.taken[start] = self.taken[start] + counted
        if slots:
            for slot, grad in zip(slots, self.clip([grads[slot.name] for slot in slots]), strict=True):
                self.update(slot, grad)

    @abstractmethod
    def update(self, slot: Slot, grad: jt.Var) -> None:
        """Changes one parameter and its buffers by `write`; `grad` is shaped like the parameter."""

    def write(self, var: jt.Var, value: jt.Var) -> None:
        """Gives a parameter or a buffer its new value, unless this step is skipped."""
        var.update(value if self.loss_scale is None else self.loss_scale.kept(value, var))

    def state_dict(self) -> dict:
        """Plain data and numpy arrays from which `load_state_dict` continues exactly.

        Returns:
            {"type", "lr" (current), "base_lr", "num_steps", "taken", "state": {parameter: {buffer: array}}}.
        """
        state = {slot.name: {key: var.numpy() for key, var in slot.buffers.items()} for slot in self.slots}
        return {
            "type": type(self).__name__,
            "lr": self.lr,
            "base_lr": self.base_lr,
            "num_steps": self.num_steps,
            "taken": {
                start: taken if isinstance(taken, int) else int(taken.item())
                for start, taken in self.taken.items()
            },
            "state": state,
        }

    def load_state_dict(self, state: Mapping) -> None:
        """Continues from `state_dict()`; hyper-parameters stay those of the constructor (the config wins).

        The current learning rate goes on as well, unless the base learning rate is another one now.

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
                if key not in saved:
                    raise CheckpointError(f"the checkpoint's optimizer kept no {key} of {slot.name!r}.")
                shape = tuple(np.shape(saved[key]))
                if shape != tuple(var.shape):
                    raise CheckpointError(
                        f"{key} of {slot.name!r} has shape {shape} in the checkpoint, "
                        f"the model needs {tuple(var.shape)}."
                    )
                var.assign(jt.array(saved[key]).stop_grad())
        if state.get("base_lr") == self.base_lr:
            self.lr = float(state["lr"])
        self.num_steps = int(state["num_steps"])
        # Files of earlier versions count skipped steps alone.
        skipped = int((state.get("loss_scale") or {}).get("skipped", 0))
        taken = state.get("taken") or {0: self.num_steps - skipped}
        self.taken = {
            start: int(taken.get(start, max(self.num_steps - skipped - start, 0))) for start in self.taken
        }


def _checked_rule(rule: Mapping) -> dict:
    for key in rule:
        one_of(key, GROUP_KEYS, f"optimizer.parameter_groups has the key {key!r}")
    if "match" not in rule:
        raise ConfigError(f"optimizer.parameter_groups: the rule {dict(rule)} needs match='pattern'.")
    for key, kind in (("lr_mult", int | float), ("decay_mult", int | float), ("start", int)):
        if not isinstance(rule.get(key, 0), kind) or rule.get(key, 0) < 0:
            wanted = "a whole number of steps" if key == "start" else "a number"
            raise ConfigError(f"optimizer.parameter_groups: {key}={rule[key]!r} must be {wanted} from 0 on.")
    return dict(rule)


def applies(rule: Mapping, name: str) -> bool:
    """Whether dict(match=pattern or patterns, but_not=...), shell-style, covers a parameter's full name."""
    return _matches(rule["match"], name) and not _matches(rule.get("but_not") or (), name)


def _matches(patterns: str | Sequence[str], name: str) -> bool:
    patterns = (patterns,) if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _clipper(grad_clip: Mapping[str, Any] | None) -> Callable[[list[jt.Var]], list[jt.Var]]:
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
