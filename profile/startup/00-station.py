"""The station in the console's namespace."""

# ruff: noqa: F401 - the names are for the person at the console

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
from bluesky.simulators import check_limits, summarize_plan
from IPython.core.getipython import get_ipython
from matplotlib import pyplot as plt

import plans
from plans import (
    Guard,
    Tapping,
    amplitude_series,
    calibrate_probe,
    characterise,
    coarse_fine,
    cross_axis,
    eucentric_height,
    force_map,
    free_spectrum,
    height_series,
    hysteresis,
    measure_drift,
    mosaic,
    mosaic_over,
    move_to_feature,
    paper_comb,
    paper_excitation,
    point_spectrum,
    recall,
    rehearse,
    remember,
    tilt_series,
    with_beam,
)
from station.desk import Desk

desk = Desk()
RE, sd, live, bec = desk.station.RE, desk.station.sd, desk.station.live, desk.bec
tem, afm, stage, cat, db = desk.tem, desk.afm, desk.stage, desk.cat, desk.db

desk.greet(get_ipython())
