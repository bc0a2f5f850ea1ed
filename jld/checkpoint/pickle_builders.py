"""The only names a pickle may call, each with the plain data or the array record it builds.

The table covers what `torch.save`, `jittor.save`, numpy and Python's own containers write.
"""

from __future__ import annotations

from collections.abc import Callable

from jld.checkpoint.arrays import (
    TORCH_DTYPE_CODES,
    JittorVar,
    NumpyDtype,
    NumpyRecord,
    Storage,
    TensorRecord,
)
from jld.checkpoint.malformed import MalformedError
from jld.checkpoint.pickle_machine import (
    STEPS_PER_SET,
    Builder,
    Global,
    PickleMachine,
    Placeholder,
)

_NUMPY_CORES = ("numpy.core", "numpy._core")
MAX_DTYPE_LENGTH = 100
ARRAY_STEPS = 4  # a described array is as large as some steps leave behind
_BUILTINS = ("builtins", "__builtin__")


def torch_code(dtype: object) -> str | None:
    """The numpy code of a global such as `torch.float32`, or None when it is no readable element type."""
    is_torch = isinstance(dtype, Global) and dtype.module == "torch"
    return TORCH_DTYPE_CODES.get(dtype.name) if is_torch else None


def _items_of(machine: PickleMachine, arguments: tuple) -> list:
    """The elements of the single optional container argument."""
    if not arguments:
        return []
    if len(arguments) != 1 or not isinstance(arguments[0], list | tuple | set | dict):
        raise MalformedError("its pickle makes a container of something that is none")
    machine.charge(len(arguments[0]))
    return list(arguments[0])


def _dictionary(machine: PickleMachine, arguments: tuple) -> dict:
    if len(arguments) == 1 and isinstance(arguments[0], dict):
        machine.charge(len(arguments[0]))
        for key in arguments[0]:  # a copy hashes and compares its keys once more
            machine.check_key(key)
        return dict(arguments[0])
    result: dict = {}
    for pair in _items_of(machine, arguments):  # Python 2 wrote an OrderedDict as a list of pairs
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise MalformedError("its pickle makes a dictionary of something that is no list of pairs")
        machine.add_pairs(result, list(pair))
    return result


def _default_dictionary(machine: PickleMachine, arguments: tuple) -> dict:
    return _dictionary(machine, arguments[1:])


def _set(machine: PickleMachine, arguments: tuple) -> set:
    machine.charge(STEPS_PER_SET)
    items = _items_of(machine, arguments)
    for item in items:
        machine.check_key(item)
    return set(items)


def _latin1_bytes(machine: PickleMachine, arguments: tuple) -> bytes:
    """Bytes as protocols 0 to 2 write them: text and the name of the Latin-1 encoding."""
    if not arguments:
        return b""
    text = arguments[0]
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str) or len(arguments) != 2 or arguments[1] not in ("latin1", "latin-1"):
        raise MalformedError("its pickle makes bytes in a way no writer does")
    machine.charge_copy(len(text))
    return text.encode("latin-1")


def _numpy_dtype(machine: PickleMachine, arguments: tuple) -> object:
    if not arguments or not isinstance(arguments[0], str) or len(arguments[0]) > MAX_DTYPE_LENGTH:
        return machine.skip("numpy.dtype")
    return NumpyDtype(arguments[0])


def _numpy_empty(machine: PickleMachine, arguments: tuple) -> object:
    machine.charge(ARRAY_STEPS)
    is_plain = bool(arguments) and isinstance(arguments[0], Global) and str(arguments[0]) == "numpy.ndarray"
    return NumpyRecord() if is_plain else machine.skip("a subclass of numpy.ndarray")


def _numpy_from_buffer(machine: PickleMachine, arguments: tuple) -> NumpyRecord:
    """Protocol 5 without out-of-band buffers: (bytes, dtype, shape, order)."""
    if len(arguments) != 4:
        raise MalformedError("the description of a numpy array is damaged")
    raw, dtype, shape, order = arguments
    machine.charge(ARRAY_STEPS)
    record = NumpyRecord()
    record.fill(shape, dtype, order == "F", machine.raw_bytes(raw))
    return record


def _numpy_scalar(machine: PickleMachine, arguments: tuple) -> object:
    if len(arguments) != 2 or not isinstance(arguments[0], NumpyDtype) or arguments[0].code is None:
        return machine.skip("numpy scalar")
    record = NumpyRecord(is_scalar=True)
    record.fill((), arguments[0], False, machine.raw_bytes(arguments[1]))
    return record


def _jittor_var(machine: PickleMachine, arguments: tuple) -> object:
    if len(arguments) == 1 and isinstance(arguments[0], NumpyRecord):
        return JittorVar(arguments[0])
    return machine.skip("jittor_core.Var")


def _tensor(code_at: int | None, num_needed: int) -> Builder:
    """A builder of tensors: (storage, offset, shape, strides, ..., maybe dtype at `code_at`)."""

    def build(machine: PickleMachine, arguments: tuple) -> object:
        machine.charge(ARRAY_STEPS)
        if len(arguments) < num_needed:
            raise MalformedError("the description of a tensor is damaged")
        storage, offset, shape, strides = arguments[:4]
        if isinstance(storage, Placeholder):
            return storage  # complex or quantised: already named in `skipped`
        if not isinstance(storage, Storage):
            raise MalformedError("a tensor has no storage")
        code = None
        if code_at is not None:
            dtype = arguments[code_at]
            code = torch_code(dtype)
            if code is None:
                return machine.skip(
                    f"tensor of {dtype}" if isinstance(dtype, Global) else "tensor of unknown type"
                )
        return TensorRecord(storage, offset, shape, strides, code)

    return build


def _first_argument(machine: PickleMachine, arguments: tuple) -> object:
    """A parameter or a tensor subclass wraps the tensor as its first argument."""
    if not arguments:
        raise MalformedError("the description of a parameter is damaged")
    return arguments[0]


def _from_type(machine: PickleMachine, arguments: tuple) -> object:
    """(function, type, arguments, state): a tensor that carries Python attributes."""
    if len(arguments) < 3:
        raise MalformedError("the description of a tensor is damaged")
    return machine.call(arguments[0], arguments[2])


def _as_text(machine: PickleMachine, arguments: tuple) -> str:
    parts = [part for part in arguments if isinstance(part, str) or type(part) is int]
    machine.charge(len(arguments))
    texts = [part if isinstance(part, str) else str(part) for part in parts]
    machine.charge_copy(sum(map(len, texts)))
    return ":".join(texts)


def _table() -> dict[tuple[str, str], Builder]:
    table: dict[tuple[str, str], Builder] = {
        ("collections", "OrderedDict"): _dictionary,
        ("collections", "defaultdict"): _default_dictionary,
        ("_codecs", "encode"): _latin1_bytes,
        ("numpy", "dtype"): _numpy_dtype,
        ("jittor", "jittor_core.Var"): _jittor_var,
        ("jittor", "Var"): _jittor_var,
        ("jittor_core", "Var"): _jittor_var,
        ("jittor_core", "jittor_core.Var"): _jittor_var,
        ("torch", "Size"): lambda machine, arguments: tuple(_items_of(machine, arguments)),
        ("torch", "device"): _as_text,
        ("torch._utils", "_rebuild_tensor"): _tensor(None, 4),
        ("torch._utils", "_rebuild_tensor_v2"): _tensor(None, 4),
        ("torch._utils", "_rebuild_tensor_v3"): _tensor(6, 7),
        ("torch._utils", "_rebuild_parameter"): _first_argument,
        ("torch._utils", "_rebuild_parameter_with_state"): _first_argument,
        ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    }
    containers: dict[str, Callable] = {
        "dict": _dictionary,
        "set": _set,
        "frozenset": _set,
        "list": _items_of,
        "tuple": lambda machine, arguments: tuple(_items_of(machine, arguments)),
        "bytes": _latin1_bytes,
        "bytearray": _latin1_bytes,
    }
    table.update({(module, name): builder for module in _BUILTINS for name, builder in containers.items()})
    for core in _NUMPY_CORES:
        table[f"{core}.multiarray", "_reconstruct"] = _numpy_empty
        table[f"{core}.multiarray", "scalar"] = _numpy_scalar
        table[f"{core}.numeric", "_frombuffer"] = _numpy_from_buffer
    return table


BUILDERS = _table()
