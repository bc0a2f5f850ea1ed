"""From the values of a pickle machine to plain Python data and numpy arrays."""

from __future__ import annotations

from jld.checkpoint.arrays import ArrayRecord, JittorVar, NumpyRecord, TensorRecord, is_readable
from jld.checkpoint.malformed import Budget, MalformedError
from jld.checkpoint.pickle_machine import Global, Placeholder

MAX_DEPTH = 100
MAX_VALUES = 2_000_000
MAX_INTEGER_BITS = 4096
_RECORDS = (TensorRecord, NumpyRecord, JittorVar)
_SCALARS = (str, bytes, bytearray, int, float, bool, type(None))


class Dropped:
    """What a value that is not data turns into; containers leave it out or put None in its place."""

    def __init__(self, name: str) -> None:
        self.name = name


def is_record(value: object) -> bool:
    """Whether a value is an array that can be read."""
    return isinstance(value, _RECORDS) and is_readable(value)


def _is_plain_key(key: object) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return not any(isinstance(part, Placeholder | Global) for part in parts)


class Unfolder:
    """Turns values into plain data, each shared value once.

    A pickle can share values, so a few bytes may describe a tree with billions of leaves, or a list that
    holds itself; the size of every subtree is therefore counted as if nothing were shared.

    Args:
        budget: bytes the arrays may take.
        skipped: ordered set that receives what is left out.
        is_strict: leaving anything out is an error.
    """

    def __init__(self, budget: Budget, skipped: dict[str, None], is_strict: bool = False) -> None:
        self.budget, self.skipped, self.is_strict = budget, skipped, is_strict
        self.done: dict[int, tuple[object, int]] = {}
        self.open: set[int] = set()

    def unfold(self, value: object, where: str = "the file", depth: int = 0) -> object:
        """The plain form of a value, or a `Dropped`.

        Raises:
            MalformedError: too deep, too large, cyclic, or (strict) not data.
        """
        return self._visit(value, where, depth)[0]

    def _visit(self, value: object, where: str, depth: int) -> tuple[object, int]:
        if isinstance(value, _SCALARS):
            if type(value) is int and value.bit_length() > MAX_INTEGER_BITS:
                raise MalformedError(f"{where} is an integer of more than {MAX_INTEGER_BITS} bits")
            return value, 1
        if id(value) in self.done:
            return self.done[id(value)]
        if id(value) in self.open:
            raise MalformedError(f"{where} contains itself")
        if depth > MAX_DEPTH:
            raise MalformedError(f"its data are nested more than {MAX_DEPTH} levels deep")
        self.open.add(id(value))
        result, num_values = self._unfold_one(value, where, depth)
        if num_values > MAX_VALUES:
            raise MalformedError(f"{where} unfolds to more than {MAX_VALUES} values")
        self.open.discard(id(value))
        self.done[id(value)] = result, num_values
        return result, num_values

    def _unfold_one(self, value: object, where: str, depth: int) -> tuple[object, int]:
        if isinstance(value, _RECORDS):
            return self._array(value, where), 1
        if isinstance(value, dict):
            return self._dictionary(value, where, depth)
        if isinstance(value, list | tuple | set):
            return self._sequence(value, where, depth)
        if isinstance(value, Global) and value.module == "torch":
            return str(value), 1  # an element type such as torch.float32
        if isinstance(value, Placeholder | Global):
            return self._drop(value.name if isinstance(value, Placeholder) else str(value), where), 1
        return self._drop(type(value).__name__, where), 1

    def _array(self, record: ArrayRecord, where: str) -> object:
        if not is_readable(record):
            return self._drop("an array of objects or text", where)
        values = record.materialise(self.budget)
        is_scalar = isinstance(record, NumpyRecord) and record.is_scalar
        return values[()] if is_scalar else values

    def _dictionary(self, value: dict, where: str, depth: int) -> tuple[dict, int]:
        result, total = {}, 1
        for key, item in value.items():
            plain, num_values = self._visit(item, f"{where}[{str(key)[:80]!r}]", depth + 1)
            total += num_values
            if _is_plain_key(key) and not isinstance(plain, Dropped):
                result[key] = plain
        return result, total

    def _sequence(self, value: list | tuple | set, where: str, depth: int) -> tuple[object, int]:
        items, total = [], 1
        for item in value:
            plain, num_values = self._visit(item, where, depth + 1)
            total += num_values
            items.append(None if isinstance(plain, Dropped) else plain)
        return type(value)(items), total

    def _drop(self, name: str, where: str) -> Dropped:
        if self.is_strict:
            raise MalformedError(f"{where} is {name}, which is not data")
        self.skipped.setdefault(name)
        return Dropped(name)
