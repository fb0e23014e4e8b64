"""X-ray images in DICOM files, byte by byte."""

import struct

import numpy as np

PIXELS = np.array([[100, 4000], [1000, 2000], [1500, 3000]], dtype=np.uint16)


def save_radiograph(path, tags=None, photometric="MONOCHROME2"):
    """PIXELS as a DICOM radiograph of 12 bits, byte by byte: libraries write some of these tags as they see fit."""

    def element(tag, vr, value):
        if isinstance(value, int):
            value = struct.pack({"US": "<H", "SS": "<h", "UL": "<I"}[vr], value)
        value = value.encode() if isinstance(value, str) else value
        value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        length = struct.pack("<HI", 0, len(value)) if vr in ("OB", "OW") else struct.pack("<H", len(value))
        return struct.pack("<HH", *tag) + vr.encode() + length + value

    storage, uid = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.826.0.1.3680043.2.1125.1"
    meta = b"".join(
        element((2, number), vr, value)
        for number, vr, value in (
            (0x01, "OB", b"\0\1"),
            (0x02, "UI", storage),
            (0x03, "UI", uid),
            (0x10, "UI", "1.2.840.10008.1.2.1"),
        )
    )
    rows, columns = PIXELS.shape
    body = {
        (0x08, 0x16): ("UI", storage),
        (0x08, 0x18): ("UI", uid),
        (0x08, 0x60): ("CS", "DX"),
        (0x28, 0x02): ("US", 1),
        (0x28, 0x04): ("CS", photometric),
        (0x28, 0x10): ("US", rows),
        (0x28, 0x11): ("US", columns),
        (0x28, 0x100): ("US", 16),
        (0x28, 0x101): ("US", 12),
        (0x28, 0x102): ("US", 11),
        (0x28, 0x103): ("US", 0),
        (0x7FE0, 0x10): ("OW", PIXELS.astype("<u2").tobytes()),
    } | (tags or {})
    elements = b"".join(element(tag, *value) for tag, value in sorted(body.items()))
    path.write_bytes(bytes(128) + b"DICM" + element((2, 0), "UL", len(meta)) + meta + elements)
    return path
