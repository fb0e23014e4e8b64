"""Poses that were found, as the files of other programs: what `raygrad export` and the cockpit write.

`raygrad._export_kinds` is the table of what there is, `source` what is written, `prepare` checks it and gives what
writes it; scenes and overlays have files of their own.
"""

from raygrad.formats._export.prepare import prepare_export as prepare_export
from raygrad.formats._export.source import Source as Source
