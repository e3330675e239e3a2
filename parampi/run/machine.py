"""What is known of a machine: a small JSON file that benchmarks write and a plan reads."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parampi.errors import ConfigError
from parampi.fields.atomic_files import write_whole

REMEDY = "measure it again: parampi bench network CONFIG --out FILE, mpiexec -n 2 parampi bench scan --out FILE"


class Part(BaseModel):
    """A part of the file: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(Part):
    """A network call."""

    fields: int = Field(ge=1)
    seconds: float = Field(gt=0)
    bytes: int = Field(ge=0)


class NetworkCalls(Part):
    """Calls of one network; `ranks_here`: how many ranks of the node called at once."""

    network: str
    device: str
    ranks_here: int = Field(ge=1)
    calls: list[Call] = Field(min_length=1)


class MessageCosts(Part):
    """Messages between ranks: seconds, and bytes per second."""

    ranks: int = Field(ge=2)
    latency: float = Field(gt=0)
    bandwidth: float = Field(gt=0)


class Machine(Part):
    """A machine. `networks`: calls of networks, by what tells them apart and by the ranks that called at once."""

    cores: int = Field(ge=1)
    networks: list[NetworkCalls] = []
    messages: MessageCosts | None = None

    @classmethod
    def read(cls, path: Path) -> "Machine":
        """Read the file. Raises ConfigError."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"there is no machine file {path}; {REMEDY}") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "its text"
            raise ConfigError(f"{path} is no machine file: {place}: {first['msg']}; {REMEDY}") from None

    def merged(self, path: Path) -> "Machine":
        """Return what a file says, if there is one, with what this says in its place where both speak of the same."""
        earlier = Machine.read(path) if path.exists() else self
        keys = {(one.network, one.ranks_here) for one in self.networks}
        kept = [one for one in earlier.networks if (one.network, one.ranks_here) not in keys]
        return Machine(cores=self.cores, networks=[*kept, *self.networks], messages=self.messages or earlier.messages)

    def write(self, path: Path) -> None:
        """Write the file, merged with the one that is there."""
        write_whole(path, (self.merged(path).model_dump_json(indent=1) + "\n").encode())

    def calls(self, network: str, ranks_here: int) -> NetworkCalls:
        """Return the calls of a network, of the next larger number of ranks at once where there are some, else of the largest.
        Raises ConfigError."""
        known = sorted((one for one in self.networks if one.network == network), key=lambda one: one.ranks_here)
        if not known:
            others = ", ".join(sorted({one.network for one in self.networks})) or "none"
            raise ConfigError(
                f"the machine file knows nothing of the network {network} (known: {others}); measure it: "
                "parampi bench network CONFIG --out FILE"
            )
        return next((one for one in known if one.ranks_here >= ranks_here), known[-1])
