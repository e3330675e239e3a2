"""Calls of `sample` that go wrong on one rank only, which must end the job on all."""

from parampi import sample, sigmas
from parampi.diffusion.exact import GaussianMixture

PROBLEM = GaussianMixture()


class Broken:
    """Raises in its third call on one rank."""

    def __init__(self, rank, comm):
        self.calls, self.here = 0, comm.Get_rank() == rank

    def __call__(self, x, sigma):
        self.calls += 1
        if self.here and self.calls == 3:
            raise RuntimeError("the device was lost")
        return PROBLEM(x, sigma)


def keep(field, member):
    raise ValueError("an array of another shape")


def main(comm, how):
    options = {
        "network": {"denoiser": Broken(1, comm)},
        "network of the last rank": {"denoiser": Broken(comm.Get_size() - 1, comm), "time_ranks": 1, "members": 3},
        "keep": {"denoiser": PROBLEM, "keep": keep, "batch": 1},
        # ranks without points never see what the network returns
        "shape": {"denoiser": lambda x, sigma: x[..., :3], "window": 2, "probe": False},
    }[how]
    sample(**{"shape": PROBLEM.shape, "members": 2, "sigmas": sigmas.vp_linear(12), "time_ranks": 3, "comm": comm, **options})
    print("the call returned", flush=True)
