"""Fields that are seen patch by patch."""

import pytest
import torch

from parampi import ConfigError, sample, sigmas
from parampi.denoisers import EDMDenoiser, EpsilonDenoiser, Patched
from parampi.run.config import load
from parampi.run.job import run
from parampi.solvers import Serial
from tests.small import write_project

F64 = torch.float64
GRIDS = [((4, 5), 0, 0), ((4, 5), 1, 0), ((6, 6), 3, 1), ((12, 9), 2, 2), ((5, 12), 2, 1)]
SIZE = (12, 15)


def pointwise(x, sigma, *condition):
    shift = condition[0][:, :1] if condition else 0.0
    return torch.tanh(x) / (1 + sigma.view(-1, 1, 1, 1)) + shift


@pytest.mark.parametrize(("shape", "overlap", "boundary"), GRIDS, ids=str)
@pytest.mark.parametrize("batch", [None, 1, 7])
def test_patches_of_a_pointwise_network_are_the_plain_field(shape, overlap, boundary, batch):
    x, sigma = torch.randn(3, 2, *SIZE, dtype=F64), torch.tensor([0.1, 1.0, 5.0], dtype=F64)
    sizes = []

    def counted(x, sigma, *condition):
        sizes.append(len(x))
        assert x.shape[2:] == shape
        return pointwise(x, sigma, *condition)

    patched = Patched(counted, shape, overlap, boundary=boundary, batch=batch)
    torch.testing.assert_close(patched(x, sigma), pointwise(x, sigma), rtol=0, atol=1e-14)
    assert batch is None or max(sizes) <= batch
    field, vector = torch.randn(3, 1, *SIZE, dtype=F64), torch.randn(3, 1, 1, 1, dtype=F64)
    for condition in (field, vector):
        want = pointwise(x, sigma, condition)
        torch.testing.assert_close(patched(x, sigma, condition), want, rtol=0, atol=1e-14)


def test_overlaps_are_averaged():
    """Patches that say which they are."""
    x = torch.zeros(1, 1, 4, 6, dtype=F64)

    def numbered(x, sigma):
        return torch.arange(1.0, len(x) + 1, dtype=F64).view(-1, 1, 1, 1).expand_as(x)

    fused = Patched(numbered, (4, 4), 2)(x, torch.ones(1, dtype=F64))
    # along x patches begin at 0, 2 and 4; along y at 0 and 2; those along y come first
    assert fused[0, 0, 0].tolist() == [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    assert fused[0, 0, 2].tolist() == [1.5, 1.5, 2.5, 2.5, 4.5, 4.5]


def test_patches_know_where_they_are():
    x, sigma = torch.randn(2, 1, *SIZE, dtype=F64), torch.ones(2, dtype=F64)
    index = torch.stack(torch.meshgrid(torch.arange(12), torch.arange(15), indexing="ij"))

    def by_index(x, sigma, condition):
        assert condition.dtype in (torch.int64, F64)
        rows, columns = condition[:, -2:-1], condition[:, -1:]
        shift = condition[:, :1] if condition.shape[1] > 2 else 0.0
        return x + 100.0 * rows + columns + shift

    patched = Patched(by_index, (6, 6), 2, boundary=1, positions="index")
    torch.testing.assert_close(patched(x, sigma)[:, 0], x[:, 0] + 100.0 * index[0] + index[1], rtol=0, atol=1e-10)
    shift = torch.randn(2, 1, *SIZE, dtype=F64)
    whole = patched(x, sigma, shift)
    torch.testing.assert_close(whole[:, 0], x[:, 0] + 100.0 * index[0] + index[1] + shift[:, 0], rtol=0, atol=1e-10)
    embedding = torch.randn(2, *SIZE, dtype=F64)
    embedded = Patched(by_index, (6, 6), 2, positions=embedding)(x, sigma)
    torch.testing.assert_close(embedded[:, 0], x[:, 0] + 100.0 * embedding[0] + embedding[1], rtol=0, atol=1e-10)


def test_members_are_drawn_by_patches():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inward = torch.nn.Conv2d(1, 1, 1, dtype=F64)

        def forward(self, x, time):
            return 0.1 * torch.tanh(self.inward(x))

    plain, grid = EDMDenoiser(Net(), sigma_data=0.5), sigmas.karras(6)
    drawn = sample(Patched(plain, (8, 8), 2, batch=5), (1, 12, 12), 2, grid, solver=Serial(), mode="bitwise")
    whole = sample(plain, (1, 12, 12), 2, grid, solver=Serial(), mode="bitwise")
    torch.testing.assert_close(drawn.fields, whole.fields, rtol=0, atol=1e-12)


def test_patches_of_a_configuration(tmp_path):
    run(load(write_project(tmp_path, model__patches={"shape": [6, 6], "overlap": 2, "batch": 3})))
    with pytest.raises(ConfigError, match=r"model.patches: patches of shape \[9, 40\] reach 32 points beyond fields"):
        run(load(write_project(tmp_path, model__patches={"shape": [9, 40]}), [f"output.directory={tmp_path / 'other'}"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patched(pointwise, (4,)), r"patches of shape \[4\], overlap 0, boundary 0: give \[y, x\]"),
        (lambda: Patched(pointwise, (4, 4), 2, boundary=1), r"do not advance; a patch must be larger than .* = 4"),
        (lambda: Patched(pointwise, (4, 4), batch=0), "batch = 0; give at least one patch per call"),
        (lambda: Patched(pointwise, (4, 4), positions="all"), "positions = 'all'; give 'index', an embedding"),
        (
            lambda: Patched(pointwise, (4, 4)).require((3, 4)),
            r"patches are of fields \(channels, y, x\); these have shape \(3, 4\)",
        ),
        (lambda: Patched(pointwise, (40, 4)).require((1, 8, 8)), "too small to be reflected there; take smaller patches"),
        (lambda: call(Patched(pointwise, (4, 4), positions=torch.zeros(1, 3, 3))), r"positions have shape \(1, 3, 3\), and"),
        (
            lambda: call(Patched(pointwise, (4, 4), positions="index"), torch.zeros(1, 2, 1, 1)),
            "cannot be joined with positions",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def call(patched, *condition):
    return patched(torch.zeros(1, 1, 8, 8), torch.ones(1), *condition)


def test_what_is_known_of_the_denoiser_is_known_of_its_patches():
    patched = Patched(EpsilonDenoiser(torch.nn.Conv2d(1, 1, 1), sigma_data=0.3), (4, 4))
    assert patched.sigma_data == 0.3 and patched.any_dtype and patched.dtype == torch.float32


def test_patches_see_the_whole_condition_too():
    """After their own part, made as large as a patch; its mean over points is that of the field."""
    x, sigma = torch.randn(2, 1, *SIZE, dtype=F64), torch.ones(2, dtype=F64)
    condition = torch.cat([torch.randn(2, 1, *SIZE, dtype=F64), torch.full((2, 1, *SIZE), 3.0, dtype=F64)], dim=1)

    def given(x, sigma, condition):
        assert condition.shape[1:] == (3, *x.shape[2:])
        return x + condition[:, :1] + condition[:, 2:].mean((2, 3), keepdim=True)

    whole = Patched(given, (4, 5), 1, overview=1)(x, sigma, condition)
    torch.testing.assert_close(whole, x + condition[:, :1] + 3.0)
    coarse = Patched(lambda x, sigma, c: x + c, (4, 5), overview=1, local=False)
    torch.testing.assert_close(coarse(x, sigma, torch.full((2, 1, 2, 2), 7.0, dtype=F64)), x + 7.0)


@pytest.mark.parametrize(
    ("options", "condition", "words"),
    [
        (
            {"local": False},
            (1, *SIZE),
            r"overview = 0 with local = False: give how many channels .* at least one where it",
        ),
        ({"overview": -1}, (1, *SIZE), r"overview = -1 with local = True: give how many channels"),
        (
            {"overview": 2},
            (1, *SIZE),
            r"an overview of 2 channels is of a condition .* and this has shape \(1, 12, 15\)",
        ),
        (
            {"overview": 1},
            (1, 3, 3),
            r"a condition of shape \(1, 3, 3\) cannot be joined with positions or an overview",
        ),
    ],
)
def test_overviews_that_fit_nothing_are_refused(options, condition, words):
    with pytest.raises(ConfigError, match=words):
        Patched(pointwise, (4, 5), **options)(torch.zeros(1, 1, *SIZE), torch.ones(1), torch.zeros(1, *condition))
