"""Patches beside physicsnemo's own: multi-diffusion, and the global condition of CorrDiff."""

import pytest
import torch

from parampi.denoisers import Patched
from tests.frameworks.installed import framework

SIZE = (12, 15)
GRIDS = [((4, 5), 0, 0), ((4, 5), 1, 0), ((6, 6), 3, 1), ((12, 9), 2, 2)]
CASES = {
    "cut": ({"condition_patch": True}, {}),
    "whole": ({"condition_interp": True}, {"overview": 2, "local": False}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_the_field_is_that_of_multi_diffusion(case):
    module, multi = framework("physicsnemo.core"), framework("physicsnemo.diffusion.multi_diffusion")
    theirs, ours = CASES[case]

    class Net(module.Module):
        """Sees neighbours, its level and its condition."""

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 1, 3, padding=1)

        def forward(self, x, t, condition=None):
            return torch.tanh(self.layer(torch.cat([x, condition], dim=1))) / (1 + t.reshape(-1, 1, 1, 1))

    torch.manual_seed(0)
    net = Net().double().eval().requires_grad_(False)
    x, sigma = torch.randn(2, 1, *SIZE).double(), torch.tensor([0.3, 4.0]).double()
    condition = torch.randn(2, 2, *SIZE).double()
    for shape, overlap, boundary in GRIDS:
        model = multi.MultiDiffusionModel2D(net, global_spatial_shape=SIZE, **theirs)
        predictor = multi.MultiDiffusionPredictor(model, condition=condition)
        predictor.set_patching(overlap_pix=overlap, boundary_pix=boundary, patch_shape=shape, global_shape=SIZE)
        patched = Patched(net, shape, overlap, boundary=boundary, batch=3, **ours)
        torch.testing.assert_close(patched(x, sigma, condition), predictor(x, sigma), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_the_global_condition_is_that_of_corrdiff():
    """Mean and coarse field of a patch, then the coarse field as a whole."""
    patching = framework("physicsnemo.diffusion.multi_diffusion.patching")
    x, condition = torch.randn(2, 1, *SIZE), torch.randn(2, 5, *SIZE)
    for shape, overlap, boundary in GRIDS:
        grid = patching.GridPatching2D(img_shape=SIZE, patch_shape=shape, overlap_pix=overlap, boundary_pix=boundary)
        expected = grid.apply(condition, additional_input=condition[:, -3:])
        patched = Patched(lambda x, sigma, condition: x, shape, overlap, boundary=boundary, overview=3)
        torch.testing.assert_close(patched.conditions(x, condition, grid.patch_num), expected)
