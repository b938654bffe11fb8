"""The description of the JSON API as a page, from its OpenAPI document; nothing is loaded."""

from collections.abc import Mapping
from html import escape
from typing import Any

Schema = Mapping[str, Any]

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/explorer.css">
<link rel="stylesheet" href="/page.css">
<title>captioner: the API</title>
</head>
<body>
<main class="reference">
<h1>captioner {version}: the API</h1>
<p>Requests are multipart forms, answers are JSON. The same for machines:
<a href="/openapi.json">openapi.json</a>. Errors are <code>{{"error": "one line"}}</code>.
<a href="/">Back to the page</a></p>
<pre tabindex="0"><code>curl -F image=@photo.jpg -F num_captions=3 &#92;
  http://127.0.0.1:8000/api/caption</code></pre>
{body}
</main>
</body>
</html>
"""


def write_reference(openapi: Schema) -> str:
    """Give the HTML page of an OpenAPI 3.1 document: every path, then every kind of object."""
    schemas = openapi["components"]["schemas"]
    parts = [
        _operation(path, method, operation, schemas)
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]
    forms = {name for name in schemas if name.startswith("Body_")}
    parts += [
        f'<section><h2 id="{escape(name)}">{escape(name)}</h2>'
        f"<p>{escape(one.get('description', ''))}</p>{_table(one, name)}</section>"
        for name, one in schemas.items()
        if name not in forms | {"HTTPValidationError", "ValidationError"}
    ]
    return PAGE.format(version=escape(openapi["info"]["version"]), body="\n".join(parts))


def _operation(path: str, method: str, operation: Schema, schemas: Schema) -> str:
    fields = ""
    if "requestBody" in operation:
        [content] = operation["requestBody"]["content"].values()
        fields = _table(schemas[content["schema"]["$ref"].rpartition("/")[2]], path)
    answers = "".join(
        f"<li><b>{status}</b> {escape(answer['description'])} {_answer(answer)}</li>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}</p>{fields}<ul>{answers}</ul></section>"
    )


def _answer(answer: Schema) -> str:
    return " ".join(_type(content["schema"]) for content in answer.get("content", {}).values())


def _table(schema: Schema, name: str) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{_type(one)}</td>'
        f"<td>{'required' if name in required else ''}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>"
        for name, one in schema.get("properties", {}).items()
    )
    head = "<thead><tr><th>Field</th><th>Kind</th><th>Needed</th><th>What</th></tr></thead>"
    table = f"<table>{head}<tbody>{rows}</tbody></table>"
    label = escape(f"Fields of {name}")
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>'


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(_type(one) for one in kinds)
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "contentMediaType" in schema or schema.get("format") == "binary":
        return "file"
    low, high = schema.get("minimum"), schema.get("maximum")
    limits = f", {low:.10g} to {high:.10g}" if low is not None and high is not None else ""
    return escape(str(schema.get("type", "anything"))) + limits
