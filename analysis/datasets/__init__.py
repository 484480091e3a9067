"""Images and labels with provenance, out of runs or files, split so that nothing leaks.

`write_image_set` and `write_image_set_of_files` make a set, `open_image_set` opens it,
`grouped_splits` parts it, `crossed_splits` where all sessions imaged the same fields; `augmented`
makes five images of one, of the training part alone.
"""

from __future__ import annotations

from .augmentation import AUGMENTED, augmented, check_turnable
from .files import files_of_folder, write_image_set_of_files
from .groups import Grouping, split_groups
from .image_set import ImageSet, open_image_set
from .leaks import LeakError, Split, check_split, find_copies
from .records import ImageRecord
from .splits import crossed_splits, grouped_splits
from .writing import write_image_set

__all__ = [
    "AUGMENTED",
    "Grouping",
    "ImageRecord",
    "ImageSet",
    "LeakError",
    "Split",
    "augmented",
    "check_split",
    "check_turnable",
    "crossed_splits",
    "files_of_folder",
    "find_copies",
    "grouped_splits",
    "open_image_set",
    "split_groups",
    "write_image_set",
    "write_image_set_of_files",
]
