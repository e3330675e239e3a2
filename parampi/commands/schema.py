"""`parampi schema`."""

import click


@click.command()
@click.option(
    "--table", "sections", help="Print the keys of these sections as a table in Markdown instead, such as model,data."
)
@click.option("--report", is_flag=True, help="Print the JSON Schema of report.json instead.")
def schema(sections: str | None, report: bool) -> None:
    """Print a JSON Schema of configurations, with what each key means, for editors that complete and check YAML."""
    import json

    from parampi.run.config import schema as described

    if report:
        from parampi.run.report_schema import report_schema

        print(json.dumps(report_schema(), indent=1))
        return
    print(described.table(sections.split(",")).rstrip() if sections else json.dumps(described.schema(), indent=1))
