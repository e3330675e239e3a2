"""Groups in files of HDF5 and Zarr: in which ones variables are, and one data set of all of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parampi.errors import DataError

if TYPE_CHECKING:
    import xarray

PHONY = "phony_dim"
"""How axes without a name begin."""


def plain(name: str) -> str:
    """Return a variable's name without its group, of `group/variable`."""
    return name.strip("/").rpartition("/")[2]


def open_all(stack: ExitStack, path: Path, kind: str, names: Sequence[str]) -> "tuple[xarray.Dataset, dict[str, str]]":
    """Open the groups that have the variables, of these names, in one data set; return also the group of each. Raise DataError
    where one has none, or several. The outermost group has what is not named."""
    places = places_of_names(path, kind, names)
    dataset: xarray.Dataset | None = None
    for group in dict.fromkeys(places.values()) or [""]:
        own = [name for name, other in places.items() if other == group]
        opened = open_inheriting(stack, path, kind, group, own)
        dataset = opened if dataset is None else joined(dataset, opened, own, group)
    assert dataset is not None
    if kind == "HDF5":
        require_read(dataset, path, places)
    return dataset, places


def require_read(dataset: "xarray.Dataset", path: Path, places: dict[str, str]) -> None:
    """Raise DataError for a variable that is left out, as it holds neither numbers nor text."""
    from parampi.fields.inputs.hdf5 import require_plain

    for name, group in places.items():
        if name not in dataset.variables:
            require_plain(path, f"{group}/{name}".strip("/"))


def open_inheriting(stack: ExitStack, path: Path, kind: str, group: str, names: Sequence[str]) -> "xarray.Dataset":
    """Open a group, with the variables of those that it is in where their axes are not others of its own; NetCDF allows axes of
    one name and several lengths."""
    dataset = stack.enter_context(open_one(path, kind, group, names))
    while group:
        group = group.rpartition("/")[0]
        outer = stack.enter_context(open_one(path, kind, group, ()))
        fitting = {
            name: one
            for name, one in outer.variables.items()
            if name not in dataset.variables
            and all(
                dataset.sizes.get(axis, size) == size and not str(axis).startswith(PHONY) for axis, size in one.sizes.items()
            )
        }
        dataset = dataset.assign(fitting)
    return dataset


def open_one(path: Path, kind: str, group: str, names: Sequence[str]) -> "xarray.Dataset":
    import xarray

    if kind == "HDF5":
        from parampi.fields.inputs.hdf5 import open_hdf5

        return open_hdf5(path, group)
    if kind == "Zarr":
        from parampi.fields.inputs.zarr_stores import open_zarr

        return open_zarr(path, group, names)
    return xarray.open_dataset(path, engine="netcdf4", decode_cf=False, cache=False)


def joined(dataset: "xarray.Dataset", other: "xarray.Dataset", names: Sequence[str], group: str) -> "xarray.Dataset":
    """Return a data set with the variables of another group, and what is along their axes. Axes of the same name are one where
    their lengths and coordinates are equal; without names, where their lengths are."""
    other, dataset = by_length(other), by_length(dataset)
    axes = {axis for name in names for axis in other[name].dims}
    taken = {
        str(name): one for name, one in other.variables.items() if name in names or (0 < one.ndim < 3 and set(one.dims) & axes)
    }
    differing = {name for name in taken if name not in names and name in dataset.variables and not same(dataset, other, name)}
    apart = {axis for axis in axes if dataset.sizes.get(axis, other.sizes[axis]) != other.sizes[axis]}
    apart |= {axis for name in differing for axis in other[name].dims}
    renamed = {str(name): f"{group}/{name}" for name in apart | differing}
    for name, variable in taken.items():
        if name in names or name in differing or name not in dataset.variables:
            variable = variable.copy(deep=False)
            variable.dims = tuple(renamed.get(str(axis), axis) for axis in variable.dims)
            dataset = dataset.assign({renamed.get(name, name): variable})
    return dataset


def same(dataset: "xarray.Dataset", other: "xarray.Dataset", name: str) -> bool:
    variable: Any = dataset[name].variable
    return bool(variable.identical(other[name].variable))


def by_length(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """Return a data set whose axes without names are named by their lengths: equal ones in the same order have one name."""
    import xarray

    variables = {}
    for name, variable in dataset.variables.items():
        counts: dict[int, int] = {}
        axes = []
        for axis, size in variable.sizes.items():
            counts[size] = counts.get(size, 0) + 1
            axes.append(f"{PHONY}_{size}_{counts[size]}" if str(axis).startswith(PHONY) else axis)
        variable = variable.copy(deep=False)
        variable.dims = tuple(axes)
        variables[name] = variable
    return xarray.Dataset(variables, attrs=dataset.attrs)


def places_of_names(path: Path, kind: str, names: Sequence[str]) -> dict[str, str]:
    """Return the group of each variable, "" for the outermost and for what is nowhere, by the names without groups."""
    bare = [plain(name) for name in names]
    twice = next((name for name in bare if bare.count(name) > 1 and len({one for one in names if plain(one) == name}) > 1), "")
    if twice:
        raise DataError(f"{path}: several variables are named {twice}, in different groups; copy them under names of their own")
    if kind == "NetCDF" or not names:
        return dict.fromkeys(bare, "")
    groups = groups_of(path, kind)
    common = [group for group, variables in groups.items() if set(names) <= set(variables)]
    if "" in common or len(common) == 1:
        return dict.fromkeys(bare, "" if "" in common else common[0])
    return {plain(name): place_of(path, name, groups) for name in names}


def place_of(path: Path, name: str, groups: dict[str, list[str]]) -> str:
    """Return the group of a variable. Raise DataError where several have it, or not the one that is named."""
    group, _, variable = name.strip("/").rpartition("/")
    if "/" in name:
        if variable in groups.get(group, []):
            return group
        present = ", ".join(f"{one}/{other}".strip("/") for one, variables in groups.items() for other in variables)
        raise DataError(f"{path} has no variable {name}; it has {present or 'no variables'}")
    fitting = [group for group, variables in groups.items() if variable in variables]
    if "" in fitting or not fitting:
        return ""
    if len(fitting) > 1:
        raise DataError(
            f"{path}: the groups {', '.join(fitting)} all have {variable}; name it with its group, such as "
            f"{fitting[0]}/{variable}"
        )
    return fitting[0]


def groups_of(path: Path, kind: str) -> dict[str, list[str]]:
    """Return the variables of each group, "" for the outermost."""
    groups: dict[str, list[str]] = {"": []}

    def visit(name: str, node: Any) -> None:
        group, _, variable = name.rpartition("/")
        if hasattr(node, "shape"):
            groups.setdefault(group, []).append(variable)
        else:
            groups.setdefault(name, [])

    if kind == "HDF5":
        import h5py

        with h5py.File(path) as file:
            file.visititems(visit)
    else:
        import zarr

        for name, node in zarr.open_group(path, mode="r").members(max_depth=None):
            visit(name, node)
    return groups
