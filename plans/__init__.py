"""The experiments, as bluesky plans."""

from plans.stage import HysteresisRun, LiveResults, hysteresis, hysteresis_targets

__all__ = ["HysteresisRun", "LiveResults", "hysteresis", "hysteresis_targets"]
