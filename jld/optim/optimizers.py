"""The optimizers of a run: each parameter belongs to one of them, and one backward pass serves all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.errors import CheckpointError, ConfigError
from jld.optim.base import Optimizer, Slot, applies
from jld.optim.gradients import Gradients
from jld.optim.loss_scale import LossScale
from jld.optim.schedules import Progress, Schedule
from jld.toolchain import jittor as jt


class Optimizers:
    """One or several optimizers with parameters, clipping and, where wanted, schedules of their own.

    Args:
        members: {name: optimizer}, or one optimizer.
        loss_scale: for training in float16, see `LossScale`; a step that it skips is skipped by all.
    Attributes:
        gradients: of the running step.
    Raises:
        ConfigError: none of the parameters is trained from the first step on.
    """

    def __init__(self, members: Mapping[str, Optimizer] | Optimizer, loss_scale: LossScale | None = None):
        self.members = {"optimizer": members} if isinstance(members, Optimizer) else dict(members)
        self.loss_scale = loss_scale
        self.gradients = Gradients(loss_scale)
        for member in self.members.values():
            member.loss_scale = loss_scale
        if not self._learning():
            raise ConfigError(
                "optimizer.parameter_groups: every parameter has a `start`, so that the first steps would "
                "train nothing."
            )

    def check_length(self, total_steps: int) -> None:
        """Stops when parameters would not learn at all in a training of this many steps.

        Raises:
            ConfigError: see above.
        """
        late = [slot for slot in self.slots if slot.start >= total_steps]
        if late:
            raise ConfigError(
                f"{_some([slot.name for slot in late])} would begin to learn at step {late[0].start}, but "
                f"the training has only {total_steps} steps: lower the `start` of the parameter group, or "
                "freeze them in the model."
            )

    @property
    def slots(self) -> list[Slot]:
        """The parameters of all optimizers, with their settings and buffers."""
        return [slot for member in self.members.values() for slot in member.slots]

    @property
    def rates(self) -> dict[str, float]:
        """{name of the optimizer: its current learning rate}."""
        return {name: member.lr for name, member in self.members.items()}

    def follow(self, schedule: Schedule | Mapping[str, Schedule] | None, progress: Progress) -> None:
        """Sets the learning rates of the next step; an optimizer without a schedule keeps its own.

        Args:
            schedule: of all, or by the name of the optimizer.
        """
        for name, member in self.members.items():
            own = schedule.get(name) if isinstance(schedule, Mapping) else schedule
            if own is not None:
                member.lr = own.lr(member.base_lr, progress)

    def backward(self, loss: jt.Var) -> None:
        """Adds the gradients of `loss` (a scalar) to those since the last step."""
        self.gradients.add(loss, self._learning())

    def step(self, loss: jt.Var | None = None) -> None:
        """One update from the gradients since the last one, those of `loss` added first if given.

        With a loss scale, parameters and buffers keep their values when a gradient is not finite.
        """
        if loss is not None:
            self.backward(loss)
        grads = self.gradients.take()
        for member in self.members.values():
            member.step(grads)

    def _learning(self) -> dict[str, jt.Var]:
        return {slot.name: slot.param for member in self.members.values() for slot in member.learning()}

    def state_dict(self) -> dict[str, Any]:
        """Plain data and numpy arrays from which `load_state_dict` continues exactly.

        Returns:
            of one optimizer its own state, of several {"optimizers": {name: state}}; "loss_scale" beside it
            where there is one.
        """
        states = {name: member.state_dict() for name, member in self.members.items()}
        found = {"optimizers": states} if len(states) > 1 else next(iter(states.values()))
        return found if self.loss_scale is None else found | {"loss_scale": self.loss_scale.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from `state_dict()`; hyper-parameters stay those of the config.

        A loss scale starts anew where the state has none.

        Raises:
            CheckpointError: other optimizers, or buffers that do not fit the parameters.
        """
        saved = state.get("optimizers")
        if saved is None and len(self.members) == 1:
            saved = dict.fromkeys(self.members, state)
        if saved is None or set(saved) != set(self.members):
            held = "one optimizer" if saved is None else f"the optimizers {', '.join(sorted(saved))}"
            raise CheckpointError(
                f"the checkpoint holds the state of {held}, this run has {', '.join(sorted(self.members))}: "
                "start from its weights with pretrained_weights instead."
            )
        for name, member in self.members.items():
            member.load_state_dict(saved[name])
        if self.loss_scale is not None and state.get("loss_scale") is not None:
            self.loss_scale.load_state_dict(state["loss_scale"])


def divided(
    params: Mapping[str, jt.Var], rules: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, jt.Var]]:
    """The parameters of each of several optimizers.

    Args:
        params: {name: Var}; frozen ones need no optimizer.
        rules: {name of the optimizer: dict(match=pattern or patterns, but_not=...)}, see `Optimizer`.
    Returns:
        {name of the optimizer: {name: Var}}.
    Raises:
        ConfigError: two optimizers match a trainable parameter, or none does; an optimizer has no `match`, or
            nothing to train.
    """
    for owner, rule in rules.items():
        if "match" not in rule:
            raise ConfigError(
                f"optimizer.{owner} needs match='pattern', as there are several optimizers: the names of its "
                "parameters, such as match='distill.*'."
            )
    owners = {
        name: [owner for owner, rule in rules.items() if applies(rule, name)]
        for name, var in params.items()
        if not var.is_stop_grad()
    }
    left = [name for name, found in owners.items() if not found]
    if left:
        raise ConfigError(f"optimizer: no `match` covers {_some(left)}: every trainable parameter needs one.")
    shared = [name for name, found in owners.items() if len(found) > 1]
    if shared:
        raise ConfigError(
            f"optimizer: {' and '.join(owners[shared[0]])} both match {_some(shared)}: exclude them from one "
            "with but_not."
        )
    for owner, rule in rules.items():
        if [owner] not in owners.values():
            raise ConfigError(f"optimizer.{owner}: no trainable parameter fits match={rule['match']!r}.")
    return {
        owner: {name: var for name, var in params.items() if applies(rule, name)}
        for owner, rule in rules.items()
    }


def _some(names: list[str], limit: int = 4) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
