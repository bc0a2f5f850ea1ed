"""What the terms on instances share: slots for the student's positives, prototypes that a hook computes."""

from __future__ import annotations

from jld.distill.adapters import ConvAdapters
from jld.distill.instances import InstanceReader, Prototypes
from jld.distill.terms.base import Term
from jld.errors import ConfigError
from jld.models.interface import Interface


class InstanceTerm(Term):
    """A term that reads the student's positives, as instances in slots, and perhaps prototypes.

    Args:
        weight, name, stage, adapters: see `Term`.
        max_instances: slots per image, see `positives_of`.
        outside: how crops read negative coordinates of anchors: `clip`, or `mirror` as released.
        needs_prototypes: whether the term compares with prototypes, which a hook computes.
    Raises:
        ConfigError: no slot, unknown `outside`.
    """

    reads_features = True

    def __init__(
        self,
        weight: float,
        name: str,
        *,
        max_instances: int,
        outside: str,
        needs_prototypes: bool,
        stage: str | None = None,
        adapters: ConvAdapters | None = None,
    ):
        super().__init__(weight, name, stage=stage, adapters=adapters)
        self.reader = InstanceReader(max_instances, outside)
        self.needs_prototypes = needs_prototypes
        self._prototypes: Prototypes | None = None

    def use(self, prototypes: Prototypes) -> None:
        """Compares with these prototypes from now on."""
        self._prototypes = prototypes

    @property
    def prototypes(self) -> Prototypes:
        """The prototypes of the running epoch.

        Raises:
            ConfigError: nobody has computed any.
        """
        if self._prototypes is None:
            raise ConfigError(self.missing())
        return self._prototypes

    def missing(self) -> str:
        """See `Term`."""
        if not self.needs_prototypes or self._prototypes is not None:
            return ""
        return (
            f"{self.name} compares with prototypes, which nobody computes: add "
            'hooks=[dict(type="PrototypeHook")] to the config'
        )

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        stage = student.stage(self.stage)
        upright = stage.boxes.num_sides == 4
        return super().check(student, teacher) + (
            []
            if upright
            else [
                f"{type(self).__name__} describes upright boxes; those of the student's {stage.head} have "
                f"{stage.boxes.num_sides} numbers: use a term with a rotated region"
            ]
        )
