"""Labels by name: datasets, checkpoints and detectors agree on what each label means, or the run stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jld.data.classes import folded
from jld.data.dataset import Dataset
from jld.errors import ConfigError, nearest


def follow_classes(dataset: Dataset, wanted: Sequence[str], *, ours: str, theirs: str) -> tuple[Any, str]:
    """A dataset whose labels mean what someone else's labels mean.

    Names are compared as they are; spaces, hyphens and underscores count as one and the same.

    Args:
        dataset: a dataset of `jld.data`; it is not changed.
        wanted: the other one's class names, in the order of its labels; () where they are not known.
        ours: how messages call the dataset.
        theirs: how they call the other one.
    Returns:
        (dataset, ""), or, where order or spelling differ, (the dataset relabelled, a sentence about it).
    Raises:
        ConfigError: other names, more or fewer of them; shows both lists.
    """
    wanted, own = tuple(wanted), tuple(dataset.classes)
    if not wanted or wanted == own:
        return dataset, ""
    if not own:
        return dataset.with_classes(wanted, range(len(wanted))), ""
    sources = _sources(own, wanted)
    if sources is None:
        raise ConfigError(difference(own, wanted, ours=ours, theirs=theirs))
    what = "order" if sources != list(range(len(own))) else "spelling"
    said = (
        f"{ours} has the classes of {theirs} in another {what}: its labels follow {theirs} ({_list(wanted)})."
    )
    return dataset.with_classes(wanted, sources), said


def difference(own: Sequence[str], wanted: Sequence[str], *, ours: str, theirs: str) -> str:
    """The sentence about two lists of classes that cannot be brought together."""
    known = {folded(name) for name in wanted}
    strangers = [name for name in own if folded(name) not in known]
    hints = []
    for name in strangers[:4]:
        match = nearest(name, wanted)
        hints.append(f"{name!r} is not among them" + (f" (did you mean {match!r}?)" if match else ""))
    if not strangers:
        missing = [name for name in wanted if folded(name) not in set(map(folded, own))]
        hints = [f"{', '.join(map(repr, missing[:4]))} is missing"] if missing else ["a name is there twice"]
    return (
        f"{ours} has the {len(own)} classes {_list(own)}, but {theirs} has the {len(wanted)} classes "
        f"{_list(wanted)}: {'; '.join(hints)}. Give both the same names (`classes` of the dataset)."
    )


def _sources(own: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each wanted name stands in `own`; None unless both hold the same names."""
    for fold in (str, folded):
        index = {fold(name): label for label, name in enumerate(own)}
        names = [fold(name) for name in wanted]
        if len(index) == len(own) == len(names) == len(set(names)) and set(names) == set(index):
            return [index[name] for name in names]
    return None


def _list(names: Sequence[str], limit: int = 30) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
