"""Reading and writing of pictures and videos.

``open_source`` gives frames with exact times, ``open_sink`` takes them; ``read_picture`` and
``write_picture`` do the same for stills, and ``read_source_picture`` reads one picture of either
kind of file. Everything is RGB, upright and uint8. Threads, files and codecs live behind these
names; see docs/guide/io.md.
"""

from .decoder import SourceInfo
from .images import is_picture, list_pictures, read_picture, to_rgb8, write_picture
from .reader import VideoReader, is_still, open_source, read_source_picture
from .writer import VideoWriter, holds_alpha, open_sink

__all__ = [
    "SourceInfo",
    "VideoReader",
    "VideoWriter",
    "holds_alpha",
    "is_picture",
    "is_still",
    "list_pictures",
    "open_sink",
    "open_source",
    "read_picture",
    "read_source_picture",
    "to_rgb8",
    "write_picture",
]
