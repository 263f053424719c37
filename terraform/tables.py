#!/usr/bin/env python3
"""Writes the tables of README.md from the module's own files: inputs, outputs and resources.

    python3 terraform/tables.py            writes them anew
    python3 terraform/tables.py --check    fails when they are not current, or something has no description

Needs nothing but Python. It reads blocks as `terraform fmt` writes them, which CI holds them to: a block ends at the first
line that is a closing brace and nothing else, with the indentation of its beginning.
"""

import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
README = FOLDER / "README.md"
BLOCK = re.compile(r'^(variable|output|resource|data) "([^"]+)"(?: "([^"]+)")? \{\n(.*?)^\}', re.M | re.S)


def blocks():
    """(kind, names, body, file) of every block of the module, in the order of files and lines."""
    for path in sorted(FOLDER.glob("*.tf")):
        text = re.sub(r'^(variable|output|resource|data) (.*) \{\}$', r"\1 \2 {\n}", path.read_text(), flags=re.M)
        for kind, first, second, body in BLOCK.findall(text):
            yield kind, (first, second), body, path.name


def attribute(body, name):
    """The value of a block's own attribute as it is written, in one line; None where there is none."""
    found = re.search(rf"^  {name} += (.*\n(?:(?:    .*|  [\])}}].*)\n)*)", body, re.M)
    if not found:
        return None
    value = found.group(1).strip()
    inner = [line.strip() for line in value.splitlines()]
    if len(inner) == 1:
        return inner[0]
    fields = [re.sub(r" += ", " = ", line) for line in inner[1:-1]]
    return f"{inner[0]} {', '.join(fields)} {inner[-1]}"


def cell(text):
    return text.replace("|", "\\|")


def described(kind, name, body):
    text = attribute(body, "description")
    if not text:
        sys.exit(f"{kind} {name} has no description")
    return cell(text.strip('"').replace('\\"', '"'))


def inputs(found):
    yield "| variable | type | default | what |"
    yield "| --- | --- | --- | --- |"
    for kind, (name, _), body, _ in found:
        if kind == "variable":
            default = attribute(body, "default")
            default = "needed" if default is None else f"`{cell(default)}`"
            yield f"| `{name}` | `{cell(attribute(body, 'type'))}` | {default} | {described(kind, name, body)} |"


def outputs(found):
    yield "| output | what |"
    yield "| --- | --- |"
    for kind, (name, _), body, _ in found:
        if kind == "output":
            yield f"| `{name}` | {described(kind, name, body)} |"


def resources(found):
    yield "| resource | in |"
    yield "| --- | --- |"
    for kind, (type_, name), _, file in found:
        if kind == "resource":
            yield f"| `{type_}.{name}` | [{file}]({file}) |"


def main():
    found = list(blocks())
    old = new = README.read_text()
    for name, table in (("inputs", inputs), ("outputs", outputs), ("resources", resources)):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, rest = new.split(begin, 1)
        tail = rest.split(end, 1)[1]
        new = f"{head}{begin}\n\n" + "\n".join(table(found)) + f"\n\n{end}{tail}"
    if "--check" not in sys.argv[1:]:
        README.write_text(new)
    elif new != old:
        sys.exit("the tables of terraform/README.md are not current: run python3 terraform/tables.py")


if __name__ == "__main__":
    main()
