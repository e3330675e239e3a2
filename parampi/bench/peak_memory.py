"""The most memory that this process has used since a moment."""

from pathlib import Path

FORGET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
"""Files of Linux: "5" in the first one forgets the peak that the second one tells."""


def forget_peak() -> bool:
    """Begin to measure; returns whether this system can."""
    try:
        FORGET.write_text("5")
    except OSError:
        return False
    return True


def peak_mebibytes() -> float | None:
    """Return the peak since `forget_peak`; None where the system does not tell."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    peaks = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peaks[0]) / 1024 if peaks else None
