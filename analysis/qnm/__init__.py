"""What the images of an AFM tell: their channels, the rubber in them, and what went wrong."""

from .channels import ChannelSummary, summarise
from .quality import Quality, image_quality
from .rubber import Rubber, find_rubber, segment

__all__ = [
    "ChannelSummary",
    "Quality",
    "Rubber",
    "find_rubber",
    "image_quality",
    "segment",
    "summarise",
]
