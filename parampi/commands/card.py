"""`parampi card`."""

from pathlib import Path

import click

from parampi.errors import DataError

PREDICTIONS = ["edm", "denoiser", "epsilon", "velocity", "data", "score", "flow"]


@click.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--channel", "channels", multiple=True, help="What the network draws, in its order (repeatable).")
@click.option("--condition", "condition", multiple=True, help="What it is given, in its order (repeatable).")
@click.option("--predicts", type=click.Choice(PREDICTIONS), help="As model.predicts.")
@click.option("--sigma-data", "scales", type=float, multiple=True, help="As model.sigma_data (repeat it for each channel).")
def card(
    weights: Path, channels: tuple[str, ...], condition: tuple[str, ...], predicts: str | None, scales: tuple[float, ...]
) -> None:
    """Show what the file WEIGHTS says of its network's channels, or write it there. Runs then match variables by name."""
    from parampi.run import card as cards

    sigma_data = list(scales) if len(scales) > 1 else scales[0] if scales else None
    changes = cards.Card(channels or None, condition or None, predicts, sigma_data)
    if changes != cards.Card():
        cards.write(weights, changes)
    if not weights.is_file():
        raise DataError(f"there is no file {weights}")
    facts = vars(cards.read(weights))
    print("\n".join(f"{name}: {value}" for name, value in facts.items() if value is not None) or "no card")
