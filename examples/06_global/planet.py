"""The planet of the example: a land mask and mountains, smooth and roughly where those of the Earth are."""

import numpy as np

# middle and half width in degrees, (latitude, longitude, half width along each), of ellipses that are land
LAND = (
    (50, 258, 22, 38), (68, 250, 8, 45), (72, 318, 10, 16), (-12, 300, 20, 16), (-35, 292, 16, 7),
    (5, 20, 28, 20), (-20, 24, 14, 14), (50, 30, 14, 35), (55, 85, 20, 45), (62, 130, 12, 38),
    (30, 100, 16, 26), (22, 78, 12, 10), (24, 47, 10, 10), (-25, 134, 12, 18), (-90, 0, 20, 360),
)  # fmt: skip
# the same of mountains, and how high they are in metres
MOUNTAINS = (
    (44, 250, 13, 9, 1500), (35, 88, 10, 18, 2300), (-22, 291, 22, 6, 1500), (74, 320, 9, 14, 1500),
    (-85, 80, 14, 360, 1800), (2, 35, 16, 7, 800), (62, 15, 6, 6, 500),
)  # fmt: skip


def distance(latitude, longitude, middle, width):
    """How far points are from the middle of an ellipse, in its half widths (H, W)."""
    across = (longitude - middle[1] + 180) % 360 - 180
    return np.hypot((latitude[:, None] - middle[0]) / width[0], across[None, :] / width[1])


def land_fraction(latitude, longitude):
    """Fraction of land (H, W) at latitudes (H,) and longitudes (W,) in degrees."""
    nearest = np.min([distance(latitude, longitude, one[:2], one[2:]) for one in LAND], axis=0)
    return 1 / (1 + np.exp((nearest - 1) / 0.06))


def orography(latitude, longitude):
    """Height of the ground (H, W) in metres."""
    return sum(one[4] * np.exp(-(distance(latitude, longitude, one[:2], one[2:4]) ** 2)) for one in MOUNTAINS)
