"""Reads an nginx file for the http block with the parser that nginx's makers published: names, places and arguments of directives."""

import sys
import tempfile

import crossplane


def lines_of_maps(directives):
    """What stands inside `map` are values, which the parser takes for unknown directives."""
    for directive in directives:
        if directive["directive"] == "map":
            yield from (entry["line"] for entry in directive["block"])
        yield from lines_of_maps(directive.get("block", []))


with tempfile.NamedTemporaryFile("w", suffix=".conf") as main:
    main.write(f"events {{}}\nhttp {{\n    include {sys.argv[1]};\n}}\n")
    main.flush()
    values = {line for file in crossplane.parse(main.name)["config"] for line in lines_of_maps(file["parsed"])}
    errors = crossplane.parse(main.name, strict=True)["errors"]
for error in errors:
    if error["line"] not in values:
        print(error["error"])
if not values:
    print("nothing was read")
