"""The OpenAPI document as one HTML page: no script, nothing from another host."""

from __future__ import annotations

from html import escape
from typing import Any

Json = dict[str, Any]

_STYLE = """
:root{--ink:#1c2330;--soft:#5b6678;--line:#e3e7ee;--ground:#fbfcfe;--card:#fff;--code:#f2f5f9;
--get:#0b7a53;--post:#1f5fd0;--put:#a45a00;--patch:#7a4bc0;--delete:#c0303a}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf2;--soft:#9aa6b8;--line:#2a3240;--ground:#12161d;--card:#181e27;
--code:#202835;--get:#4cc795;--post:#79a8ff;--put:#efa94a;--patch:#b898f2;--delete:#ff7f87}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:960px;margin:0 auto;padding:48px 24px 96px}h1{margin:0;font-size:32px;letter-spacing:-.02em}
h1 small{font-size:14px;font-weight:500;color:var(--soft);letter-spacing:0;margin-left:8px}
h2{margin:44px 0 12px;font-size:13px;text-transform:uppercase;letter-spacing:.09em;color:var(--soft)}
h3{margin:20px 0 6px;font-size:14px}p{margin:6px 0}.lead{color:var(--soft);font-size:17px}
nav{margin:20px 0 0}nav a{margin-right:16px}
a{color:var(--post);text-decoration:none}a:hover{text-decoration:underline}
details{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:8px 0;overflow:hidden}
summary{display:flex;gap:14px;align-items:baseline;
padding:12px 16px;cursor:pointer;list-style:none;flex-wrap:wrap}
summary::-webkit-details-marker{display:none}summary:hover{background:var(--code)}
details>div{padding:2px 18px 18px;border-top:1px solid var(--line)}
.method{font:700 12px ui-monospace,monospace;width:58px}.get{color:var(--get)}.post{color:var(--post)}
.put{color:var(--put)}.patch{color:var(--patch)}.delete{color:var(--delete)}
code,.path{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:13px}.path{font-weight:600}
.about{color:var(--soft);font-size:14px}table{width:100%;border-collapse:collapse;font-size:14px}
td,th{padding:7px 12px 7px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--soft);font-size:12px}tr:last-child td{border-bottom:0}
td:first-child{white-space:nowrap}
code{background:var(--code);padding:1px 5px;border-radius:4px}
.must{color:var(--delete);font-size:12px;margin-left:6px}
"""


def page(document: Json) -> str:
    """Return the page of an OpenAPI document."""
    info, schemas = document["info"], document["components"]["schemas"]
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    links = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in [*groups, "Schemas"])
    sections = "".join(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(parts)}' for tag, parts in groups.items())
    described = "".join(_schema(name, schema) for name, schema in sorted(schemas.items()))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(info['title'])} API</title>"
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(info['title'])} API<small>{escape(info['version'])}</small></h1>"
        f'<p class="lead">{escape(info["description"])}</p>'
        f'<nav>{links}<a href="openapi.json">openapi.json</a></nav>{sections}'
        f'<h2 id="Schemas">Schemas</h2>{described}</main></body></html>'
    )


def _operation(method: str, path: str, operation: Json) -> str:
    parts = []
    if operation["parameters"]:
        rows = "".join(
            f"<tr><td><code>{escape(p['name'])}</code>{_must(p.get('required'))}</td><td>{p['in']}</td>"
            f"<td>{_type(p['schema'])}</td><td>{escape(p['description'])}</td></tr>"
            for p in operation["parameters"]
        )
        parts.append(f"<h3>Parameters</h3><table><tr><th>name<th>in<th>type<th>meaning</tr>{rows}</table>")
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(f"<h3>Body</h3><p>{_type(schema)}</p>")
    rows = "".join(
        f"<tr><td><code>{status}</code></td><td>{escape(answer['description'])}</td><td>{_content(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    parts.append(f"<h3>Responses</h3><table>{rows}</table>")
    return (
        f'<details><summary><span class="method {method}">{method.upper()}</span>'
        f'<span class="path">{escape(path)}</span>'
        f'<span class="about">{escape(operation["summary"])}</span></summary>'
        f"<div>{''.join(parts)}</div></details>"
    )


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{_must(field in required)}</td><td>{_type(one)}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>"
        for field, one in schema.get("properties", {}).items()
    )
    about = escape(schema.get("description", "").split("Attributes:")[0].strip())
    return (
        f'<details id="schema-{escape(name)}"><summary><span class="path">{escape(name)}</span>'
        f'<span class="about">{about}</span></summary><div><table>{rows}</table></div></details>'
    )


def _content(answer: Json) -> str:
    return ", ".join(
        _type(content["schema"]) if "$ref" in content["schema"] else f"<code>{escape(kind.split(';')[0])}</code>"
        for kind, content in answer.get("content", {}).items()
    )


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    names = {
        "minimum": "≥ {}",
        "maximum": "≤ {}",
        "maxLength": "up to {} characters",
        "default": "default {}",
    }
    notes = [text.format(escape(str(schema[key]))) for key, text in names.items() if schema.get(key) not in (None, "")]
    shown = " or ".join(kind) if isinstance(kind, list) else kind
    if names_of := schema.get("properties"):
        notes.append(", ".join(f"<code>{escape(name)}</code>" for name in names_of))
    return f"{shown}{': ' if notes else ''}{', '.join(notes)}"


def _must(required: object) -> str:
    return '<span class="must">required</span>' if required else ""
