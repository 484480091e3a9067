"""The driven cantilever solved by general integrators: SUNDIALS' CVODE and SciPy's LSODA.

CVODE is run twice: as scikit-sundae runs it, with a compiled right-hand side that is called from
Python, and by the same library's own functions with the right-hand side as a C function, so that
no Python runs in between. All get the equations of motion with the drive as they stand, deflections
in nm and velocities in nm times the mode's angular frequency.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sksundae
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from sksundae.cvode import CVODE

from sim.cantilever import Cantilever, Drive
from sim.forces import Force, composed_kernel

__all__ = ["CompiledCvode", "cvode", "lsoda", "right_hand_side", "tones_of"]

_NM = 1e-9
_ADAMS, _NORMAL = 1, 1
_STEPS = 100_000_000
SAMPLES = 2**15  # of a period: twice the highest tone and more

Slope = Callable[[float, NDArray[np.float64], NDArray[np.float64]], None]


def right_hand_side(cantilever: Cantilever, drive: Drive, force: Force, height: float) -> Slope:
    """Return the compiled equations of motion of modes along z, ``f(t, state, slope)``."""
    kernel, parameters = composed_kernel(force), force.parameters
    modes = len(cantilever.modes)
    rates = np.array([2 * np.pi * mode.frequency for mode in cantilever.modes])
    losses = np.array([1 / mode.quality_factor for mode in cantilever.modes])
    softness = np.array([1 / (mode.spring_constant * _NM) for mode in cantilever.modes])
    spin = 2 * np.pi * drive.df * np.array(drive.tones)
    push = np.array(drive.forces)

    @njit(error_model="numpy", fastmath={"contract"})
    def slope(t, state, out):
        z, v = 0.0, 0.0
        for i in range(modes):
            z += state[2 * i]
            v += rates[i] * state[2 * i + 1]
        pull = kernel(height + z * _NM, 0.0, v * _NM, 0.0, parameters, 0)[0]
        for i in range(modes):
            total = pull
            for k in range(spin.size):
                if push[i, k] != 0:
                    turn = spin[k] * t
                    total += push[i, k].real * np.cos(turn) - push[i, k].imag * np.sin(turn)
            out[2 * i] = rates[i] * state[2 * i + 1]
            out[2 * i + 1] = rates[i] * (
                total * softness[i] - state[2 * i] - losses[i] * state[2 * i + 1]
            )

    slope(0.0, np.zeros(2 * modes), np.zeros(2 * modes))
    return slope


def tones_of(z_nm: NDArray[np.float64], tones: tuple[int, ...]) -> NDArray[np.complex128]:
    """Return tones in m of a period of samples in nm."""
    return 2 * np.fft.rfft(z_nm)[list(tones)] / z_nm.size * _NM


def cvode(
    slope: Slope, start: NDArray[np.float64], times: NDArray[np.float64], tolerance: float
) -> NDArray[np.float64]:
    """Return the states at `times` by scikit-sundae, Adams."""
    solver = CVODE(slope, method="Adams", rtol=tolerance, atol=tolerance, max_num_steps=_STEPS)
    return solver.solve(times, start).y


def lsoda(
    slope: Slope, start: NDArray[np.float64], times: NDArray[np.float64], tolerance: float
) -> NDArray[np.float64]:
    """Return the states at `times` by SciPy's LSODA."""

    def returned(t: float, state: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.empty_like(state)
        slope(t, state, out)
        return out

    span = (times[0], times[-1])
    return solve_ivp(
        returned, span, start, method="LSODA", t_eval=times, rtol=tolerance, atol=tolerance
    ).y.T


class CompiledCvode:
    """CVODE, Adams with Newton, from the library that scikit-sundae brings, without Python.

    Parameters
    ----------
    slope : callable
        Compiled equations of motion.
    size : int
        Of the state.
    """

    def __init__(self, slope: Slope, size: int) -> None:
        folder = Path(sksundae.__file__).parents[1] / "scikit_sundae.libs"
        self._size = size
        names = ("core", "nvecserial", "sunmatrixdense", "sunlinsoldense", "cvode")
        parts = [
            ctypes.CDLL(str(next(folder.glob(f"libsundials_{name}-*"))), ctypes.RTLD_GLOBAL)
            for name in names
        ]
        core, vectors, matrices, solvers, integrator = parts
        pointer = ctypes.c_void_p
        array = core.N_VGetArrayPointer
        array.argtypes, array.restype = [pointer], ctypes.POINTER(ctypes.c_double)

        @cfunc(types.intc(types.float64, types.voidptr, types.voidptr, types.voidptr))
        def called(t, state, out, _):
            slope(t, carray(array(state), size), carray(array(out), size))
            return 0

        self._called = called
        self._context = pointer()
        core.SUNContext_Create(0, ctypes.byref(self._context))
        self._vector = _typed(vectors.N_VNew_Serial, pointer, ctypes.c_int64, pointer)
        self._array = array
        self._matrix = _typed(matrices.SUNDenseMatrix, pointer, *[ctypes.c_int64] * 2, pointer)
        self._solver = _typed(solvers.SUNLinSol_Dense, pointer, *[pointer] * 3)
        self._create = _typed(integrator.CVodeCreate, pointer, ctypes.c_int, pointer)
        self._library = integrator

    def solve(
        self, start: NDArray[np.float64], times: NDArray[np.float64], tolerance: float
    ) -> NDArray[np.float64]:
        """Return the states at `times`."""
        pointer, real = ctypes.c_void_p, ctypes.c_double
        library = self._library
        vector = self._vector(self._size, self._context)
        state = np.ctypeslib.as_array(self._array(vector), (self._size,))
        state[:] = start
        memory = pointer(self._create(_ADAMS, self._context))
        address = pointer(self._called.address)
        _done(library.CVodeInit(memory, address, real(times[0]), pointer(vector)))
        _done(library.CVodeSStolerances(memory, real(tolerance), real(tolerance)))
        _done(library.CVodeSetMaxNumSteps(memory, ctypes.c_long(_STEPS)))
        matrix = self._matrix(self._size, self._size, self._context)
        solver = self._solver(vector, matrix, self._context)
        _done(library.CVodeSetLinearSolver(memory, pointer(solver), pointer(matrix)))
        out = np.empty((times.size, self._size))
        out[0] = start
        reached = real()
        step = _typed(library.CVode, ctypes.c_int, pointer, real, pointer, pointer, ctypes.c_int)
        for index in range(1, times.size):
            _done(step(memory, times[index], vector, ctypes.byref(reached), _NORMAL))
            out[index] = state
        library.CVodeFree(ctypes.byref(memory))
        return out


def _typed(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = result, list(arguments)
    return function


def _done(code: int) -> None:
    if code < 0:
        raise RuntimeError(f"CVODE failed with {code}")
