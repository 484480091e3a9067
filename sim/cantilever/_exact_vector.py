"""Sixteen numbers at once, as a type of compiled code.

The compiler turns a loop into vector instructions only where it can prove that its arrays do not
overlap, and gives up on short ones. A step of the exact engine is sixteen points; as one value they
need no proof. On processors with shorter vectors the compiler cuts them up.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

from llvmlite import ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

__all__ = ["WIDTH", "last", "load", "store"]

WIDTH = 16

_WORD = ir.IntType(32)
_REAL = ir.DoubleType()
_LLVM = ir.VectorType(_REAL, WIDTH)
# products and sums may become one instruction, which rounds once
_FAST = ("contract", "nsz", "arcp")


class _Vector(types.Type):
    """Sixteen numbers of float64."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector{WIDTH}")


_VECTOR = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _LLVM)


def _spread(builder: Any, value: Any) -> Any:
    """Return a number as a vector."""
    if value.type == _LLVM:
        return value
    empty = ir.Constant(_LLVM, ir.Undefined)
    one = builder.insert_element(empty, value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(_WORD, WIDTH), None))


def _add_operator(python: Any, instruction: str) -> None:
    """Let compiled code use an operator on two vectors, or a vector and a number."""
    pairs = [(_VECTOR, _VECTOR), (_VECTOR, types.float64), (types.float64, _VECTOR)]

    class Operator(ConcreteTemplate):
        cases: ClassVar = [signature(_VECTOR, *pair) for pair in pairs]

    def code(context: Any, builder: Any, sign: Any, arguments: Any) -> Any:
        left, right = (_spread(builder, value) for value in arguments)
        return getattr(builder, instruction)(left, right, flags=_FAST)

    register: Any = infer_global(python)
    register(Operator)
    for pair in pairs:
        lower_builtin(python, *pair)(code)


_add_operator(operator.add, "fadd")
_add_operator(operator.sub, "fsub")
_add_operator(operator.mul, "fmul")
_add_operator(operator.truediv, "fdiv")


def _place(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    """Return the address of sixteen numbers of an array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [start]), _LLVM.as_pointer())


def _load(typingctx: Any, array: Any, start: Any) -> Any:
    """Return array[start : start + WIDTH] as a vector; the array is contiguous."""

    def code(context: Any, builder: Any, sign: Any, arguments: Any) -> Any:
        address = _place(context, builder, sign.args[0], *arguments)
        return builder.load(address, align=8)

    return _VECTOR(array, types.intp), code


def _store(typingctx: Any, array: Any, start: Any, vector: Any) -> Any:
    """Write a vector to array[start : start + WIDTH]; the array is contiguous."""

    def code(context: Any, builder: Any, sign: Any, arguments: Any) -> Any:
        address = _place(context, builder, sign.args[0], *arguments[:2])
        builder.store(arguments[2], address, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


def _last(typingctx: Any, vector: Any) -> Any:
    """Return the last number of a vector."""

    def code(context: Any, builder: Any, sign: Any, arguments: Any) -> Any:
        return builder.extract_element(arguments[0], ir.Constant(_WORD, WIDTH - 1))

    return types.float64(vector), code


load: Callable[..., Any] = intrinsic(_load)
store: Callable[..., Any] = intrinsic(_store)
last: Callable[..., Any] = intrinsic(_last)
