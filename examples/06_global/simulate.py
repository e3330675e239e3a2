"""Simulate the weather of a planet with one layer of air, and write its height and winds to NetCDF.

    python simulate.py            # data/weather.nc: 8000 days, about five minutes on one core

Solves the shallow-water equations on the rotating sphere in vorticity zeta, divergence delta and thickness h of the layer,

    dV/dt = -(zeta + f) k x V - grad(V.V / 2 + g (h + ground)) - r V + stirring,        dh/dt = -div(h V) + (h_eq - h) / tau,

by spherical harmonics up to degree 31 (T31, transforms of ducc0), products on 48 x 96 Gaussian points, where they are exact.
Leapfrog with a filter, gravity waves semi-implicit (Hoskins and Simmons 1975, Q. J. R. Meteorol. Soc. 101, 637, for one layer),
damping of the smallest scales by the fourth power of the Laplacian. `h_eq` is high in the tropics and low at the poles, which
drives westerlies; drag `r` is greater over land; the ground has mountains. The stirring stands for the storms that one layer
does not have (Vallis et al. 2004, J. Atmos. Sci. 61, 264): kicks of vorticity in mid-latitudes, every three hours, which
nothing in the fields foretells. It is what makes forecasts uncertain.

Written are the height of the surface (h + ground), and winds to the east and north, on 32 x 64 points, which
hold all degrees up to 31.
"""

import argparse
from pathlib import Path

import ducc0
import netCDF4
import numpy as np
from planet import land_fraction, orography

from parampi.basis.sphere_grid import latitudes

HERE = Path(__file__).resolve().parent
DEGREE = 31
RINGS, COLUMNS = 32, 64  # of the files
RADIUS, ROTATION, GRAVITY, DEPTH = 6.371e6, 7.292e-5, 9.81, 5000.0  # m, rad s-1, m s-2, m
DAY = 86400.0
STEP, KICKS = 1800.0, 3 * 3600.0  # s
DAMPING = 0.5 * DAY  # time in which the smallest scale is damped
SETTLING = 0.25 * DAY  # time in which divergence is damped, and with it gravity waves
RELAXATION, DRAG_SEA, DRAG_LAND = 12 * DAY, 20 * DAY, 5 * DAY
STIRRED, STIRRING = range(6, 13), 1.2e-5  # degrees; s-1, standard deviation of the kicks of a day in mid-latitudes
FILTER = 0.03


class Transform:
    """Spherical harmonics l, m <= DEGREE of fields on a grid of ducc0; fields (rings, columns), north first, winds as
    (to the south, to the east), coefficients complex (K,), by order, then by degree."""

    def __init__(self, geometry, rings, columns):
        self.common = {"lmax": DEGREE, "mmax": DEGREE, "geometry": geometry}
        self.size = {"ntheta": rings, "nphi": columns}

    def field(self, coefficients):
        return ducc0.sht.synthesis_2d(alm=coefficients[None], spin=0, **self.common, **self.size)[0]

    def modes(self, field):
        return ducc0.sht.analysis_2d(map=field[None], spin=0, **self.common)[0]

    def wind(self, vorticity, divergence):
        """(2, rings, columns) of vorticity and divergence: V = grad chi + k x grad psi, of which they are the Laplacians."""
        scaled = np.stack([divergence, vorticity]) * -ROOT_INVERSE * RADIUS
        return ducc0.sht.synthesis_2d(alm=scaled, spin=1, **self.common, **self.size)

    def curl_and_divergence(self, wind):
        """Coefficients of k . curl and div of a vector field (2, rings, columns)."""
        gradient, rotation = ducc0.sht.analysis_2d(map=wind, spin=1, **self.common) * -ROOT / RADIUS
        return rotation, gradient


ORDERS, DEGREES = np.triu_indices(DEGREE + 1)
ROOT = np.sqrt(DEGREES * (DEGREES + 1.0))
ROOT_INVERSE = np.divide(1.0, ROOT, out=np.zeros_like(ROOT), where=ROOT > 0)
WRITTEN = Transform("F1", RINGS, COLUMNS)


class Planet:
    """The shallow-water equations; states are coefficients (3, K) of vorticity, divergence and `g (h - DEPTH)`."""

    def __init__(self, seed=0):
        self.grid = Transform("GL", 48, 96)
        latitude, longitude = latitudes("gauss-legendre", 48), np.arange(96) * 360 / 96
        self.sine, self.rng = np.sin(np.deg2rad(latitude))[:, None], np.random.default_rng(seed)
        self.coriolis = 2 * ROTATION * self.sine
        self.drag = 1 / DRAG_SEA + (1 / DRAG_LAND - 1 / DRAG_SEA) * land_fraction(latitude, longitude)
        self.ground = GRAVITY * self.grid.field(self.grid.modes(orography(latitude, longitude)))
        wanted = np.broadcast_to(equilibrium(latitude)[:, None], self.ground.shape)
        self.wanted = self.grid.modes(GRAVITY * wanted - self.ground)
        self.laplacian = ROOT**2 / RADIUS**2
        self.storms = np.exp(-(((np.abs(latitude) - 45) / 15) ** 2))[:, None]
        self.damping = (ROOT**2 / ROOT[-1] ** 2) ** 4 / DAMPING

    def at_rest(self):
        return np.stack([np.zeros_like(self.wanted), np.zeros_like(self.wanted), self.wanted])

    def tendencies(self, state):
        """Of all but the linear gravity waves."""
        vorticity, (south, east) = self.grid.field(state[0]) + self.coriolis, self.grid.wind(state[0], state[1])
        mass = self.grid.field(state[2])
        push = np.stack([vorticity * east - self.drag * south, -vorticity * south - self.drag * east])
        rotation, divergence = self.grid.curl_and_divergence(push)
        energy = self.grid.modes((south**2 + east**2) / 2 + self.ground)
        _, outflow = self.grid.curl_and_divergence(np.stack([mass * south, mass * east]))
        return np.stack([rotation, divergence + self.laplacian * energy, (self.wanted - state[2]) / RELAXATION - outflow])

    def leap(self, before, now, step):
        """The state a step after `now`, two after `before`; of the same state twice, the state one step after it."""
        span = step if before is now else 2 * step
        rates = self.tendencies(now)
        vorticity = before[0] + span * rates[0]
        divergence, mass = before[1] + span * rates[1], before[2] + span * rates[2]
        # the mean of what is before and after takes the place of what is now in the linear terms
        divergence += span / 2 * self.laplacian * before[2]
        mass -= span / 2 * GRAVITY * DEPTH * before[1]
        mass = (mass - span / 2 * GRAVITY * DEPTH * divergence) / (1 + span**2 / 4 * GRAVITY * DEPTH * self.laplacian)
        divergence = divergence + span / 2 * self.laplacian * mass
        divergence /= 1 + span / SETTLING
        return np.stack([vorticity, divergence, mass]) / (1 + span * self.damping)

    def kick(self):
        """Vorticity that the storms of `KICKS` seconds add."""
        white = self.rng.standard_normal((2, len(DEGREES))) * np.isin(DEGREES, STIRRED)
        modes = white[0] + 1j * np.where(ORDERS > 0, white[1], 0)
        modes *= np.where(ORDERS > 0, np.sqrt(0.5), 1.0) * np.sqrt(4 * np.pi / (STIRRED.stop**2 - STIRRED.start**2))
        return self.grid.modes(self.storms * self.grid.field(modes)) * STIRRING * np.sqrt(KICKS / DAY)

    def advance(self, state, seconds):
        """The state after some seconds, a multiple of KICKS."""
        before = now = state
        for step in range(round(seconds / STEP)):
            if step % round(KICKS / STEP) == 0:
                kick = self.kick()
                # the two states differ by no kick, or leapfrog would let them go apart
                before, now = (before, now) if before is not now else (now, now)
                now = now + np.stack([kick, 0 * kick, 0 * kick])
                before = now if step == 0 else before + np.stack([kick, 0 * kick, 0 * kick])
            after = self.leap(before, now, STEP)
            filtered = now if before is now else now + FILTER * (before - 2 * now + after)
            before, now = filtered, after
        if not np.isfinite(now).all():
            raise FloatingPointError(f"the simulation blew up; use a time step smaller than {STEP} s")
        return now


def equilibrium(latitude):
    """Height (H,) in metres, about DEPTH, that the layer goes back to."""
    step = np.tanh((np.abs(latitude) - 38) / 14)
    area = np.cos(np.deg2rad(latitude))
    return -650 * (step - (step * area).sum() / area.sum())


def fields_of(state, ground):
    """Height, winds to the east and the north (3, RINGS, COLUMNS) of a state, north first, and heights of the ground."""
    south, east = WRITTEN.wind(state[0], state[1])
    return np.stack([DEPTH + WRITTEN.field(state[2]) / GRAVITY + ground, east, -south])


LATITUDE, LONGITUDE = latitudes("equiangular", RINGS), np.arange(COLUMNS) * 360 / COLUMNS
VARIABLES = {  # unit of the 16 bits, what 0 is, attributes
    "height": (0.1, DEPTH, {"units": "m", "long_name": "height of the surface of the layer"}),
    "u": (0.005, 0.0, {"units": "m s-1", "long_name": "wind to the east", "standard_name": "eastward_wind"}),
    "v": (0.005, 0.0, {"units": "m s-1", "long_name": "wind to the north", "standard_name": "northward_wind"}),
}
STATIC = {
    "orography": {"units": "m", "long_name": "height of the ground", "standard_name": "surface_altitude"},
    "land_mask": {"units": "1", "long_name": "fraction of land", "standard_name": "land_area_fraction"},
}


def create(path, title):
    """A CF file with latitudes and longitudes."""
    file = netCDF4.Dataset(path, "w")
    file.setncatts({"Conventions": "CF-1.11", "title": title, "source": "examples/06_global/simulate.py of parampi"})
    axes = {"lat": (LATITUDE, "latitude", "degrees_north", "Y"), "lon": (LONGITUDE, "longitude", "degrees_east", "X")}
    for name, (values, standard_name, units, axis) in axes.items():
        file.createDimension(name, len(values))
        file.createVariable(name, "f8", (name,))[:] = values
        file[name].setncatts({"standard_name": standard_name, "units": units, "axis": axis})
    return file


def create_weather(path, first):
    """An empty series of heights and winds whose times count from the day `first`."""
    file = create(path, "Weather of a planet with one layer of air")
    file.createDimension("time", None)
    time = file.createVariable("time", "f8", ("time",))
    time.setncatts({"units": f"hours since {first} 00:00:00", "calendar": "standard", "standard_name": "time", "axis": "T"})
    for name, (unit, zero, attributes) in VARIABLES.items():
        variable = file.createVariable(
            name, "i2", ("time", "lat", "lon"), compression="zlib", complevel=1, chunksizes=(1, RINGS, COLUMNS)
        )
        variable.setncatts(attributes | {"scale_factor": unit, "add_offset": zero})
    return file


def write_grid(path, ground):
    """The static fields: ground as the simulation has it, and the fraction of land."""
    with create(path, "Ground and land of a planet with one layer of air") as file:
        for name, values in {"orography": ground, "land_mask": land_fraction(LATITUDE, LONGITUDE)}.items():
            file.createVariable(name, "f4", ("lat", "lon"))[:] = values
            file[name].setncatts(STATIC[name])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "data" / "weather.nc")
    parser.add_argument("--grid", type=Path, help="where to write the static fields, too")
    parser.add_argument("--days", type=float, default=8000)
    parser.add_argument("--interval", type=float, default=12, help="hours between fields, a multiple of 3")
    parser.add_argument("--spin-up", type=float, default=90, help="days thrown away first")
    parser.add_argument("--first", default="2001-01-01", help="date of the first field")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.parent.mkdir(exist_ok=True)
    planet = Planet(options.seed)
    ground = WRITTEN.field(planet.grid.modes(planet.ground)) / GRAVITY
    if options.grid:
        write_grid(options.grid, ground)
    state = planet.advance(planet.at_rest(), options.spin_up * DAY)
    with create_weather(options.out, options.first) as file:
        for index in range(round(options.days * 24 / options.interval)):
            fields = fields_of(state, ground)
            file["time"][index] = index * options.interval
            for name, field in zip(VARIABLES, fields, strict=True):
                file[name][index] = field
            if index % 200 == 0:
                print(f"day {index * options.interval / 24:7.1f}  winds up to {np.abs(fields[1:]).max():.0f} m s-1", flush=True)
            state = planet.advance(state, options.interval * 3600)


if __name__ == "__main__":
    main()
