"""Networks that classify images of a probe microscope and predict properties of their samples.

What needs Keras is imported from its module, by the process that trains or predicts; importing this
package imports no library for networks.
"""

from .channels import (
    CHANNEL_UNITS,
    ModelSpec,
    Problem,
    TargetScale,
    check_channels,
    check_units,
)
from .options import Progress, TrainingOptions

__all__ = [
    "CHANNEL_UNITS",
    "ModelSpec",
    "Problem",
    "Progress",
    "TargetScale",
    "TrainingOptions",
    "check_channels",
    "check_units",
]
