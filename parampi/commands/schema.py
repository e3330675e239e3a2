"""`parampi schema`."""

import click


@click.command()
@click.option(
    "--table", "sections", help="Print the keys of these sections as a table in Markdown instead, such as model,data."
)
def schema(sections: str | None) -> None:
    """Print a JSON Schema of configurations, with what each key means, for editors that complete and check YAML."""
    import json

    from parampi.run.config import schema as described

    print(described.table(sections.split(",")).rstrip() if sections else json.dumps(described.schema(), indent=1))
