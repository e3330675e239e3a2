"""What every basis promises."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import parampi.basis.rows as rows_module
from parampi.basis import BASES, make_basis
from parampi.basis.row_by_row import RowByRow
from parampi.errors import ConfigError
from tests.basis import cases
from tests.basis.cases import F64, ORTHONORMAL, draw, matrices, size

pytestmark = pytest.mark.usefixtures("hostile")

every = pytest.mark.parametrize("name", cases.BASES)
orthonormal = pytest.mark.parametrize("name", ORTHONORMAL)
BASIS = {}


@pytest.fixture
def basis(name):
    if name not in BASIS:
        BASIS[name] = cases.BASES[name]()
    return BASIS[name]


def test_every_registered_basis_is_tested():
    tested = {type(make()) for make in cases.BASES.values()}
    assert tested == set(BASES.values()) if cases.SPHERE else tested < set(BASES.values())


@every
def test_its_numbers_fit(basis):
    assert basis.shell.shape == basis.weight.shape == basis.noise.shape == (basis.modes,)
    assert basis.shell.dtype == torch.int64 and basis.weight.dtype == basis.noise.dtype == F64
    assert basis.shell.unique().tolist() == list(range(basis.shells))
    assert (basis.weight >= 0).all() and (basis.noise >= 0).all()  # a ring on a pole has no area


@every
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
def test_inverse_undoes_forward(basis, dtype, tolerance):
    for batch in ((), (1,), (0,), (2, 3)):
        fields = draw(*batch, *basis.shape, dtype=dtype)
        modes = basis.forward(fields)
        assert modes.shape == (*batch, basis.modes) and modes.dtype == dtype
        back = basis.inverse(modes)
        assert back.dtype == dtype
        assert_close(back, fields, rtol=0, atol=tolerance)


@orthonormal
def test_parseval(basis):
    fields = draw(4, *basis.shape)
    assert_close((basis.weight * basis.forward(fields) ** 2).sum(-1), (fields**2).flatten(1).sum(-1), rtol=1e-14, atol=0)


@orthonormal
def test_white_noise_has_the_variance_it_says(basis):
    """The diagonal of forward's covariance; and no degree of freedom is counted twice."""
    forward, _ = matrices(basis)
    assert_close(forward.square().sum(1), basis.noise, rtol=0, atol=1e-14)
    assert_close((basis.weight * basis.noise).sum().item(), float(size(basis)), rtol=1e-14, atol=0)


@every
def test_a_diagonal_model_is_the_matrix_it_stands_for(basis):
    forward, inverse = matrices(basis)
    response = basis.spread(draw(basis.shells, seed=3).abs())
    matrix = (inverse * response) @ forward
    fields = draw(3, *basis.shape, seed=4)
    applied = basis.inverse(response * basis.forward(fields)).flatten(1)
    assert_close(applied, fields.flatten(1) @ matrix.T, rtol=0, atol=1e-12)


# what functions over all channels leave of one channel is no orthogonal projection
@pytest.mark.parametrize("name", [name for name in ORTHONORMAL if name != "eof-own"])
def test_a_diagonal_model_is_symmetric_and_has_the_responses_as_eigenvalues(basis):
    forward, inverse = matrices(basis)
    per_shell = 1 + torch.arange(basis.shells, dtype=F64)
    matrix = (inverse * basis.spread(per_shell)) @ forward
    assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    freedom = basis.shell_sums(basis.noise)
    expected = torch.repeat_interleave(per_shell, freedom.round().long())
    assert_close(torch.linalg.eigvalsh(matrix), expected, rtol=1e-11, atol=1e-11)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_shell_sums(basis, dtype):
    modes = draw(2, 3, basis.modes, dtype=dtype)
    sums = basis.shell_sums(modes)
    assert sums.shape == (2, 3, basis.shells) and sums.dtype == F64
    weighted = (basis.weight * modes.double()).reshape(6, -1).numpy()
    naive = [np.bincount(basis.shell.numpy(), weights=row, minlength=basis.shells) for row in weighted]
    assert_close(sums.reshape(6, -1), torch.from_numpy(np.array(naive)), rtol=1e-13, atol=1e-12)


@every
def test_shell_sums_of_other_devices(basis):
    """The tree, which is what other devices use, on this one."""
    modes = draw(5, basis.modes)
    sums = basis.groups.by_tree(basis.groups.weighted(modes))
    assert_close(sums, basis.shell_sums(modes), rtol=1e-13, atol=1e-12)
    assert torch.equal(basis.groups.by_tree(basis.groups.weighted(modes[2:3])), sums[2:3])


@every
def test_a_shell_is_not_spoilt_by_what_is_not_finite_in_another(basis):
    modes = draw(1, basis.modes)
    modes[0, 0] = torch.nan
    sums = basis.groups.by_tree(basis.groups.weighted(modes))
    assert sums.isnan().sum() == 1 and torch.equal(sums.isnan(), basis.shell_sums(modes).isnan())


@every
def test_spread(basis):
    per_shell = draw(2, 3, basis.shells)
    assert torch.equal(basis.spread(per_shell), per_shell[..., basis.shell])


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_row_by_row_every_row_has_the_same_bits_in_any_batch(basis, dtype, monkeypatch):
    plain, basis = basis, RowByRow(basis)
    fields = draw(7, *basis.shape, dtype=dtype)
    modes = basis.forward(fields)
    assert_close(modes, plain.forward(fields), rtol=0, atol=1e-13 if dtype == F64 else 2e-5)
    back, sums, values = basis.inverse(modes), basis.shell_sums(modes), basis.spread(basis.shell_sums(modes))
    monkeypatch.setattr(rows_module, "BLOCK", 2 * basis.modes)
    for rows in (slice(0, 1), slice(3, 4), slice(2, 6), slice(1, 7)):
        part = modes[rows]
        assert torch.equal(basis.forward(fields[rows]), part)
        assert torch.equal(basis.inverse(part.clone()), back[rows])
        assert torch.equal(basis.shell_sums(part), sums[rows]) and torch.equal(basis.spread(sums[rows]), values[rows])
    assert torch.equal(basis.forward(fields[5].clone()), modes[5]) and torch.equal(basis.inverse(modes[5].clone()), back[5])


@every
def test_memory_with_gaps(basis):
    fields = draw(*reversed(basis.shape), 4, 3).permute(*reversed(range(len(basis.shape) + 2)))
    assert not fields.is_contiguous()
    modes = basis.forward(fields)
    assert torch.equal(modes, basis.forward(fields.contiguous()))
    gaps = modes.repeat_interleave(2, dim=-1)[..., ::2]
    assert torch.equal(basis.inverse(gaps), basis.inverse(modes))
    assert torch.equal(basis.shell_sums(gaps), basis.shell_sums(modes))
    before = modes.clone()
    basis.inverse(modes)
    assert torch.equal(modes, before)


@every
def test_other_dtypes_are_refused(basis):
    for dtype in (torch.float16, torch.bfloat16, torch.int64, torch.complex128):
        with pytest.raises(ConfigError, match="need float32 or float64"):
            basis.forward(torch.ones(basis.shape, dtype=dtype))
        with pytest.raises(ConfigError, match="need float32 or float64"):
            basis.inverse(torch.ones(basis.modes, dtype=dtype))
        with pytest.raises(ConfigError, match=r"give torch\.float32 or torch\.float64"):
            basis.to(dtype=dtype)


@every
def test_other_shapes_are_refused(basis):
    for call in (basis.forward, basis.inverse, basis.shell_sums, basis.spread):
        with pytest.raises(ConfigError, match="expected"):
            call(torch.ones(2, 1009, dtype=F64))
        with pytest.raises(ConfigError, match="expected"):
            call(torch.ones((), dtype=F64))


@every
def test_single_precision_tables(basis):
    single = basis.to(dtype=torch.float32)
    fields = draw(2, *basis.shape, dtype=torch.float32)
    assert torch.equal(single.forward(fields), basis.forward(fields))
    assert single.weight.dtype == single.noise.dtype == F64 and basis.to() is not basis
    assert_close(single.inverse(single.forward(fields)), fields, rtol=0, atol=2e-5)


@every
def test_everything_moves_to_another_device(basis):
    """On the device that has no memory operations refuse a mixture of devices, as they do on a GPU."""
    moved = basis.to("meta")
    assert {t.device.type for t in vars(moved).values() if isinstance(t, torch.Tensor)} == {"meta"}
    modes = moved.forward(torch.ones(2, *basis.shape, dtype=F64, device="meta"))
    assert modes.shape == (2, basis.modes) and moved.inverse(modes).shape == (2, *basis.shape)
    sums = moved.shell_sums(modes)
    assert sums.shape == (2, basis.shells) and moved.spread(sums).device.type == "meta"
    assert basis.shell.device.type == "cpu"


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_agrees(basis):
    moved, fields = basis.to("cuda"), draw(5, *basis.shape)
    modes = moved.forward(fields.cuda())
    assert_close(modes.cpu(), basis.forward(fields), rtol=0, atol=1e-12)
    assert_close(moved.inverse(modes).cpu(), fields, rtol=0, atol=1e-12)
    sums = moved.shell_sums(modes)
    assert_close(sums.cpu(), basis.shell_sums(modes.cpu()), rtol=1e-12, atol=1e-12)
    assert torch.equal(moved.shell_sums(modes[3:4]), sums[3:4])
    assert_close(moved.spread(sums).cpu(), basis.spread(sums.cpu()), rtol=0, atol=0)


def test_names_and_options_that_there_are_not():
    with pytest.raises(ConfigError, match="no basis 'wavelet'; choose one of cosine, eof, fourier"):
        make_basis("wavelet", (1, 8))
    with pytest.raises(ConfigError, match="'fourier' has no option 'kinds'; it has shells, channels, extent"):
        make_basis("fourier", (1, 8), kinds=("cosine",))
    with pytest.raises(ConfigError, match=r"Identity got the shape \(0, 3\)"):
        make_basis("identity", (0, 3))
    with pytest.raises(ConfigError, match="channels = 'mine' is not one of 'own', 'shared'"):
        make_basis("identity", (1, 3), channels="mine")
